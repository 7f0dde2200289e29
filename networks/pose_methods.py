"""Head motion for clips of speech by every method that is compared: PoseGPT, its VQ-VAE alone, and the baselines."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from networks.code_sampling import GREEDY, Sampling
from networks.controls import time_shuffled
from networks.pose_adapter import PoseAdapter, PoseCodes
from networks.pose_baselines import random_retrieval
from networks.pose_generation import generate_head
from networks.pose_vqvae import PoseVQVAE

CLIPS_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class PoseClip:
    """Speech with its true motion: `audio` `[640 T]` (16 kHz) and `head` `[T, 3]` (axis-angle, radians, 25 frames/s); `features`
    `[T, F]` where the network was built for them.
    """

    key: str
    speaker: str
    audio: Tensor
    head: Tensor
    features: Tensor | None = None


def clip_seed(key: str, draw: int = 0) -> int:
    """A seed that depends on the clip's name and the number of the draw alone."""
    return zlib.crc32(f"{key} {draw}".encode())


@torch.no_grad()
def generated_heads(
    net: PoseAdapter,
    clips: Sequence[PoseClip],
    styles: Tensor,
    sampling: Sampling = GREEDY,
    draw: int = 0,
    shuffled: bool = False,
) -> list[Tensor]:
    """Head rotations `[T, 3]` for each clip in the style `[N, style_width]` of its row; `shuffled`: for its speech in blocks of 0.2 s in another
    order.
    """
    heads: list[Tensor] = []
    for rows, batch in _batches(clips):
        audio, frames, features = batch.audio, batch.num_frames, batch.features
        if shuffled:
            audio, features = _shuffled(batch)
        seeds = [clip_seed(clip.key, draw) for clip in clips[rows]]
        head = generate_head(net.gpt, net.vqvae, audio, frames, styles[rows], sampling, seeds, features)
        heads += [row[:length] for row, length in zip(head, frames.tolist(), strict=True)]
    return heads


@torch.no_grad()
def reconstructed_heads(vqvae: PoseVQVAE, clips: Sequence[PoseClip]) -> list[Tensor]:
    """The true motion through codes and back."""
    found: list[Tensor] = []
    for _, batch in _batches(clips):
        head = vqvae.decode(vqvae.tokenize(batch.head, batch.num_frames), batch.num_frames)
        found += [row[:length] for row, length in zip(head, batch.num_frames.tolist(), strict=True)]
    return found


def codes_of(vqvae: PoseVQVAE, heads: Sequence[Tensor]) -> list[Tensor]:
    """Codes [S] of the first codebook for head rotations `[T, 3]`."""
    return [vqvae.tokenize(head[None], torch.tensor([len(head)]))[0, :, 0] for head in heads]


def random_heads(known: Sequence[Tensor], clips: Sequence[PoseClip]) -> list[Tensor]:
    """For each clip a random piece of the `known` motions, drawn by the clip's name."""
    return [
        random_retrieval(known, len(clip.head), torch.Generator().manual_seed(clip_seed(clip.key))) for clip in clips
    ]


@torch.no_grad()
def code_likelihoods(
    net: PoseAdapter, clips: Sequence[PoseClip], styles: Tensor, code_counts: Tensor
) -> dict[str, list[float]]:
    """Mean negative log-likelihood of each clip's true codes given their true past, nats a code: `code_nll`, and its controls `_unigram` (from
    `code_counts` of training, one added to each), `_no_speech` (nothing heard) and `_shuffled_speech`.
    """
    found: dict[str, list[float]] = {}
    counts = code_counts + 1.0
    unigram = -(counts / counts.sum()).log()
    for rows, batch in _batches(clips):
        truth = net.tokenize(batch.head, batch.num_frames)
        heard = net.gpt.hear(batch.audio, batch.num_frames, batch.features)
        audio, features = _shuffled(batch)
        shuffled = net.gpt.hear(audio, batch.num_frames, features)
        values = {"code_nll": _nll(net, truth, heard, styles[rows]), "code_nll_unigram": unigram[truth.codes]}
        values["code_nll_no_speech"] = _nll(net, truth, torch.zeros_like(heard), styles[rows])
        values["code_nll_shuffled_speech"] = _nll(net, truth, shuffled, styles[rows])
        for name, value in values.items():
            means = torch.where(truth.mask, value, 0.0).sum(1) / truth.mask.sum(1)
            found.setdefault(name, []).extend(means.tolist())
    return found


@dataclass(frozen=True, eq=False)
class _Batch:
    audio: Tensor
    num_frames: Tensor
    head: Tensor
    features: Tensor | None
    keys: list[str]


def _batches(clips: Sequence[PoseClip]) -> Iterator[tuple[slice, _Batch]]:
    """Clips in their order, `CLIPS_AT_ONCE` together, zero-padded."""
    for start in range(0, len(clips), CLIPS_AT_ONCE):
        rows = slice(start, start + CLIPS_AT_ONCE)
        some = clips[rows]
        features = [clip.features for clip in some if clip.features is not None]
        yield (
            rows,
            _Batch(
                _padded([clip.audio for clip in some]),
                torch.tensor([len(clip.head) for clip in some]),
                _padded([clip.head for clip in some]),
                _padded(features) if len(features) == len(some) else None,
                [clip.key for clip in some],
            ),
        )


def _padded(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def _shuffled(batch: _Batch) -> tuple[Tensor, Tensor | None]:
    features = None if batch.features is None else time_shuffled(batch.features, batch.num_frames, batch.keys)
    return time_shuffled(batch.audio, batch.num_frames, batch.keys), features


def _nll(net: PoseAdapter, truth: PoseCodes, heard: Tensor, styles: Tensor) -> Tensor:
    logits = net.gpt(truth.codes, heard, styles)
    return functional.cross_entropy(logits.float().transpose(1, 2), truth.codes, reduction="none")

"""The heads that a pose run is scored with: its own by several ways of choosing, beside baselines that know the person or real motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from networks.code_sampling import GREEDY, NUCLEUS, SAMPLED
from networks.pose_adapter import PoseAdapter
from networks.pose_baselines import HeadRegression, template_copy
from networks.pose_methods import PoseClip, generated_heads, random_heads, reconstructed_heads
from networks.pose_style_choice import Method, choose_style
from networks.pose_style_files import PoseStyles, style_clips
from networks.pose_vqvae import PoseVQVAE
from networks.style_retrieval import LEAST_REFERENCE_FRAMES, StyleClip

REFERENCE_FRAMES = 250
DRAWS = 3


@dataclass(frozen=True, eq=False)
class PoseSplit:
    """The clips of a split in order of their keys, and for each its metadata, the semantic `units` [T] of its speech or None, and the `references`:
    other clips of the person, up to 10 s (its own where there are none, `own_reference`).
    """

    clips: list[PoseClip]
    metas: list[dict[str, Any]]
    units: list[Tensor | None]
    references: list[list[StyleClip]]
    own_reference: list[bool]

    @property
    def speakers(self) -> list[str]:
        return [clip.speaker for clip in self.clips]

    @property
    def heads(self) -> list[Tensor]:
        return [clip.head for clip in self.clips]


def read_split(data: Any, split: str, units: Any = None, front_end: Any = None) -> PoseSplit:
    """All clips of a split of a datamodule that serves one clip a batch; references have `units` where they are given, by the network's `front_end` where
    they cluster what it hears.
    """
    read = []
    for batch in data.evaluation_dataloader(split):
        (style,) = style_clips(batch, units=units, front_end=front_end)
        features = None if batch.features is None else batch.features[0].reshape(len(style.head), -1)
        clip = PoseClip(batch.keys[0], batch.speakers[0], batch.audio[0], batch.head[0], features)
        read.append((clip, batch.metas[0], style))
    read.sort(key=lambda found: found[0].key)
    clips, metas, styles = (list(column) for column in zip(*read, strict=True))
    same: dict[str, list[int]] = {}
    for number, clip in enumerate(clips):
        same.setdefault(clip.speaker, []).append(number)
    references = [_other_clips(number, same[clip.speaker], styles) for number, clip in enumerate(clips)]
    own = [not found for found in references]
    references = [found or [styles[number]] for number, found in enumerate(references)]
    return PoseSplit(clips, metas, [style.units for style in styles], references, own)


def _other_clips(number: int, same: list[int], styles: Sequence[StyleClip]) -> list[StyleClip]:
    """Of a person's clips `same` those that follow in order of their keys, beginning again at the first, until there are 10 s."""
    place = same.index(number)
    found: list[StyleClip] = []
    for other in same[place + 1 :] + same[:place]:
        if sum(len(clip.head) for clip in found) >= REFERENCE_FRAMES:
            break
        found.append(styles[other])
    return found


def chosen_styles(net: PoseAdapter, styles: PoseStyles, split: PoseSplit, method: Method) -> Tensor:
    """A style vector for each clip from its reference `[N, style_width]`; a reference under 2 s gives the unknown style."""
    unknown = net.gpt.styles.weight[net.unknown_style].detach()
    if method == "unknown":
        return unknown.expand(len(split.clips), -1)
    rows = []
    for number, reference in enumerate(split.references):
        enough = sum(len(clip.head) for clip in reference) >= LEAST_REFERENCE_FRAMES
        has_units = all(clip.units is not None for clip in reference)
        fingerprint = styles.units.fingerprint if has_units else None
        rows.append(
            choose_style(method, net, styles.bank, reference, fingerprint, seed=number).embedding if enough else unknown
        )
    return torch.stack(rows)


def controls(split: PoseSplit, known: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    """Heads without a model: the person's reference played there and back (`template_copy`), its mean rotation held (`still`), and a random
    piece of a training clip (`random_retrieval`).
    """
    return {
        "template_copy": [
            template_copy(torch.cat([part.head for part in reference[:1]]), len(clip.head))
            for clip, reference in zip(split.clips, split.references, strict=True)
        ],
        "random_retrieval": random_heads(known, split.clips),
        "still": [
            torch.cat([part.head for part in reference]).mean(0).expand(len(clip.head), 3)
            for clip, reference in zip(split.clips, split.references, strict=True)
        ],
    }


def generated_by(
    net: PoseAdapter, split: PoseSplit, styles: dict[str, Tensor]
) -> tuple[dict[str, list[Tensor]], dict[str, list[list[Tensor]]]]:
    """Heads of a PoseGPT, and for `model` and `greedy` the repeated draws of each clip.

    `model` draws from the nucleus (top-p 0.9, temperature 1) in the style `retrieved`, `sampled` from the whole distribution, `greedy` is the paper's
    way; the others change one thing of `model`: a `random_style`, the style of nobody, `unknown_style`, or `shuffled_speech`.
    """
    chosen = styles["retrieved"]
    draws = [generated_heads(net, split.clips, chosen, NUCLEUS, draw) for draw in range(DRAWS)]
    greedy = generated_heads(net, split.clips, chosen, GREEDY)
    heads = {
        "model": draws[0],
        "sampled": generated_heads(net, split.clips, chosen, SAMPLED),
        "greedy": greedy,
        "reconstruction": reconstructed_heads(net.vqvae, split.clips),
        "shuffled_speech": generated_heads(net, split.clips, chosen, NUCLEUS, shuffled=True),
        "random_style": generated_heads(net, split.clips, styles["random"], NUCLEUS),
        "unknown_style": generated_heads(net, split.clips, styles["unknown"], NUCLEUS),
    }
    return heads, {"model": draws, "greedy": [greedy, greedy]}


@torch.no_grad()
def regressed_heads(net: HeadRegression, split: PoseSplit) -> dict[str, list[Tensor]]:
    """Heads of a regression, which is told the person by the same references."""
    found: dict[str, list[Tensor]] = {"model": []}
    for clip, reference in zip(split.clips, split.references, strict=True):
        head = torch.cat([part.head for part in reference])[None]
        frames = torch.tensor([len(clip.head)])
        channels = net(clip.audio[None], frames, head, torch.tensor([head.shape[1]]))
        found["model"].append(net.representation.inverse(channels)[0])
    return found


def vqvae_heads(net: PoseVQVAE, split: PoseSplit) -> dict[str, list[Tensor]]:
    """The true motion through codes and back."""
    return {"model": reconstructed_heads(net, split.clips)}

"""The pose styles of a PoseGPT run as two files: semantic units fitted on its training corpus, and the bank of its people's styles.

semantic_units.safetensors   centroids, with the encoder whose features they cluster
style_bank.safetensors       one style for each that PoseGPT learned, with the fingerprints of VQ-VAE and units

Batches are `SpeechFaceBatch`es. Units cluster an encoder's features where the corpus holds them, else `MfccContext`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from networks.pose_adapter import PoseAdapter, StyleBy
from networks.pose_style_choice import known_styles
from networks.style_bank import StyleBank, StyleBankError
from networks.style_retrieval import StyleClip, build_style_bank
from speech.audio import SAMPLES_PER_FRAME
from speech.semantic_units import MfccContext, SemanticUnits, average_pairs
from speech.unit_clustering import fit_semantic_units

BANK, UNITS = "style_bank.safetensors", "semantic_units.safetensors"
NUM_UNITS = 512
# A cluster of fewer frames is an accident; small corpora have fewer units.
_FRAMES_OF_A_UNIT = 32
# 22 hours: about 0.6 GB of features.
KEPT_FRAMES = 2_000_000


class PoseStyles(NamedTuple):
    """The bank, and the units that its matrices are made of."""

    bank: StyleBank
    units: SemanticUnits


def require_pose_adapter(net: Any, name: str) -> PoseAdapter:
    """The network of the run `name`; raises StyleBankError for a run of another kind."""
    if not isinstance(net, PoseAdapter):
        raise StyleBankError(
            f"{name} is no run of pose_gpt: its network is {type(net).__name__}; give a PoseGPT's folder"
        )
    return net


def open_pose_styles(
    folder: Path, net: PoseAdapter, training_data: Callable[[], Any], say: Callable[[str], None] = print
) -> PoseStyles:
    """The styles kept in `folder`; where there are none, built from the datamodule that `training_data` gives, and kept.

    Raises StyleBankError for files that were made of another VQ-VAE, other units or other people than the network's.
    """
    if not (folder / BANK).is_file():
        say(f"building the style bank of {len(net.style_names)} people (once; kept in {folder})")
        data = training_data()
        frames = sum(data.index.entries[i].num_frames for i in data.indices("train"))
        console = Console(stderr=True)
        styles = build_pose_styles(
            net,
            lambda: track(
                data.evaluation_dataloader("train"),
                "heads and speech",
                console=console,
                disable=not console.is_terminal,
            ),
            frames,
        )
        known_styles(net, styles.bank)
        folder.mkdir(parents=True, exist_ok=True)
        styles.units.save(folder / UNITS)
        styles.bank.save(folder / BANK)  # last: what is complete has a bank
        return styles
    styles = PoseStyles(StyleBank.load(folder / BANK), SemanticUnits.load(folder / UNITS))
    try:
        styles.bank.require_match(net.vqvae.fingerprint(), styles.units.fingerprint)
    except StyleBankError as error:
        raise StyleBankError(f"{folder}: {error} (remove that folder and it is built again)") from error
    known_styles(net, styles.bank)
    return styles


def build_pose_styles(net: PoseAdapter, batches: Callable[[], Iterable[Any]], num_frames: int) -> PoseStyles:
    """Units fitted on all clips of `batches()`, `num_frames` in all, and a bank of them; each call of it goes over the same clips.

    A function of the clips alone. There are 512 units, fewer where the corpus has less than 32 frames for each. Corpora of up to
    `KEPT_FRAMES` are read once, larger ones three times.
    """
    clips: Iterable[_HeardClip] = _CorpusClips(batches, net.style_by)
    if num_frames <= KEPT_FRAMES:
        clips = list(clips)
    encoder = next(clip.encoder for clip in clips)
    units = fit_semantic_units(_Features(clips), encoder, max(2, min(NUM_UNITS, num_frames // _FRAMES_OF_A_UNIT)))
    known = (StyleClip(c.name, c.head, torch.from_numpy(units.assign(c.features, encoder))) for c in clips)
    return PoseStyles(build_style_bank(known, net.vqvae, len(units), units.fingerprint), units)


def style_clips(batch: Any, style_by: StyleBy = "speaker", units: SemanticUnits | None = None) -> list[StyleClip]:
    """The clips of a batch with their sound; with units where `units` are given and fit: features of another encoder give none."""
    features, encoder = _features_of(batch) if units is not None else ([], "")
    clips = []
    for number, (name, frames) in enumerate(zip(_names(batch, style_by), batch.num_frames.tolist(), strict=True)):
        assigned = None
        if units is not None and units.encoder == encoder:
            assigned = torch.from_numpy(units.assign(features[number], encoder))
        heard = batch.features
        if heard is not None:
            heard = heard[number].reshape(batch.head.shape[1], -1)[:frames]
        audio = batch.audio[number, : frames * SAMPLES_PER_FRAME]
        clips.append(StyleClip(name, batch.head[number, :frames], assigned, audio, heard))
    return clips


class _HeardClip(NamedTuple):
    """Whose clip it is, the head `[T, 3]`, and the features `[T, F]` that units cluster with the fingerprint of what made them."""

    name: str
    head: torch.Tensor
    features: np.ndarray
    encoder: str


@dataclass
class _CorpusClips:
    """Every clip; can be gone over again, as clustering in several passes must."""

    batches: Callable[[], Iterable[Any]]
    style_by: StyleBy

    def __iter__(self) -> Iterator[_HeardClip]:
        for batch in self.batches():
            features, encoder = _features_of(batch)
            for number, (name, frames) in enumerate(
                zip(_names(batch, self.style_by), batch.num_frames.tolist(), strict=True)
            ):
                yield _HeardClip(name, batch.head[number, :frames].clone(), features[number], encoder)


@dataclass
class _Features:
    clips: Iterable[_HeardClip]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (clip.features for clip in self.clips)


def _names(batch: Any, style_by: StyleBy) -> list[str]:
    return batch.speakers if style_by == "speaker" else [meta["source"] for meta in batch.metas]


def _features_of(batch: Any) -> tuple[list[np.ndarray], str]:
    """Features `[T, F]` of each clip that units cluster, and the fingerprint of what made them."""
    frames = batch.num_frames.tolist()
    if batch.features is None:
        encoder = MfccContext()
        features = encoder(batch.audio, batch.num_frames)
        return [clip[:n].numpy() for clip, n in zip(features, frames, strict=True)], encoder.fingerprint
    features = batch.features.reshape(*batch.head.shape[:2], -1).float()
    name = str(batch.metas[0].get("extra", {}).get("features_encoder", "unnamed"))
    return [average_pairs(clip[:n].numpy()) for clip, n in zip(features, frames, strict=True)], name

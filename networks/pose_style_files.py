"""The pose styles of a PoseGPT run as two files: semantic units fitted on its training corpus, and the bank of its people's styles.

semantic_units.safetensors   centroids, with the encoder whose features they cluster
style_bank.safetensors       one style for each that PoseGPT learned, with the fingerprints of VQ-VAE and units

Batches are `SpeechFaceBatch`es. What units cluster: `pose_style_units`. A corpus with cached units (`prepare.py units`) brings its own.
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

from networks.pose_adapter import PoseAdapter, StyleBy, styles_of
from networks.pose_style_choice import known_styles
from networks.pose_style_units import cached_units, features_to_cluster, missing_units, units_of_batch
from networks.speech_front_end import SpeechFrontEnd
from networks.style_bank import StyleBank, StyleBankError
from networks.style_retrieval import StyleClip, build_style_bank
from speech.audio import SAMPLES_PER_FRAME
from speech.semantic_units import UNITS_FILE, SemanticUnits
from speech.unit_clustering import fit_semantic_units

BANK, UNITS = "style_bank.safetensors", UNITS_FILE
NUM_UNITS = 512
# A cluster of fewer frames is an accident; small corpora have fewer units.
_FRAMES_OF_A_UNIT = 32
# Of features, 0.5 GB: 22 hours of MfccContext, 1.4 of a HuBERT large.
KEPT_NUMBERS = 130_000_000


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

    Raises StyleBankError for files that are damaged, or were made of another VQ-VAE, other units or other people than the network's.
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
            _units_of_corpus(data),
            say,
        )
        known_styles(net, styles.bank)
        folder.mkdir(parents=True, exist_ok=True)
        styles.units.save(folder / UNITS)
        styles.bank.save(folder / BANK)  # last: what is complete has a bank
        return styles
    try:
        styles = PoseStyles(StyleBank.load(folder / BANK), SemanticUnits.load(folder / UNITS))
        styles.bank.require_match(net.vqvae.fingerprint(), styles.units.fingerprint)
    except (ValueError, OSError) as error:
        raise StyleBankError(f"{folder}: {error} (remove that folder and it is built again)") from error
    known_styles(net, styles.bank)
    return styles


def build_pose_styles(
    net: PoseAdapter,
    batches: Callable[[], Iterable[Any]],
    num_frames: int,
    units: SemanticUnits | None = None,
    say: Callable[[str], None] = print,
) -> PoseStyles:
    """A bank of all clips of `batches()`, `num_frames` in all, by `units`, or by units fitted on them; each call of it goes over the same clips.

    A function of the clips alone. Units given are read where they are cached, and assigned anew where others are. There are 512 fitted ones, fewer
    where the corpus has less than 32 frames for each. Corpora of up to `KEPT_NUMBERS` are then read once, larger ones three times. Raises StyleBankError
    for features of no encoder that has a name, or of several.
    """
    known: Iterable[StyleClip]
    if units is None:
        units, clips = _fitted(net, batches, num_frames, say)
        known = (StyleClip(c.name, c.head, torch.from_numpy(units.assign(c.features, c.encoder))) for c in clips)
    else:
        known = _assigned(net, batches, units, say)
    return PoseStyles(build_style_bank(known, net.vqvae, len(units), units.fingerprint), units)


def style_clips(
    batch: Any,
    style_by: StyleBy = "speaker",
    units: SemanticUnits | None = None,
    front_end: SpeechFrontEnd | None = None,
) -> list[StyleClip]:
    """The clips of a batch with their sound; with units where `units` are given and there are features of their encoder, cached or by the `front_end`
    of the network.
    """
    names, frames = styles_of(batch, style_by), batch.num_frames.tolist()
    assigned = [None] * len(names) if units is None else units_of_batch(batch, units, front_end)
    clips = []
    for number, (name, length) in enumerate(zip(names, frames, strict=True)):
        heard = batch.features
        if heard is not None:
            heard = heard[number].reshape(batch.head.shape[1], -1)[:length]
        audio = batch.audio[number, : length * SAMPLES_PER_FRAME]
        clips.append(StyleClip(name, batch.head[number, :length], assigned[number], audio, heard))
    return clips


class _HeardClip(NamedTuple):
    """Whose clip it is, the head `[T, 3]`, the features `[T, F]` that units cluster with the identity of what made them, and the fingerprint of units
    cached beside it.
    """

    name: str
    head: torch.Tensor
    features: np.ndarray
    encoder: str
    cached: str | None


@dataclass
class _CorpusClips:
    """Every clip; can be gone over again, as clustering in several passes must."""

    batches: Callable[[], Iterable[Any]]
    net: PoseAdapter

    def __iter__(self) -> Iterator[_HeardClip]:
        for batch in self.batches():
            heard = features_to_cluster(batch, self.net.front_end)
            for number, (name, frames) in enumerate(
                zip(styles_of(batch, self.net.style_by), batch.num_frames.tolist(), strict=True)
            ):
                head = batch.head[number, :frames].clone()
                yield _HeardClip(name, head, heard.features[number], heard.encoder, cached_units(batch))


@dataclass
class _Features:
    """The features of clips of one encoder; can be gone over again where the clips can."""

    clips: Iterable[_HeardClip]
    encoder: str

    def __iter__(self) -> Iterator[np.ndarray]:
        for clip in self.clips:
            if clip.encoder != self.encoder:
                raise StyleBankError(
                    f"clips hold features of {self.encoder} and of {clip.encoder}; expected one encoder: cache the features of the whole corpus again"
                )
            yield clip.features


def _fitted(
    net: PoseAdapter, batches: Callable[[], Iterable[Any]], num_frames: int, say: Callable[[str], None]
) -> tuple[SemanticUnits, Iterable[_HeardClip]]:
    """Units of the clips, and the clips, kept where they fit into memory."""
    stream = _CorpusClips(batches, net)
    rest = iter(stream)
    first = next(rest, None)
    if first is None:
        raise StyleBankError("a style bank needs at least one clip, got none; is the training split empty?")
    if first.cached is not None:
        say(f"the units {first.cached} cached in the corpus are not read: it has no {UNITS}; new ones are fitted")
    kept = num_frames * first.features.shape[1] <= KEPT_NUMBERS
    clips = [first, *rest] if kept else stream
    number = max(2, min(NUM_UNITS, num_frames // _FRAMES_OF_A_UNIT))
    return fit_semantic_units(_Features(clips, first.encoder), first.encoder, number), clips


def _assigned(
    net: PoseAdapter, batches: Callable[[], Iterable[Any]], units: SemanticUnits, say: Callable[[str], None]
) -> Iterator[StyleClip]:
    told = False
    for batch in batches():
        if cached_units(batch) != units.fingerprint and not told:
            told = True
            say(
                f"the corpus holds units {cached_units(batch) or 'none'}, not {units.fingerprint}: they are assigned anew"
            )
        clips = style_clips(batch, net.style_by, units, net.front_end)
        if any(clip.units is None for clip in clips):
            raise missing_units(batch, units, net.front_end)
        yield from (clip._replace(head=clip.head.clone(), audio=None, features=None) for clip in clips)


def _units_of_corpus(data: Any) -> SemanticUnits | None:
    """The units that `prepare.py units` wrote beside the shards."""
    path = Path(data.index.root) / UNITS
    return SemanticUnits.load(path) if path.is_file() else None

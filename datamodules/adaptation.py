"""The datamodule of an adaptation: windows of one person's first seconds, and the held-out tail of these seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.augmentation import AudioAugmentation
from datamodules.collate import SpeechFaceItem, collate
from datamodules.epoch_plan import EpochPlan
from datamodules.person_reference import SHORTEST_PIECE, PersonReferenceError, cut_sample, read_person
from datamodules.sample import Sample
from datamodules.sampler import EvaluationSampler, PlanSampler, SampleRequest, check_divisible, rank_and_world
from faces.motion import FaceMotion
from runtime.seeding import keyed_generator
from speech.audio import MOTION_FPS


class AdaptationDataModule(pl.LightningDataModule):
    """Serves `SpeechFaceBatch`es of one person; see `read_person` for `root`, `person`, `seconds`, `tracker_model` and the emotions.

    The last `tail_share` of the frames is held out (`val`: what early stopping looks at); windows of `window_frames` are drawn from the
    rest (`train`), each a function of (seed, step, place in the batch), with augmented sound if `augment`. `test` are the last
    `max_other_clips` clips of the person that no frame was taken from, where the corpus has any: the same ones for more seconds of reference; where it has fewer, what is left
    of the last clip of the reference, too. The style reference is the
    same for all: every training frame, in order. Position, `global_batch` and `accumulate` are as in `SpeechFaceDataModule`. Raises
    `PersonReferenceError`, and `ShardError` for a batch that does not split.
    """

    # Nothing here could tell the base another mean or deviation than it was trained with.
    statistics = None

    def __init__(
        self,
        root: str,
        person: str = "",
        seconds: float = 10.0,
        tail_share: float = 0.2,
        window_frames: int = 75,
        global_batch: int = 8,
        accumulate: int = 1,
        augment: bool = True,
        max_other_clips: int = 20,
        seed: int = 1,
        tracker_model: str | None = None,
        emotion: str = "",
        other_emotion: str = "",
    ) -> None:
        super().__init__()
        if not 0.05 <= tail_share <= 0.5 or window_frames < SHORTEST_PIECE or global_batch < 1 or max_other_clips < 0:
            raise PersonReferenceError(
                f"tail_share={tail_share}, window_frames={window_frames}, global_batch={global_batch}, max_other_clips={max_other_clips}; expected a "
                f"share from 0.05 to 0.5, windows of at least {SHORTEST_PIECE} frames, at least one window a batch and no negative number of clips"
            )
        check_divisible(global_batch, rank_and_world()[1], accumulate)
        self.window_frames, self.global_batch, self.accumulate = window_frames, global_batch, accumulate
        self.augment, self.seed = augment, seed
        self.reference = read_person(root, person, seconds, tracker_model, emotion, other_emotion)
        train_frames = self.reference.num_frames - round(tail_share * self.reference.num_frames)
        train, tail = split_pieces(self.reference.pieces, train_frames)
        self.train_pieces, self.tail_pieces = without_short_pieces(train), without_short_pieces(tail)
        self.style_motion = _in_a_row([piece.clip.motion for piece in self.train_pieces])
        self.others = self.reference.others[max(0, len(self.reference.others) - max_other_clips) :]
        # Where there are enough others, they alone: the rest is another one for other seconds of reference.
        self.rest = self.reference.rest if len(self.others) < max_other_clips else None
        self.consumed = 0
        self._plan = EpochPlan([global_batch], seed=seed, window=1, global_batch=global_batch)

    @property
    def synthetic(self) -> bool:
        return any(piece.clip.meta.synthetic for piece in self.reference.pieces)

    @property
    def fingerprint(self) -> str:
        """Hash of the frames and sounds adapted to and of the keys of the person's other clips."""
        digest = hashlib.sha256()
        for piece in self.reference.pieces:
            motion = piece.clip.motion
            for array in (piece.clip.audio, motion.expression, motion.jaw, motion.identity):
                digest.update(np.ascontiguousarray(array).tobytes())
        digest.update("\n".join([str(self.rest is not None), *(self._key(i) for i in self.others)]).encode())
        return digest.hexdigest()

    @property
    def facts(self) -> dict[str, Any]:
        """What a run records of its data and gives to networks that ask; plain JSON values."""
        motion = self.reference.motion
        frames = {"train": self.train_pieces, "val": self.tail_pieces}
        return {
            "fingerprint": self.fingerprint,
            "corpus": self.reference.pieces[0].clip.meta.corpus,
            "synthetic": self.synthetic,
            "space": motion.space,
            "num_expression": motion.expression.shape[1],
            "num_identity": len(motion.identity),
            "identity_space": motion.identity_space,
            "person": self.reference.person,
            "reference_keys": [piece.clip.key for piece in self.reference.pieces],
            "seconds": self.reference.num_frames / MOTION_FPS,
            "frames": {split: sum(len(p.clip.motion) for p in pieces) for split, pieces in frames.items()},
            "rest_frames": 0 if self.rest is None else len(self.rest.clip.motion),
            "other_clips": [self._key(i) for i in self.others],
        }

    def advance(self, batches: int = 1) -> None:
        """Count batches (micro-batches where gradients accumulate) that every rank has trained on."""
        self.consumed += batches * self.global_batch // self.accumulate

    def train_dataloader(self) -> DataLoader:
        last_step = self.trainer.max_steps if self.trainer is not None and self.trainer.max_steps > 0 else None
        augmentation = AudioAugmentation() if self.augment else None
        windows = PersonWindows(self.train_pieces, self.style_motion, self.window_frames, self.seed, augmentation)
        sampler = PlanSampler(self._plan, lambda: self.consumed, self.accumulate, last_step)
        return DataLoader(windows, batch_sampler=sampler, collate_fn=collate, generator=_own_generator())

    def val_dataloader(self) -> DataLoader:
        return self.evaluation_dataloader("val")

    def test_dataloader(self) -> DataLoader:
        return self.evaluation_dataloader("test")

    def evaluation_dataloader(self, split: str) -> DataLoader:
        """Whole pieces, the same on every rank: `train` the training frames, `val` the held-out tail, `test` the rest of the person."""
        clips: Dataset[SpeechFaceItem]
        if split == "test":
            pieces = list(self._rest_of_the_person())
            if not pieces:
                raise PersonReferenceError(f"{self.reference.person} has nothing but what was adapted to")
        else:
            pieces = {"train": self.train_pieces, "val": self.tail_pieces}[split]
        clips = WholePieces(pieces, self.style_motion)
        # The tail is often one piece.
        sampler = EvaluationSampler([len(piece.clip.motion) for piece in pieces], self.global_batch, shared=False)
        return DataLoader(clips, batch_sampler=sampler, collate_fn=collate, generator=_own_generator())

    def state_dict(self) -> dict[str, Any]:
        return {"consumed": self.consumed, "fingerprint": self.fingerprint}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["fingerprint"] != self.fingerprint:
            raise PersonReferenceError("the checkpoint was made with another recording; start a new run")
        self.consumed = state["consumed"]

    @property
    def has_rest(self) -> bool:
        """Whether there is anything of the person that was not adapted to."""
        return bool(self.others) or self.rest is not None

    def _rest_of_the_person(self) -> Iterator[Sample]:
        """What is left of the clip that the reference ends in, and the other clips."""
        if self.rest is not None:
            yield self.rest
        for i in self.others:
            assert self.reference.index is not None
            yield self.reference.index.read(i)

    def _key(self, index: int) -> str:
        assert self.reference.index is not None
        return self.reference.index.entries[index].key


class WholePieces(Dataset[SpeechFaceItem]):
    """Each piece as it is, with one style reference for all."""

    def __init__(self, pieces: Sequence[Sample], style_motion: FaceMotion) -> None:
        self.pieces, self.style_motion = list(pieces), style_motion
        # Metadata with every phoneme and word is long; written anew for each window it costs a tenth of a training step.
        self._metas = [piece.clip.meta.to_dict() for piece in pieces]

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, place: int) -> SpeechFaceItem:
        return self.item(place, self.pieces[place], 0)

    def item(self, place: int, sample: Sample, start: int) -> SpeechFaceItem:
        """Piece number `place`, or `sample`, the part of it from frame `start` on."""
        clip = sample.clip
        known = bool(clip.motion.identity_space) and len(clip.motion.identity) > 0
        return SpeechFaceItem(
            key=clip.key,
            speaker=clip.meta.speaker,
            meta=self._metas[place]
            | {"start_frame": start, "reference_key": self.pieces[0].clip.key, "reference_start_frame": 0},
            audio=clip.audio,
            motion=clip.motion,
            reference=self.style_motion,
            identity=clip.motion.identity,
            identity_known=known,
            features=sample.features,
            units=sample.units,
        )


class PersonWindows(WholePieces):
    """Windows drawn evenly from the training frames; window number `place` of step `epoch` is a function of both and the seed."""

    def __init__(
        self,
        pieces: Sequence[Sample],
        style_motion: FaceMotion,
        window_frames: int,
        seed: int,
        augmentation: AudioAugmentation | None,
    ) -> None:
        super().__init__(pieces, style_motion)
        self.window_frames, self.seed, self.augmentation = window_frames, seed, augmentation

    def __getitem__(self, request: SampleRequest | tuple[int, int, int]) -> SpeechFaceItem:  # type: ignore[override]
        step, _, place = request
        generator = keyed_generator("person_window", self.seed, step, place)
        frames = np.array([len(piece.clip.motion) for piece in self.pieces])
        number = int(generator.choice(len(frames), p=frames / frames.sum()))
        length = min(self.window_frames, int(frames[number]))
        start = int(generator.integers(frames[number] - length + 1))
        item = self.item(number, cut_sample(self.pieces[number], start, start + length), start)
        if self.augmentation is None:
            return item
        return SpeechFaceItem(**{**item.__dict__, "audio": self.augmentation(item.audio, generator)})


def split_pieces(pieces: Sequence[Sample], frames: int) -> tuple[list[Sample], list[Sample]]:
    """The first `frames` motion frames of consecutive pieces, and the rest; a piece that lies across the border is cut there."""
    first, rest = [], []
    for piece in pieces:
        total = len(piece.clip.motion)
        border = min(max(frames, 0), total)
        if border:
            first.append(cut_sample(piece, 0, border))
        if border < total:
            rest.append(cut_sample(piece, border, total))
        frames -= total
    return first, rest


def without_short_pieces(pieces: list[Sample]) -> list[Sample]:
    """The pieces of at least `SHORTEST_PIECE` frames, or the longest where none is."""
    long = [piece for piece in pieces if len(piece.clip.motion) >= SHORTEST_PIECE]
    return long or [max(pieces, key=lambda piece: len(piece.clip.motion))]


def _in_a_row(motions: Sequence[FaceMotion]) -> FaceMotion:
    """One motion; clips that were tracked apart may differ in identity, and the first one's counts."""
    first = motions[0]
    same = [motion.replace(identity=first.identity, identity_space=first.identity_space) for motion in motions]
    return FaceMotion.concatenate(same)


def _own_generator() -> torch.Generator:
    """Without one a loader draws from torch's global generator and shifts every draw after it."""
    return torch.Generator().manual_seed(0)

"""Map-style datasets over a corpus folder: windows for training, whole clips for evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from datamodules.augmentation import AudioAugmentation
from datamodules.collate import SpeechFaceItem
from datamodules.sample import Sample
from datamodules.sampler import SampleRequest
from datamodules.shard_index import ShardIndex
from datamodules.windows import ClipNeighbours, Frames, WindowRule, draw_training_window, evaluation_window
from faces.motion import FaceMotion
from runtime.seeding import keyed_generator
from speech.audio import SAMPLES_PER_FRAME


class ClipStore:
    """Reads samples of an index and keeps the last used ones decoded, up to `cache_mb` megabytes (0: none) in
    each process.
    """

    def __init__(self, index: ShardIndex, cache_mb: float = 0.0) -> None:
        self.index = index
        self._limit = cache_mb * 1e6
        self._kept: OrderedDict[int, Sample] = OrderedDict()
        self._bytes = 0

    def sample(self, index: int) -> Sample:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        sample = self.index.read(index)
        if self._limit:
            self._keep(index, sample)
        return sample

    def motion(self, index: int) -> FaceMotion:
        """The motion alone, which is cheaper to read than the whole sample."""
        if self._limit:
            return self.sample(index).clip.motion
        return self.index.read_motion(index)

    def _keep(self, index: int, sample: Sample) -> None:
        self._kept[index] = sample
        self._bytes += _decoded_bytes(sample)
        while self._bytes > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _decoded_bytes(oldest)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_kept": OrderedDict(), "_bytes": 0}


class _ClipDataset(Dataset[SpeechFaceItem], ABC):
    def __init__(self, store: ClipStore, chosen: Sequence[int], rule: WindowRule) -> None:
        self.store = store
        self.chosen = list(chosen)
        self.rule = rule
        self.neighbours = ClipNeighbours(store.index.entries, self.chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    @abstractmethod
    def windows(self, request: Any) -> tuple[Frames, Frames]:
        """(target, reference) of a request, without reading anything."""

    def shards(self, request: Any) -> tuple[int, ...]:
        """Numbers of the shards that the sample of a request is read from."""
        return tuple(self.store.index.shard_of[frames.clip] for frames in self.windows(request))

    def _item(self, target: Frames, reference: Frames) -> SpeechFaceItem:
        sample = self.store.sample(target.clip)
        clip = sample.clip
        motion = clip.motion[target.start : target.stop]
        identity_size = self.store.index.manifest.identity_size
        known = bool(clip.motion.identity_space) and len(clip.motion.identity) > 0
        entries = self.store.index.entries
        return SpeechFaceItem(
            key=clip.key,
            speaker=clip.meta.speaker,
            meta=clip.meta.to_dict()
            | {
                "start_frame": target.start,
                "reference_key": entries[reference.clip].key,
                "reference_start_frame": reference.start,
            },
            audio=clip.audio[target.start * SAMPLES_PER_FRAME : target.stop * SAMPLES_PER_FRAME],
            motion=motion,
            reference=self.store.motion(reference.clip)[reference.start : reference.stop],
            identity=clip.motion.identity if known else np.zeros(identity_size, np.float32),
            identity_known=known,
            features=_cut(sample.features, target, len(clip.motion)),
            units=_cut(sample.units, target, len(clip.motion)),
        )


class TrainingClips(_ClipDataset):
    """Random windows with augmented sound, each a function of (seed, epoch, sample)."""

    def __init__(
        self,
        store: ClipStore,
        chosen: Sequence[int],
        rule: WindowRule,
        *,
        seed: int,
        augmentation: AudioAugmentation | None,
    ) -> None:
        super().__init__(store, chosen, rule)
        self.seed = seed
        self.augmentation = augmentation

    def windows(self, request: SampleRequest | tuple[int, int, int]) -> tuple[Frames, Frames]:
        epoch, _, place = request
        index = self.chosen[place]
        generator = keyed_generator("window", self.seed, epoch, index)
        return draw_training_window(index, self.neighbours, self.rule, generator)

    def __getitem__(self, request: SampleRequest | tuple[int, int, int]) -> SpeechFaceItem:
        target, reference = self.windows(request)
        item = self._item(target, reference)
        if self.augmentation is None:
            return item
        audio = self.augmentation(item.audio, keyed_generator("augmentation", self.seed, request[0], target.clip))
        return SpeechFaceItem(**{**item.__dict__, "audio": audio})


class EvaluationClips(_ClipDataset):
    """Whole clips without augmentation, each with a fixed reference."""

    def windows(self, request: int) -> tuple[Frames, Frames]:
        return evaluation_window(self.chosen[request], self.neighbours, self.rule)

    def __getitem__(self, place: int) -> SpeechFaceItem:
        return self._item(*self.windows(place))

    @property
    def lengths(self) -> list[int]:
        """Motion frames of each clip."""
        return [self.neighbours.num_frames(index) for index in self.chosen]


def _cut(values: np.ndarray | None, frames: Frames, total: int) -> np.ndarray | None:
    if values is None:
        return None
    per_frame = len(values) // total
    return values[frames.start * per_frame : frames.stop * per_frame]


def _decoded_bytes(sample: Sample) -> int:
    motion = sample.clip.motion
    arrays = (
        sample.clip.audio,
        motion.expression,
        motion.head,
        motion.jaw,
        motion.translation,
        sample.features,
        sample.units,
    )
    return sum(array.nbytes for array in arrays if array is not None)

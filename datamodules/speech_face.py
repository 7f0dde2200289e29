"""The datamodule over a corpus folder: the epoch plan for training, every clip once for evaluation, one
integer of state.
"""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Sampler

from corpora.clip import SPLITS
from datamodules.clip_dataset import ClipStore, EvaluationClips, TrainingClips
from datamodules.collate import SpeechFaceBatch, SpeechFaceItem, collate
from datamodules.corpus_statistics import training_statistics
from datamodules.data_config import DataConfig
from datamodules.epoch_plan import EpochPlan
from datamodules.errors import ShardError
from datamodules.loader_workers import outlive_stop_signals, worker_context
from datamodules.manifest import SampleEntry
from datamodules.motion_statistics import MotionStatistics
from datamodules.sample import Sample
from datamodules.sampler import (
    EvaluationSampler,
    PlanSampler,
    check_divisible,
    check_enough_to_validate,
    rank_and_world,
)
from datamodules.shard_index import ShardIndex
from datamodules.shard_prefetch import fetching_ahead
from datamodules.splits import SplitRule, choose_samples, speaker_split_rule

STATE_VERSION = 1


class SpeechFaceDataModule(pl.LightningDataModule):
    """Serves `SpeechFaceBatch`es of a prepared corpus; `SpeechFaceDataModule(root=..., global_batch=...)`,
    see `DataConfig`.

    The position of a run is `consumed`, the number of samples trained on by all ranks together. Whoever
    trains calls `advance(batches)` after the batches that every rank has finished (a callback's
    `on_train_batch_end`, not a module's: module hooks run after checkpoints are saved). Trainers need
    `use_distributed_sampler=False`. Raises ShardError for a corpus or options that cannot be used.
    """

    config_class: ClassVar[type[DataConfig]] = DataConfig

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Configuration checks and help read the signature; the options are declared once, as fields of the dataclass.
        cls.__signature__ = inspect.signature(cls.config_class)  # type: ignore[attr-defined]

    def __init__(self, config: DataConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = config if config is not None else self.config_class.from_options(options)
        check_divisible(self.config.global_batch, rank_and_world()[1], self.config.accumulate)
        self.index = ShardIndex(self.config.root, self.config.remote)
        self.chosen = choose_samples(
            self.index.entries,
            self._split_rule(),
            self._keep,
            self.config.max_clips,
            self.config.max_train_clips_per_speaker,
        )
        self.consumed = 0
        self._store = ClipStore(self.index, self.config.cache_mb)
        self._plan: EpochPlan | None = None
        self._statistics: MotionStatistics | None = None

    # What a subclass may change.

    def _split_rule(self) -> SplitRule:
        return speaker_split_rule(self.index.entries, self.config)

    def _keep(self, entry: SampleEntry) -> bool:
        return True

    def _collate(self) -> Callable[[Sequence[SpeechFaceItem]], SpeechFaceBatch]:
        return collate

    # Facts of the data.

    @property
    def space(self) -> str:
        """Expression space of every motion, for example `arkit`."""
        return self.index.manifest.space

    @property
    def num_expression(self) -> int:
        return len(self.motion_statistics.expression.mean)

    @property
    def num_identity(self) -> int:
        """Length of the identity vector; 0 where no clip has one."""
        return self.index.manifest.identity_size

    @property
    def identity_space(self) -> str:
        return self.index.manifest.identity_space

    @property
    def synthetic(self) -> bool:
        """Whether any clip was made by a program; figures on it measure the implementation, not people."""
        return self.index.manifest.synthetic

    @property
    def motion_statistics(self) -> MotionStatistics:
        """Mean, deviation and range of every field over the clips that this run trains on."""
        if self._statistics is None:
            self._statistics = training_statistics(self.index, self.indices("train"))
        return self._statistics

    @property
    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean, standard deviation) `[E + 3]` float64 in raw units, expression then jaw, for networks to
        normalise by.
        """
        found = self.motion_statistics
        return (
            np.concatenate([found.expression.mean, found.jaw.mean]),
            np.concatenate([found.expression.std, found.jaw.std]),
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the data and of what of it this run trains on."""
        keys = "\n".join(self.index.entries[i].key for i in self.chosen["train"])
        return hashlib.sha256(f"{self.index.fingerprint}\n{keys}".encode()).hexdigest()

    @property
    def facts(self) -> dict[str, Any]:
        """What a run records of its data and gives to networks that ask; plain JSON values."""
        return {
            "fingerprint": self.fingerprint,
            "corpus": self.index.manifest.corpus,
            "synthetic": self.synthetic,
            "space": self.space,
            "num_expression": self.num_expression,
            "num_identity": self.num_identity,
            "identity_space": self.identity_space,
            "clips": {split: len(indices) for split, indices in self.chosen.items()},
        }

    def indices(self, split: str) -> list[int]:
        """Sample numbers of a split of this run; raises ShardError when it is unknown or empty."""
        if split not in SPLITS:
            raise ShardError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
        if not self.chosen[split]:
            sizes = {name: len(indices) for name, indices in self.chosen.items()}
            raise ShardError(
                f"split {split} of {self.config.root} has no clips (clips: {sizes}); hold out speakers or lift filters"
            )
        return self.chosen[split]

    def speakers(self, split: str) -> list[str]:
        return sorted({self.index.entries[i].speaker for i in self.indices(split)})

    def sources(self, split: str) -> list[str]:
        """The source videos of a split as `speaker/source`, sorted: two people's videos may have the same name."""
        entries = (self.index.entries[i] for i in self.indices(split))
        return sorted({f"{entry.speaker}/{entry.source}" for entry in entries})

    def clips_by_speaker(self, split: str) -> dict[str, list[int]]:
        """Sample numbers of each speaker of a split, for `read_sample`."""
        grouped: dict[str, list[int]] = {speaker: [] for speaker in self.speakers(split)}
        for index in self.indices(split):
            grouped[self.index.entries[index].speaker].append(index)
        return grouped

    def read_sample(self, index: int) -> Sample:
        """The whole clip of a sample number, with what is cached beside it."""
        return self._store.sample(index)

    # Training, in the order of the plan.

    @property
    def plan(self) -> EpochPlan:
        if self._plan is None:
            sizes = [0] * len(self.index.manifest.shards)
            for index in self.indices("train"):
                sizes[self.index.shard_of[index]] += 1
            self._plan = EpochPlan(
                [size for size in sizes if size],
                seed=self.config.seed,
                window=self.config.shuffle_window,
                global_batch=self.config.global_batch,
            )
        return self._plan

    def advance(self, batches: int = 1) -> None:
        """Count batches (micro-batches where gradients accumulate) that every rank has trained on."""
        self.consumed += batches * self.config.global_batch // self.config.accumulate

    def setup(self, stage: str) -> None:
        check_enough_to_validate(len(self.chosen["val"]), rank_and_world()[1])

    def train_dataloader(self) -> DataLoader:
        dataset = TrainingClips(
            self._store,
            self.indices("train"),
            self.config.window_rule,
            seed=self.config.seed,
            augmentation=self.config.augmentation,
        )
        last_step = self.trainer.max_steps if self.trainer is not None and self.trainer.max_steps > 0 else None
        return self._loader(dataset, PlanSampler(self.plan, lambda: self.consumed, self.config.accumulate, last_step))

    def state_dict(self) -> dict[str, Any]:
        return {"version": STATE_VERSION, "consumed": self.consumed, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a saved position; raises ShardError naming both values when the state is of other data
        or another order.
        """
        wanted = {"version": STATE_VERSION, **self._identity()}
        for name, value in wanted.items():
            if state.get(name) != value:
                raise ShardError(
                    f"the checkpoint's data state has {name}={state.get(name)!r}, this run has {value!r}; resume with the data and options "
                    "that the checkpoint was made with, or start a new run"
                )
        self.plan.locate(state["consumed"])
        # Lightning looks for the state of the loader; ours is in this datamodule, the same on every rank.
        warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")
        self.consumed = state["consumed"]

    def _identity(self) -> dict[str, Any]:
        return {
            "seed": self.config.seed,
            "global_batch": self.config.global_batch,
            "shuffle_window": self.config.shuffle_window,
            "fingerprint": self.fingerprint,
        }

    # Evaluation, every clip once.

    def val_dataloader(self) -> DataLoader | list:
        """An empty list where the corpus has no validation clips: then Lightning skips validation."""
        return self.evaluation_dataloader("val") if self.chosen["val"] else []

    def test_dataloader(self) -> DataLoader:
        return self.evaluation_dataloader("test")

    def predict_dataloader(self) -> DataLoader:
        return self.evaluation_dataloader("test")

    def evaluation_dataloader(self, split: str) -> DataLoader:
        """Whole clips of a split, sorted by length, shared out over the ranks without padding or dropping."""
        dataset = EvaluationClips(self._store, self.indices(split), self.config.window_rule)
        return self._loader(dataset, EvaluationSampler(dataset.lengths, self.config.eval_batch))

    def _loader(self, dataset: TrainingClips | EvaluationClips, sampler: Sampler) -> DataLoader:
        workers = self.config.workers
        # Two batches a worker is what torch's loader asks for ahead.
        in_flight = 2 * workers + 1
        sampler = fetching_ahead(
            sampler, self.index, dataset.shards, ahead=self.config.prefetch_shards, in_flight=in_flight
        )
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            num_workers=workers,
            collate_fn=self._collate(),
            worker_init_fn=outlive_stop_signals,
            persistent_workers=workers > 0,
            multiprocessing_context=worker_context(self.config.worker_start) if workers else None,
            pin_memory=torch.cuda.is_available(),
            # Without a generator of its own a loader draws from torch's global one and shifts every draw after it.
            generator=torch.Generator().manual_seed(self.config.seed),
        )


SpeechFaceDataModule.__signature__ = inspect.signature(DataConfig)  # type: ignore[attr-defined]

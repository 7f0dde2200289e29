"""The order of samples as a pure function of (seed, epoch), and the position of a run in it as one integer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datamodules.errors import ShardError
from runtime.seeding import keyed_generator


class EpochPlan:
    """Shuffles shards, takes windows of `window` shards and shuffles inside each window, so that reads stay
    local.

    `shard_sizes[i]` is the number of samples of shard i; samples are numbered 0..N-1 through the shards in
    order. A step takes `global_batch` consecutive places of the order over all ranks together; the tail of an
    epoch that does not fill a step is dropped, another one every epoch. Rank, world size and loader workers
    do not enter. Raises ShardError for sizes that give no step.
    """

    def __init__(self, shard_sizes: Sequence[int], *, seed: int, window: int, global_batch: int) -> None:
        self.shard_sizes = [int(size) for size in shard_sizes]
        self.num_samples = sum(self.shard_sizes)
        if seed < 0 or window < 1 or global_batch < 1:
            raise ShardError(
                f"seed={seed}, shuffle_window={window}, global_batch={global_batch}: "
                "expected a seed of at least 0 and the others at least 1"
            )
        if self.num_samples < global_batch:
            raise ShardError(
                f"the training split has {self.num_samples} clips, fewer than one global batch of {global_batch}; "
                "lower data.global_batch or prepare more data"
            )
        self.seed = seed
        self.window = window
        self.global_batch = global_batch
        self._last: tuple[int, np.ndarray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        return self.num_samples // self.global_batch

    @property
    def samples_per_epoch(self) -> int:
        """Samples that an epoch trains on: whole global batches only."""
        return self.steps_per_epoch * self.global_batch

    def order(self, epoch: int) -> np.ndarray:
        """Permutation of all samples in this epoch, `[num_samples]` int64."""
        if self._last is None or self._last[0] != epoch:
            self._last = (epoch, self._shuffle(epoch))
        return self._last[1]

    def _shuffle(self, epoch: int) -> np.ndarray:
        generator = keyed_generator("order", self.seed, epoch)
        starts = np.concatenate([[0], np.cumsum(self.shard_sizes)]).astype(np.int64)
        shards = generator.permutation(len(self.shard_sizes))
        windows = []
        for first in range(0, len(shards), self.window):
            members = [np.arange(starts[i], starts[i + 1]) for i in shards[first : first + self.window]]
            windows.append(generator.permutation(np.concatenate(members)))
        return np.concatenate(windows)

    def locate(self, consumed: int) -> tuple[int, int]:
        """(epoch, step within it) at which a run goes on that has trained on `consumed` samples.

        Raises ShardError when that is not a whole number of steps.
        """
        if consumed < 0 or consumed % self.global_batch:
            raise ShardError(
                f"position {consumed} is not a whole number of steps of {self.global_batch} samples; "
                "save at optimiser steps only, and resume with the same data.global_batch"
            )
        epoch, offset = divmod(consumed, self.samples_per_epoch)
        return epoch, offset // self.global_batch

    def consumed_at(self, epoch: int, step: int) -> int:
        """Inverse of `locate`."""
        return epoch * self.samples_per_epoch + step * self.global_batch

    def global_batch_at(self, epoch: int, step: int) -> np.ndarray:
        """Samples of a step over all ranks, `[global_batch]` int64; raises ShardError outside the epoch."""
        if not 0 <= step < self.steps_per_epoch:
            raise ShardError(
                f"step {step} of an epoch of {self.steps_per_epoch} steps; expected 0..{self.steps_per_epoch - 1}"
            )
        return self.order(epoch)[step * self.global_batch : (step + 1) * self.global_batch]

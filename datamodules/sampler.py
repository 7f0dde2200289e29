"""Which samples this rank reads, in training by the epoch plan and in evaluation exactly once each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch.distributed
from torch.utils.data import Sampler

from datamodules.epoch_plan import EpochPlan
from datamodules.errors import ShardError


class SampleRequest(NamedTuple):
    """What a dataset is asked for. `position` is the place in the epoch's order, `sample` its number there."""

    epoch: int
    position: int
    sample: int


def rank_and_world() -> tuple[int, int]:
    """This process' rank and the world size: of torch.distributed when initialised, else of $RANK and
    $WORLD_SIZE, else (0, 1).
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def check_divisible(global_batch: int, world: int, accumulate: int) -> None:
    """Raises ShardError unless a global batch splits evenly over ranks and accumulated micro-batches."""
    if accumulate < 1 or global_batch % (world * accumulate):
        raise ShardError(
            f"data.global_batch={global_batch} does not split over {world} ranks x {accumulate} accumulated batches; "
            f"choose a multiple of {world * max(accumulate, 1)}"
        )


def check_enough_to_validate(clips: int, world: int) -> None:
    """Raises ShardError where a rank would get no validation clip: Lightning skips validation there, and the others wait for it."""
    if 0 < clips < world:
        raise ShardError(
            f"validation has {clips} clips, fewer than the {world} ranks; start at most {clips}, or choose more validation speakers"
        )


class PlanSampler(Sampler[list[SampleRequest]]):
    """Batch sampler of the training loader: rank r of W takes `ids[r::W]` of each global batch, in
    `accumulate` micro-batches, from the position on over the ends of epochs to the step `last_step` of the
    run (None: to the end of the current epoch).

    `position()` gives the samples consumed so far. It, the rank and the world size are read when `iter` is
    called, because strategies restore state and start processes after the loader is built. To Lightning a run
    is one long epoch: what it does at the end of one (new iterators, restored counters) cannot go wrong, and
    loader workers do not wait there. The Trainer needs `use_distributed_sampler=False`.
    """

    def __init__(
        self, plan: EpochPlan, position: Callable[[], int], accumulate: int = 1, last_step: int | None = None
    ) -> None:
        self.plan = plan
        self.accumulate = accumulate
        self.last_step = last_step
        self._position = position

    def __len__(self) -> int:
        return len(self._steps()) * self.accumulate

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        rank, world = rank_and_world()
        check_divisible(self.plan.global_batch, world, self.accumulate)
        return self._batches(self._steps(), rank, world)

    def _steps(self) -> range:
        """Steps of the run that are still to be done, counted from its beginning."""
        done = self._position() // self.plan.global_batch
        epoch, _ = self.plan.locate(self._position())
        last = (epoch + 1) * self.plan.steps_per_epoch if self.last_step is None else self.last_step
        return range(done, max(done, last))

    def _batches(self, steps: range, rank: int, world: int) -> Iterator[list[SampleRequest]]:
        size = self.plan.global_batch // (world * self.accumulate)
        for step in steps:
            epoch, step_of_epoch = divmod(step, self.plan.steps_per_epoch)
            start = step_of_epoch * self.plan.global_batch
            requests = [
                SampleRequest(epoch, start + place, int(sample))
                for place, sample in enumerate(self.plan.global_batch_at(epoch, step_of_epoch))
            ][rank::world]
            for micro in range(0, len(requests), size):
                yield requests[micro : micro + size]


class EvaluationSampler(Sampler[list[int]]):
    """Batch sampler that visits each sample once: rank r takes `r::W` of the length-sorted list; no padding,
    no dropping. With `shared=False` every rank takes all, for sets so small that a rank could be left without any: means over ranks are
    the same.

    Batches hold clips of similar length. Ranks may have different numbers of batches, or none: no collective
    may run per batch. `lengths[i]` are motion frames; ties keep the order of the split.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, shared: bool = True) -> None:
        if batch_size < 1:
            raise ShardError(f"data.eval_batch={batch_size}; expected at least 1")
        self._sorted = np.argsort(np.asarray(lengths), kind="stable")
        self.batch_size, self.shared = batch_size, shared

    def __len__(self) -> int:
        return -(-len(self._mine()) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        mine = self._mine()
        for start in range(0, len(mine), self.batch_size):
            yield mine[start : start + self.batch_size]

    def _mine(self) -> list[int]:
        rank, world = rank_and_world() if self.shared else (0, 1)
        return self._sorted[rank::world].tolist()

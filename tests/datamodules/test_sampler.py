import numpy as np
import pytest

from datamodules.epoch_plan import EpochPlan
from datamodules.errors import ShardError
from datamodules.sampler import EvaluationSampler, PlanSampler, SampleRequest, check_enough_to_validate

PLAN = EpochPlan([10, 10, 10, 10, 10, 3], seed=3, window=2, global_batch=12)


def _as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, world: int) -> None:
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(world))


def _all_ranks(monkeypatch: pytest.MonkeyPatch, world: int, consumed: int = 0, accumulate: int = 1) -> list[list]:
    """Batches of each rank."""
    ranks = []
    for rank in range(world):
        _as_rank(monkeypatch, rank, world)
        ranks.append(list(PlanSampler(PLAN, lambda: consumed, accumulate)))
    return ranks


def _global_batches(ranks: list[list], accumulate: int = 1) -> list[list[SampleRequest]]:
    steps = len(ranks[0]) // accumulate
    return [
        sorted(r for rank in ranks for micro in rank[s * accumulate : (s + 1) * accumulate] for r in micro)
        for s in range(steps)
    ]


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_global_batches_do_not_depend_on_the_number_of_ranks(monkeypatch, world: int, accumulate: int) -> None:
    found = _global_batches(_all_ranks(monkeypatch, world, accumulate=accumulate), accumulate)
    assert [[request.sample for request in batch] for batch in found] == [
        PLAN.global_batch_at(0, step).tolist() for step in range(4)
    ]
    assert all(len(set(batch)) == 12 for batch in found)


def test_a_rank_takes_every_wth_sample_in_equal_micro_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = _all_ranks(monkeypatch, 2, accumulate=3)
    assert {len(micro) for micro in first + second} == {2} and len(first) == 12
    assert [r.sample for micro in second[:3] for r in micro] == PLAN.global_batch_at(0, 0)[1::2].tolist()


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 2), (2, 1)])
def test_a_run_goes_on_mid_epoch_on_another_number_of_ranks(monkeypatch, before: int, after: int) -> None:
    full = _global_batches(_all_ranks(monkeypatch, before, consumed=48))
    rest = _global_batches(_all_ranks(monkeypatch, after, consumed=48 + 24))
    assert rest == full[2:] and rest[0][0].epoch == 1


def test_the_position_is_read_when_iteration_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    _as_rank(monkeypatch, 0, 1)
    position = {"consumed": 0}
    sampler = PlanSampler(PLAN, lambda: position["consumed"])
    assert len(sampler) == 4 and len(list(sampler)) == 4
    position["consumed"] = 36
    assert len(sampler) == 1 and len(list(sampler)) == 1


def test_a_run_is_one_sequence_of_steps_over_the_ends_of_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    _as_rank(monkeypatch, 0, 1)
    whole = list(PlanSampler(PLAN, lambda: 0, last_step=11))
    assert len(whole) == 11 and [batch[0].epoch for batch in whole] == [0] * 4 + [1] * 4 + [2] * 3
    by_epoch = [list(PlanSampler(PLAN, lambda position=position: position)) for position in (0, 48, 96)]
    assert whole == [batch for epoch in by_epoch for batch in epoch][:11]
    for done in range(12):
        rest = PlanSampler(PLAN, lambda done=done: 12 * done, last_step=11)
        assert list(rest) == whole[done:] and len(rest) == 11 - done


def test_a_global_batch_that_does_not_split_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _as_rank(monkeypatch, 0, 8)
    with pytest.raises(ShardError, match=r"global_batch=12 does not split over 8 ranks x 1 .* multiple of 8"):
        iter(PlanSampler(PLAN, lambda: 0))


@pytest.mark.parametrize("world", [1, 2, 4, 64])
@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_evaluation_visits_each_sample_once(monkeypatch, world: int, batch_size: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 98, 53)
    visited = []
    for rank in range(world):
        _as_rank(monkeypatch, rank, world)
        sampler = EvaluationSampler(lengths, batch_size)
        batches = list(sampler)
        assert len(batches) == len(sampler) and all(len(b) <= batch_size for b in batches)
        mine = [i for batch in batches for i in batch]
        assert lengths[mine].tolist() == sorted(lengths[mine])
        visited += mine
    assert sorted(visited) == list(range(53))


def test_what_is_not_shared_out_is_whole_on_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "4")
        assert sorted(i for batch in EvaluationSampler([5, 3], 8, shared=False) for i in batch) == [0, 1]


@pytest.mark.parametrize(("clips", "world"), [(0, 4), (4, 4), (5, 2)])
def test_every_rank_has_a_validation_clip_or_none_has(clips: int, world: int) -> None:
    check_enough_to_validate(clips, world)


def test_fewer_validation_clips_than_ranks_are_refused() -> None:
    with pytest.raises(ShardError, match="3 clips, fewer than the 4 ranks; start at most 3"):
        check_enough_to_validate(3, 4)

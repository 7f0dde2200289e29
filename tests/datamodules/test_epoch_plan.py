import numpy as np
import pytest

from datamodules.epoch_plan import EpochPlan
from datamodules.errors import ShardError

SIZES = [10, 10, 10, 10, 10, 3]
GOLDEN = [[12, 3, 13, 1, 2, 0, 8, 11, 5, 7, 10, 6, 9, 4], [6, 4, 13, 5, 12, 0, 9, 11, 10, 8, 7, 2, 1, 3]]


def _plan(seed: int = 0, window: int = 2, global_batch: int = 12, sizes: list[int] = SIZES) -> EpochPlan:
    return EpochPlan(sizes, seed=seed, window=window, global_batch=global_batch)


def test_every_epoch_is_a_permutation_of_all_samples() -> None:
    for epoch in range(5):
        assert sorted(_plan().order(epoch)) == list(range(53))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    plan = _plan()
    assert not np.array_equal(plan.order(0), plan.order(1))
    assert not np.array_equal(plan.order(0), _plan(seed=1).order(0))
    plan.order(7)
    np.testing.assert_array_equal(plan.order(0), _plan().order(0))


def test_samples_of_a_window_stay_together_and_are_mixed() -> None:
    plan = _plan(window=2, sizes=[10] * 6)
    for window in plan.order(3).reshape(3, 20) // 10:
        assert len(set(window)) == 2 and np.count_nonzero(np.diff(window)) > 2


def test_the_shards_of_a_window_change_from_epoch_to_epoch() -> None:
    plan = _plan(window=2, sizes=[10] * 6)
    assert len({frozenset(plan.order(epoch)[:20] // 10) for epoch in range(20)}) > 5


def test_the_order_of_seed_0_epoch_0_never_changes() -> None:
    """A run resumed under another NumPy must find the same order."""
    plan = EpochPlan([4, 3, 5, 2], seed=0, window=2, global_batch=2)
    assert plan.order(0).tolist() == GOLDEN[0] and plan.order(1).tolist() == GOLDEN[1]


def test_steps_take_consecutive_places_and_drop_the_tail() -> None:
    plan = _plan()
    assert (plan.steps_per_epoch, plan.samples_per_epoch) == (4, 48)
    taken = np.concatenate([plan.global_batch_at(2, step) for step in range(4)])
    np.testing.assert_array_equal(taken, plan.order(2)[:48])
    with pytest.raises(ShardError, match="step 4 of an epoch of 4"):
        plan.global_batch_at(2, 4)


def test_a_position_is_one_integer() -> None:
    plan = _plan()
    for epoch, step in [(0, 0), (0, 3), (1, 0), (5, 2)]:
        assert plan.locate(plan.consumed_at(epoch, step)) == (epoch, step)
    with pytest.raises(ShardError, match="position 13 is not a whole number of steps of 12"):
        plan.locate(13)


@pytest.mark.parametrize("wrong", [{"global_batch": 54}, {"global_batch": 0}, {"window": 0}, {"seed": -1}])
def test_sizes_that_give_no_step_are_refused(wrong: dict) -> None:
    with pytest.raises(ShardError, match=r"fewer than one global batch|expected a seed of at least 0"):
        _plan(**wrong)

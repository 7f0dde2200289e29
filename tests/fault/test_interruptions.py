"""Runs that are killed, signalled and started again on other ranks and workers end as the uninterrupted one did."""

from __future__ import annotations

from pathlib import Path

import pytest
from interruptions import (
    Stage,
    assert_bitwise_the_same,
    assert_each_step_once,
    assert_same_batches,
    interrupt_and_resume,
)
from two_nodes import can_make_namespaces

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def stage(made_up_corpus: Path) -> Stage:
    return Stage("expression_pretraining", made_up_corpus)


@pytest.fixture(scope="module")
def uninterrupted(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stage.finish(tmp_path_factory.mktemp("uninterrupted") / "run", ranks=1, workers=0)


def test_twenty_interruptions_on_changing_ranks_and_workers_change_no_batch(
    stage: Stage, uninterrupted: Path, tmp_path: Path
) -> None:
    cuts = (4, 11, 17) if can_make_namespaces() else ()
    done = interrupt_and_resume(stage, tmp_path / "run", 20, (1, 2, 4), seed=3, cuts=cuts)
    print("\n".join(done))
    assert_same_batches(stage, tmp_path / "run", uninterrupted)
    assert_each_step_once(stage, tmp_path / "run", uninterrupted)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_on_unchanged_ranks_the_final_weights_and_losses_are_bitwise_those_of_the_uninterrupted_run(
    ranks: int, stage: Stage, uninterrupted: Path, tmp_path: Path
) -> None:
    reference = uninterrupted if ranks == 1 else stage.finish(tmp_path / "reference" / "run", ranks, workers=0)
    done = interrupt_and_resume(stage, tmp_path / "run", 3, (ranks,), seed=ranks)
    print("\n".join(done))
    assert_bitwise_the_same(stage, tmp_path / "run", reference)
    assert_each_step_once(stage, tmp_path / "run", reference)

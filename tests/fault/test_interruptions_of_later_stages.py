"""The pose stages and the adaptation to a person go through the interruptions that the expression pre-training goes through."""

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
from tiny_runs import train_tiny
from two_nodes import can_make_namespaces

pytestmark = [pytest.mark.fault, pytest.mark.timeout(2400)]
STEPS = 120


@pytest.fixture(scope="module")
def stages(made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stage]:
    runs = tmp_path_factory.mktemp("bases")
    base = train_tiny(made_up_corpus, runs / "expression")
    vqvae = train_tiny(made_up_corpus, runs / "vqvae", experiment="pose_vqvae")
    person = (f"base.run={base}", "data.person=theo", "data.seconds=4", "callbacks.early_stopping.patience=1000")
    return {
        "pose_vqvae": Stage("pose_vqvae", made_up_corpus, STEPS),
        "pose_gpt": Stage("pose_gpt", made_up_corpus, STEPS, (f"run.pose_vqvae={vqvae}",)),
        "molora_adaptation": Stage("molora_adaptation", made_up_corpus, STEPS, person, has_workers=False),
    }


@pytest.mark.parametrize("name", ["pose_vqvae", "pose_gpt", "molora_adaptation"])
def test_eight_interruptions_on_changing_ranks_change_no_batch_of_a_later_stage(
    name: str, stages: dict[str, Stage], tmp_path: Path
) -> None:
    stage = stages[name]
    uninterrupted = stage.finish(tmp_path / "uninterrupted" / "run", ranks=1, workers=0)
    cuts = (3,) if can_make_namespaces() else ()
    print("\n".join(interrupt_and_resume(stage, tmp_path / "changing" / "run", 8, (1, 1, 2, 4), seed=5, cuts=cuts)))
    assert_same_batches(stage, tmp_path / "changing" / "run", uninterrupted)
    assert_each_step_once(stage, tmp_path / "changing" / "run", uninterrupted)


@pytest.mark.parametrize("name", ["pose_vqvae", "pose_gpt", "molora_adaptation"])
def test_a_later_stage_on_two_ranks_ends_bitwise_as_the_uninterrupted_run(
    name: str, stages: dict[str, Stage], tmp_path: Path
) -> None:
    stage = stages[name]
    reference = stage.finish(tmp_path / "reference" / "run", 2, workers=0)
    print("\n".join(interrupt_and_resume(stage, tmp_path / "struck" / "run", 2, (2,), seed=2)))
    assert_bitwise_the_same(stage, tmp_path / "struck" / "run", reference)
    assert_each_step_once(stage, tmp_path / "struck" / "run", reference)

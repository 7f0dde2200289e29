"""A validation score says nothing of the machine it was measured on."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_processes import Training, tiny_overrides

from runtime.metrics_log import read_metrics

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]


def validation_scores(corpus: Path, folder: Path, ranks: int, batch: int) -> dict[str, float]:
    # One step with a learning rate of zero: every run validates the same weights.
    still = [
        "task.optimizer.lr=0.0",
        "task.optimizer.weight_decay=0.0",
        "trainer.max_steps=1",
        "trainer.val_every_steps=1",
        "data.global_batch=4",
    ]
    settings = [f"trainer.devices={ranks}", f"data.eval_batch={batch}", "data.max_clips=null"]
    training = Training(folder, [*tiny_overrides(corpus, *still), *settings])
    assert training.end(150) == 0, training.output()
    (line,) = [line for line in read_metrics(folder / "metrics.jsonl") if "val/loss" in line]
    return {name: value for name, value in line.items() if name.startswith("val/")}


def test_scores_are_the_same_for_any_number_of_ranks_and_any_batch_size(made_up_corpus: Path, tmp_path: Path) -> None:
    scores = {
        (ranks, batch): validation_scores(made_up_corpus, tmp_path / f"{ranks}-{batch}" / "run", ranks, batch)
        for ranks in (1, 2, 4)
        for batch in (1, 4, 7)
    }
    expected = scores[1, 1]
    assert {"val/loss", "val/lip_vertex_error_mm", "val/expression_richness_ratio"} <= set(expected)
    for (ranks, batch), found in scores.items():
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6), f"{ranks} ranks, batches of {batch}"

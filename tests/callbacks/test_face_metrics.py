import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_runs import train_tiny

from callbacks import face_metrics
from callbacks.face_metrics import NEEDS_EMBEDDER, READABLE, FaceMetrics
from faces import load_face_model
from metrics.checks import MetricError
from metrics.lip_vertex_error import lip_vertex_error_mm
from metrics.registry import METRICS, OTHER_MESH

FACE = load_face_model("procedural")
NAMES = ["lip_vertex_error_mm", "lip_jerk_ratio", "style_statistics_distance"]
LENGTHS = (12, 7)


class Net:
    def normalise(self, expression, jaw):
        return (torch.cat([expression, jaw], -1) - 0.25) / 0.1


MODULE = SimpleNamespace(net=Net())


@pytest.fixture
def batch() -> SimpleNamespace:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(12)[None] < torch.tensor(LENGTHS)[:, None]
    return SimpleNamespace(
        keys=["a", "b"],
        metas=[{}, {}],
        expression=0.5 * torch.rand(2, 12, 52, generator=generator),
        jaw=torch.zeros(2, 12, 3),
        mask=mask,
        reference_expression=0.5 * torch.rand(2, 9, 52, generator=generator),
        reference_jaw=torch.zeros(2, 9, 3),
        reference_mask=torch.ones(2, 9, dtype=torch.bool),
    )


def values(callback: FaceMetrics) -> dict[str, float]:
    return {name: float(metric.compute()) for name, metric in callback.metrics.items()}


def test_the_model_and_each_control_have_the_registrys_value(
    batch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = batch.expression.flip(1), batch.jaw
    monkeypatch.setitem(face_metrics.CONTROLS, "shuffled_speech", lambda batch, module: shuffled)
    callback = FaceMetrics(FACE, NAMES, ["shuffled_speech", "reference_mean_face", "truth"])
    prediction = SimpleNamespace(expression=batch.expression.roll(1, 1), jaw=batch.jaw)
    callback.update(batch, prediction, MODULE)
    found = values(callback)
    assert len(found) == 3 * 4
    weights = torch.tensor(LENGTHS) / sum(LENGTHS)
    for name, expression in (("", prediction.expression), ("_shuffled_speech", shuffled[0])):
        clips = lip_vertex_error_mm(FACE, expression, batch.jaw, batch.expression, batch.jaw, batch.mask)
        assert found[f"lip_vertex_error_mm{name}"] == pytest.approx(float((weights * clips).sum()), rel=1e-5)
    assert found["lip_vertex_error_mm_truth"] == 0 and found["lip_jerk_ratio_truth"] == pytest.approx(1)
    assert found["lip_jerk_ratio_reference_mean_face"] == pytest.approx(0, abs=1e-6)


def test_what_an_expression_network_cannot_have_is_refused_before_training() -> None:
    with pytest.raises(MetricError, match="pose_range_deg cannot be logged here: it reads head"):
        FaceMetrics(FACE, ["pose_range_deg"])
    with pytest.raises(
        MetricError, match="style_embedding_distance cannot be logged here: it needs a trained embedder"
    ):
        FaceMetrics(FACE, ["style_embedding_distance"])
    with pytest.raises(MetricError, match=r"lve_codetalker_biwi is a number of BIWI .* is lve_squared_m2"):
        FaceMetrics(FACE, ["lve_codetalker_biwi"])
    with pytest.raises(MetricError, match="unknown control 'silence'; expected some of shuffled_speech"):
        FaceMetrics(FACE, NAMES, ["silence"])


def test_every_metric_that_is_not_refused_has_a_value_on_a_batch() -> None:
    """Long enough for two windows a clip, which a Frechet distance counts."""
    frames, generator = 130, torch.Generator().manual_seed(1)
    mask = torch.ones(2, frames, dtype=torch.bool)
    moves = 0.5 * torch.rand(4, 2, frames, 52, generator=generator)
    jaw = torch.zeros(2, frames, 3)
    phonemes = [["p", 0.2, 0.4]]
    batch = SimpleNamespace(
        keys=["a", "b"], metas=[{"extra": {"phonemes": phonemes}}] * 2, mask=mask, expression=moves[0], jaw=jaw,
        reference_expression=moves[1], reference_jaw=jaw, reference_mask=mask,
    )  # fmt: skip
    refused = NEEDS_EMBEDDER | set(OTHER_MESH)
    names = [name for name, info in METRICS.items() if set(info.inputs) <= READABLE and name not in refused]
    assert "frechet_expression" in names and len(names) > 20
    callback = FaceMetrics(FACE, names)
    callback.update(batch, SimpleNamespace(expression=moves[2], jaw=jaw), MODULE)
    found = values(callback)
    assert found["frechet_expression"] > 0
    # A closure needs a mouth that closes, which noise does not.
    assert {name for name, value in found.items() if not math.isfinite(value)} <= {
        name for name in names if name.startswith("lip_closure")
    }


@pytest.mark.slow
def test_a_run_logs_them_by_configuration(made_up_corpus: Path, tmp_path: Path) -> None:
    run = train_tiny(made_up_corpus, tmp_path / "run", "callbacks=expression_controls", "trainer.max_steps=3")
    logged = {name for line in (run / "metrics.jsonl").read_text().splitlines() for name in json.loads(line)}
    for control in ("", "_shuffled_speech", "_reference_mean_face", "_truth"):
        assert f"val/lip_vertex_error_mm{control}" in logged and f"val/lip_jerk_ratio{control}" in logged

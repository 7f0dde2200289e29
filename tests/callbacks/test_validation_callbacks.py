import math
from types import SimpleNamespace

import pytest
import torch

from callbacks.expression_richness import ExpressionRichnessCallback
from callbacks.lip_vertex_error import LipVertexErrorCallback
from callbacks.pose_diversity import PoseDiversityCallback
from callbacks.validation_metric import ValidationMetric
from faces import load_face_model
from metrics.lip_vertex_error import lip_vertices


class Net:
    """Raw = normalised * 0.1 + 0.2, as an adapter with these statistics."""

    mean = torch.full((55,), 0.2)

    def normalise(self, expression, jaw):
        return (torch.cat([expression, jaw], -1) - 0.2) / 0.1

    def denormalise(self, coefficients):
        raw = coefficients * 0.1 + 0.2
        return raw[..., :52], raw[..., 52:]


MODULE = SimpleNamespace(net=Net())


@pytest.fixture
def batch() -> SimpleNamespace:
    torch.manual_seed(0)
    mask = torch.arange(9)[None] < torch.tensor([9, 4])[:, None]
    return SimpleNamespace(
        expression=torch.rand(2, 9, 52),
        jaw=torch.zeros(2, 9, 3),
        head=0.2 * torch.randn(2, 9, 3),
        mask=mask,
        keys=["ada_000", "bob_001"],
    )


def test_lip_vertex_error_is_the_mean_over_frames_of_the_worst_lip_vertex(batch: SimpleNamespace) -> None:
    face = load_face_model("procedural")
    callback = LipVertexErrorCallback(face)
    prediction = SimpleNamespace(expression=torch.rand(2, 9, 52), jaw=batch.jaw)
    callback.update(batch, prediction, MODULE)
    distance = (
        lip_vertices(face, prediction.expression, batch.jaw) - lip_vertices(face, batch.expression, batch.jaw)
    ).norm(dim=-1)
    expected = 1000 * distance.amax(-1)[batch.mask].mean()
    assert float(callback.metrics["lip_vertex_error_mm"].compute()) == pytest.approx(float(expected), rel=1e-5)


def test_the_mean_face_beside_it_is_the_training_mean(batch: SimpleNamespace) -> None:
    callback = LipVertexErrorCallback(load_face_model("procedural"))
    mean = SimpleNamespace(expression=torch.full((2, 9, 52), 0.2), jaw=torch.full((2, 9, 3), 0.2))
    callback.update(batch, mean, MODULE)
    values = {name: float(metric.compute()) for name, metric in callback.metrics.items()}
    assert values["lip_vertex_error_mm"] == pytest.approx(values["lip_vertex_error_mean_face_mm"], rel=1e-5)


def test_the_truth_is_as_rich_as_itself_and_half_of_it_half_as_rich(batch: SimpleNamespace) -> None:
    for scale in (1.0, 0.5):
        callback = ExpressionRichnessCallback()
        callback.update(batch, SimpleNamespace(expression=scale * batch.expression, jaw=batch.jaw), MODULE)
        assert float(callback.metrics["expression_richness_ratio"].compute()) == pytest.approx(scale, rel=1e-4)


def test_a_frozen_head_has_no_diversity_however_it_is_tilted(batch: SimpleNamespace) -> None:
    callback = PoseDiversityCallback()
    callback.update(
        batch, SimpleNamespace(head=torch.tensor([[0.3, 0.1, 0.0], [-0.4, 0.0, 0.2]])[:, None].expand(2, 9, 3)), MODULE
    )
    assert float(callback.metrics["pose_diversity_within_deg"].compute()) == pytest.approx(0.0, abs=0.05)
    assert float(callback.metrics["pose_diversity_within_truth_deg"].compute()) > 1.0


def test_metrics_start_afresh_with_each_validation(batch: SimpleNamespace) -> None:
    callback = ExpressionRichnessCallback()
    callback.update(batch, SimpleNamespace(expression=0 * batch.expression, jaw=batch.jaw), MODULE)
    callback.on_validation_epoch_start(None, SimpleNamespace(device=torch.device("cpu")))  # type: ignore[arg-type]
    callback.update(batch, SimpleNamespace(expression=batch.expression, jaw=batch.jaw), MODULE)
    assert float(callback.metrics["expression_richness_ratio"].compute()) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize(
    "make", [lambda: LipVertexErrorCallback(load_face_model("procedural")), ExpressionRichnessCallback]
)
def test_a_prediction_that_is_not_finite_brings_the_clips_name_out(
    make, batch: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = make()
    expression = torch.rand(2, 9, 52)
    expression[1, 2] = torch.nan
    callback.update(batch, SimpleNamespace(expression=expression, jaw=batch.jaw), MODULE)
    logged = {}
    trainer = SimpleNamespace(is_global_zero=True, sanity_checking=False, global_step=40)
    callback.on_validation_epoch_end(
        trainer, SimpleNamespace(log=lambda name, value, **_: logged.update({name: value}))
    )
    said = capsys.readouterr().err
    assert "step 40" in said and "is nan because of bob_001" in said and "ada_000" not in said
    assert any(math.isnan(float(value)) for value in logged.values())


def test_padding_that_is_not_finite_is_no_clips_fault(
    batch: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = PoseDiversityCallback()
    head = batch.head.clone()
    head[1, 4:] = torch.nan
    callback.update(batch, SimpleNamespace(head=head), MODULE)
    trainer = SimpleNamespace(is_global_zero=True, sanity_checking=True, global_step=0)
    callback.on_validation_epoch_end(trainer, SimpleNamespace())
    assert capsys.readouterr().err == ""


def test_a_metric_callback_without_update_says_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"must implement update\(batch, prediction, module\)"):
        ValidationMetric({}).update(None, None, None)

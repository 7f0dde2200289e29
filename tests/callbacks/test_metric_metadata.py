import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import callbacks
from callbacks.code_usage import CodeUsageCallback
from callbacks.expression_richness import ExpressionRichnessCallback
from callbacks.face_metrics import FaceMetrics
from callbacks.lip_vertex_error import LipVertexErrorCallback
from callbacks.metric_metadata import METADATA, MetricMetadata
from callbacks.pose_diversity import GeneratedPoseDiversity, PoseDiversityCallback
from callbacks.pose_reconstruction import PoseReconstructionCallback
from callbacks.validation_metric import ValidationMetric
from faces import load_face_model

FACE = load_face_model("procedural")
FIELDS = {"metric", "of", "unit", "vertices", "average", "best", "source"}


def with_two_codebooks() -> CodeUsageCallback:
    callback = CodeUsageCallback()
    quantizer = SimpleNamespace(codes_per_step=2, num_codes=16)
    callback.setup(None, SimpleNamespace(net=SimpleNamespace(quantizer=quantizer)), "fit")  # type: ignore[arg-type]
    return callback


CALLBACKS = [
    LipVertexErrorCallback(FACE),
    ExpressionRichnessCallback(),
    PoseDiversityCallback(),
    GeneratedPoseDiversity(),
    PoseReconstructionCallback(),
    FaceMetrics(FACE, ["lip_jerk_ratio", "frechet_expression"], ["shuffled_speech", "truth"]),
    with_two_codebooks(),
]


def trainer_of(*given: object, rank: int = 0, loggers: tuple = ()) -> SimpleNamespace:
    return SimpleNamespace(is_global_zero=rank == 0, lightning_module=None, callbacks=list(given), loggers=loggers)


@pytest.mark.parametrize("callback", CALLBACKS, ids=lambda callback: type(callback).__name__)
def test_every_number_that_a_validation_callback_logs_says_what_it_is(callback: ValidationMetric) -> None:
    found = callback.metadata()
    assert set(found) == {f"val/{name}" for name in callback.metrics} and found
    for name, meaning in found.items():
        assert set(meaning) - {"face"} == FIELDS and all(meaning.values()), name
        assert meaning["best"] in ("lower", "higher", "zero", "one", "truth")
        assert ("face" in meaning) == isinstance(callback, LipVertexErrorCallback | FaceMetrics)


def test_no_validation_callback_is_forgotten_here() -> None:
    for file in Path(callbacks.__file__).parent.glob("*.py"):
        importlib.import_module(f"callbacks.{file.stem}")
    ours = {kind for kind in ValidationMetric.__subclasses__() if kind.__module__.startswith("callbacks.")}
    assert ours == {type(callback) for callback in CALLBACKS}


def test_numbers_of_one_metric_are_told_apart_by_whose_motion_they_measure() -> None:
    found = LipVertexErrorCallback(FACE).metadata()
    of = {name: (meaning["metric"], meaning["of"]) for name, meaning in found.items()}
    assert of == {
        "val/lip_vertex_error_mm": ("lip_vertex_error_mm", "prediction"),
        "val/lip_vertex_error_mean_face_mm": ("lip_vertex_error_mm", "training corpus' mean face"),
    }
    assert with_two_codebooks().metadata()["val/code_usage_2"]["of"] == "codebook 2"


def test_the_record_is_one_file_of_rank_zero_and_the_same_after_a_resume(tmp_path: Path) -> None:
    told: list = []
    view = SimpleNamespace(log_metric_metadata=told.append)
    MetricMetadata(str(tmp_path)).on_fit_start(trainer_of(*CALLBACKS, rank=1, loggers=(view,)), None)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir()) and not told
    # A run has one of the two whose heads are the prediction's or generated.
    callbacks_of_run = [each for each in CALLBACKS if not isinstance(each, GeneratedPoseDiversity)]
    for order in (callbacks_of_run, callbacks_of_run[::-1]):
        MetricMetadata(str(tmp_path)).on_fit_start(trainer_of(*order, object(), loggers=(view, object())), None)  # type: ignore[arg-type]
    first, second = told
    assert [file.name for file in tmp_path.iterdir()] == [METADATA]
    assert first == second == json.loads((tmp_path / METADATA).read_text())
    assert first["val/lip_jerk_ratio_truth"]["of"] == "truth"


def test_what_goes_wrong_is_one_line_and_training_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def metadata(self) -> dict:
            raise RuntimeError("no such thing")

    for folder, callback in ((tmp_path / "gone", CALLBACKS[0]), (tmp_path, Broken())):
        MetricMetadata(str(folder)).on_fit_start(trainer_of(callback), None)  # type: ignore[arg-type]
        error = capsys.readouterr().err
        assert "metrics.json is not written" in error and len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from faces import load_face_model
from faces.export import write_arkit_csv
from faces.motion import FaceMotion
from metrics.checks import MetricError
from metrics.registry import METRICS
from reports.errors import ReportError
from reports.metric_choice import FACE_METRICS, HEAD_METRICS, HEADLINE, choose_metrics, scorable_names
from reports.motion_files import MotionFiles
from reports.score_files import clip_table
from reports.score_summary import headline, summarise
from reports.scoring import Predicted, score_clips, truth_hashes, without_value

FACE = load_face_model("procedural")


def make_batch(key: str, frames: int = 20, seed: int = 0) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(seed)
    reference = 0.5 * torch.rand(1, 15, 52, generator=generator)
    return SimpleNamespace(
        keys=[key],
        speakers=[key[0]],
        metas=[{"reference_key": "r", "extra": {"phonemes": [["p", 0.2, 0.3]]} if seed else {}}],
        num_frames=torch.tensor([frames]),
        expression=0.5 * torch.rand(1, frames, 52, generator=generator),
        jaw=torch.zeros(1, frames, 3),
        head=0.1 * torch.randn(1, frames, 3, generator=generator),
        mask=torch.ones(1, frames, dtype=torch.bool),
        audio=0.1 * torch.randn(1, 640 * frames, generator=generator),
        reference_expression=reference,
        reference_jaw=torch.zeros(1, 15, 3),
        reference_mask=torch.ones(1, 15, dtype=torch.bool),
    )


BATCHES = [make_batch("a_0", 20, 0), make_batch("a_1", 25, 1), make_batch("b_0", 30, 2)]


def normalise(expression: torch.Tensor, jaw: torch.Tensor) -> torch.Tensor:
    return (torch.cat([expression, jaw], -1) - 0.25) / 0.15


def late(batch: SimpleNamespace) -> Predicted:
    return Predicted(batch.expression.roll(2, 1), batch.jaw)


def still(batch: SimpleNamespace) -> Predicted:
    return Predicted(batch.expression.mean(1, True).expand_as(batch.expression), batch.jaw)


METHODS = {"model": late, "still": still}


@pytest.fixture(scope="module")
def scored():
    return score_clips(BATCHES, METHODS, FACE, choose_metrics(None, True), normalise)


def test_the_truth_against_itself_reaches_every_target(scored) -> None:
    for name, value in scored.values["truth"].items():
        target = {"lower": 0, "zero": 0, "one": 1, "higher": 1}.get(METRICS[name].best)
        if target is not None:
            assert value == pytest.approx(target, abs=1e-6), name


def test_a_method_without_a_head_has_no_numbers_of_it(scored) -> None:
    assert set(HEAD_METRICS) <= set(scored.values["truth"])
    assert not set(HEAD_METRICS) & set(scored.values["model"]) and set(FACE_METRICS) <= set(scored.values["model"])


def test_clips_have_the_values_of_the_metric_functions(scored) -> None:
    from metrics.lip_vertex_error import lip_vertex_error_mm

    for row, batch in zip(scored.clips, BATCHES, strict=True):
        expected = lip_vertex_error_mm(FACE, *late(batch)[:2], batch.expression, batch.jaw, batch.mask)
        assert row["scores"]["model"][HEADLINE] == pytest.approx(float(expected), rel=1e-6)
        assert row["truth"] == truth_hashes(batch)


def test_the_order_of_clips_changes_nothing(scored) -> None:
    again = score_clips(BATCHES[::-1], METHODS, FACE, choose_metrics(None, True), normalise)
    assert str(again.clips) == str(scored.clips)


@pytest.mark.parametrize("workers", [2, 5])
def test_the_number_of_workers_changes_no_digit(scored, workers: int) -> None:
    again = score_clips(iter(BATCHES), METHODS, FACE, choose_metrics(None, True), normalise, workers)
    assert str(again.clips) == str(scored.clips) and str(again.values) == str(scored.values)


def test_clips_are_read_only_a_few_ahead_of_what_is_scored() -> None:
    running: list[int] = []
    most = 0

    def watched(batch: SimpleNamespace) -> Predicted:
        running.pop()
        return still(batch)

    def batches():
        nonlocal most
        for number in range(12):
            running.append(number)
            most = max(most, len(running))
            yield make_batch(f"a_{number:02d}", 8, number)

    score_clips(batches(), {"model": watched}, FACE, choose_metrics([HEADLINE], False), normalise, 2)
    assert 1 <= most <= 5


def test_clip_values_are_those_of_the_pure_functions(scored) -> None:
    """Clips are read off their accumulators; both definitions of a metric must agree."""
    from metrics.motion_pair import MotionPair
    from reports.scoring import _pair

    for row, batch in zip(scored.clips, BATCHES, strict=True):
        pair: MotionPair = _pair(FACE, batch, late(batch), normalise)
        values = row["scores"]["model"]
        for name in FACE_METRICS:
            expected = float(METRICS[name].clip_values(pair)[0])
            assert values[name] == pytest.approx(expected, rel=1e-5, abs=1e-12, nan_ok=True), name


def test_batches_of_several_clips_are_refused() -> None:
    two = SimpleNamespace(keys=["a", "b"])
    with pytest.raises(ReportError, match="received 2 clips in a batch"):
        score_clips([two], METHODS, FACE, choose_metrics([HEADLINE], False), normalise)


def test_a_clip_without_the_sound_counts_neither_for_nor_against(scored) -> None:
    found = summarise(scored, choose_metrics(None, True))["model"]["lip_closure_recall"]
    assert np.isnan(scored.clips[0]["scores"]["model"]["lip_closure_recall"]) and found["clips"] <= 2
    silent = score_clips(BATCHES[:1], METHODS, FACE, choose_metrics(None, True), normalise)
    assert "lip_closure_recall" in without_value(silent, choose_metrics(None, True)) and HEADLINE not in without_value(
        silent, choose_metrics(None, True)
    )


def test_a_prediction_that_is_not_finite_spoils_its_mean_and_is_named() -> None:
    def broken(batch: SimpleNamespace) -> Predicted:
        expression = batch.expression.clone()
        if batch.keys == ["a_1"]:
            expression[0, 3] = torch.nan
        return Predicted(expression, batch.jaw)

    chosen = choose_metrics(None, False)
    spoiled = score_clips(BATCHES, {"model": broken, "still": still}, FACE, chosen, normalise)
    found = summarise(spoiled, chosen)["model"]
    for name in FACE_METRICS:
        assert found[name]["bad_clips"] == ["a_1"] and np.isnan(found[name]["value"]), name
        assert np.isnan(found[name]["mean"]), name


def test_the_summary_weighs_speakers_alike_and_knows_the_best_control(scored) -> None:
    chosen = choose_metrics(None, True)
    scores = summarise(scored, chosen)
    values = [row["scores"]["model"][HEADLINE] for row in scored.clips]
    assert scores["model"][HEADLINE]["mean"] == pytest.approx((np.mean(values[:2]) + values[2]) / 2)
    assert "reduction_by_model" in scores["still"][HEADLINE] and "reduction_by_model" not in scores["truth"][HEADLINE]
    assert headline(scored, scores)["best_control"] == "still"


def test_the_table_has_a_row_for_each_clip_and_method(scored) -> None:
    chosen = choose_metrics(None, True)
    metrics = {info.name: info.metadata | {"per_clip": info.per_clip} for info in chosen}
    lines = clip_table({"metrics": metrics, "clips": scored.clips}).splitlines()
    assert len(lines) == 1 + 3 * 3 and lines[0].startswith(f"key,speaker,frames,reference,method,{HEADLINE}")
    assert all(line.count(",") == lines[0].count(",") for line in lines) and "nan" not in "".join(lines)


def test_every_scorable_metric_can_be_scored() -> None:
    batch = make_batch("a_0", 120, 3)
    chosen = choose_metrics(scorable_names(), True)
    with_head = {"model": lambda b: Predicted(b.expression.roll(2, 1), b.jaw, b.head.roll(2, 1))}
    scored = score_clips([batch, make_batch("b_0", 120, 4)], with_head, FACE, chosen, normalise)
    assert set(scored.values["model"]) == set(scorable_names()) and len(scorable_names()) > 35
    assert set(summarise(scored, chosen)["model"]) == set(scorable_names())


def test_the_headline_is_always_scored_and_unknown_names_are_told() -> None:
    assert [info.name for info in choose_metrics(["lip_dtw_mm"], False)] == [HEADLINE, "lip_dtw_mm"]
    with pytest.raises(MetricError, match="there is no metric 'lve'"):
        choose_metrics(["lve"], False)
    with pytest.raises(ReportError, match="pose_range_deg reads head rotation, which this run does not predict"):
        choose_metrics(["pose_range_deg"], False)
    for name, ours in (("lve_codetalker_biwi", "lve_squared_m2"), ("fdd_codetalker_biwi", "fdd_signed_m2")):
        with pytest.raises(MetricError, match=f"{name} is a number of BIWI .* the same definition is {ours}"):
            choose_metrics([name], False)
        assert name not in scorable_names()
    with pytest.raises(ReportError, match="code_usage cannot be scored here: it reads codes"):
        choose_metrics(["code_usage"], True)


def motion(frames: int = 10, **changes) -> FaceMotion:
    rng = np.random.default_rng(0)
    fields = {"expression": rng.random((frames, 52)), "head": 0.1 * rng.standard_normal((frames, 3))}
    return FaceMotion(**{**fields, **changes})


def test_csv_and_npz_of_one_motion_are_the_same_prediction(tmp_path) -> None:
    motion().save(tmp_path / "a.npz")
    write_arkit_csv(motion(), tmp_path / "b.csv")
    files = MotionFiles(tmp_path, {"a": 10, "b": 10}, "arkit")
    one, other = (files(SimpleNamespace(keys=[key])) for key in ("a", "b"))
    assert torch.equal(one.expression, other.expression) and one.expression.shape == (1, 10, 52)
    torch.testing.assert_close(one.head, other.head, atol=1e-5, rtol=0)


def test_the_hash_of_a_folder_follows_its_contents(tmp_path) -> None:
    motion().save(tmp_path / "a.npz")
    first = MotionFiles(tmp_path, {"a": 10}, "arkit").sha256
    motion(head=np.zeros((10, 3))).save(tmp_path / "a.npz")
    assert MotionFiles(tmp_path, {"a": 10}, "arkit").sha256 != first


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fps": 30.0}, "has 30 frames/s; expected 25: resample it"),
        ({"frames": 9}, "has 9 frames, the clip 10"),
        ({"space": "flame"}, "is in the flame space; the corpus is in arkit"),
    ],
)
def test_a_motion_that_does_not_fit_is_one_sentence(tmp_path, changes: dict, said: str) -> None:
    motion(**changes).save(tmp_path / "a.npz")
    with pytest.raises(ReportError, match=said) as caught:
        MotionFiles(tmp_path, {"a": 10}, "arkit")
    assert "a.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_doubled_files_are_told(tmp_path) -> None:
    motion().save(tmp_path / "a.npz")
    with pytest.raises(ReportError, match=r"has no b\.npz \(or \.npy, \.csv\), and lacks 2 of the 3 clips"):
        MotionFiles(tmp_path, {"a": 10, "b": 10, "c": 10}, "arkit")
    write_arkit_csv(motion(), tmp_path / "a.csv")
    with pytest.raises(ReportError, match=r"has both a\.npz and a\.csv"):
        MotionFiles(tmp_path, {"a": 10}, "arkit")

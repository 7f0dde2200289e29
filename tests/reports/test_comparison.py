from pathlib import Path

import pytest
from made_up_runs import make_run

from reports.comparison import badness, compare, seed_means
from reports.entrants import find_folders, group_by_settings, read_entrant
from reports.errors import ReportError

LVE = "lip_vertex_error_mm"


def methods_of(*folders: Path):
    return group_by_settings([read_entrant(folder, "test") for folder in folders])


def by_name(comparison) -> dict:
    return {(test.method, test.metric): test for test in comparison.tests}


def test_a_lower_error_is_better_and_the_difference_has_its_size(tmp_path: Path) -> None:
    methods = methods_of(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32))
    comparison = compare(methods, "test", [LVE])
    (test,) = comparison.tests
    assert test.method == "expression_pretraining width=32" and comparison.baseline == "expression_pretraining width=64"
    assert test.difference.mean == pytest.approx(-1, abs=0.1) and test.difference.high < 0
    assert test.p_speakers == pytest.approx(2 / 2**8) and test.p_clips < 0.001
    assert test.verdict == "better" and test.clips == 24


def test_every_direction_counts_below_zero_as_better(tmp_path: Path) -> None:
    methods = methods_of(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32))
    assert all(test.difference.mean < 0 for test in compare(methods, "test").tests)


def test_distances_follow_what_the_metric_aims_at() -> None:
    values, truths = [2.0, -1.0], [1.5, 1.5]
    assert badness(values, truths, "lower") == [2.0, -1.0]
    assert badness(values, truths, "higher") == [-2.0, 1.0]
    assert badness(values, truths, "zero") == [2.0, 1.0]
    assert badness(values, truths, "one") == [1.0, 2.0]
    assert badness(values, truths, "truth") == [0.5, 2.5]


def test_exchanging_baseline_and_method_turns_the_sign(tmp_path: Path) -> None:
    methods = methods_of(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.9, width=32))
    one, other = compare(methods, "test", [LVE]).tests[0], compare(methods, "test", [LVE], methods[1].name).tests[0]
    assert one.difference.mean == pytest.approx(-other.difference.mean)
    assert (one.p_clips, one.p_speakers) == (other.p_clips, other.p_speakers)


def test_seeds_of_one_setting_are_one_method_and_its_clips_their_means(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"a{s}", 5.0 + s, seed=s) for s in (1, 2)]
    methods = methods_of(*runs, make_run(tmp_path / "b", 4.0, width=32))
    assert [len(method.entrants) for method in methods] == [2, 1]
    comparison = compare(methods, "test", [LVE])
    tables = [read_entrant(run, "test").scores["clips"] for run in runs]
    expected = [(a["scores"]["model"][LVE] + b["scores"]["model"][LVE]) / 2 for a, b in zip(*tables, strict=True)]
    assert comparison.values[methods[0].name][LVE] == pytest.approx(expected)
    assert len(seed_means(comparison, LVE)[methods[0].name]) == 2


def test_where_only_the_seed_differs_seeds_are_compared(tmp_path: Path) -> None:
    methods = methods_of(*(make_run(tmp_path / f"a{s}", 5.0, seed=s) for s in (1, 2)))
    assert [method.name for method in methods] == ["expression_pretraining seed=1", "expression_pretraining seed=2"]


def test_adjusted_p_grows_with_the_number_of_tests(tmp_path: Path) -> None:
    methods = methods_of(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.97, width=32))
    alone, among = compare(methods, "test", [LVE]).tests[0], by_name(compare(methods, "test"))[methods[1].name, LVE]
    assert alone.p_speakers == among.p_speakers == alone.holm_speakers <= among.holm_speakers


def test_only_clips_that_all_share_are_compared_and_this_is_said(tmp_path: Path) -> None:
    methods = methods_of(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32, speakers=5))
    comparison = compare(methods, "test")
    assert len(comparison.clips) == 15 and "Only the 15 clips" in " ".join(comparison.notes)


def test_expression_metrics_need_the_same_statistics(tmp_path: Path) -> None:
    methods = methods_of(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32, statistics="m"))
    comparison = compare(methods, "test")
    assert "expression_richness_ratio" not in comparison.metrics and LVE in comparison.metrics
    assert "different training data: expression_richness_ratio" in " ".join(comparison.notes)


def test_a_prediction_that_is_not_finite_has_no_number_and_is_named(tmp_path: Path) -> None:
    methods = methods_of(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32, bad="made-up_004"))
    comparison = compare(methods, "test")
    assert (methods[1].name, LVE) not in by_name(comparison) and comparison.intervals[methods[1].name][
        LVE
    ].speakers == 0
    assert "not finite" in " ".join(comparison.notes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corpus": "other"}, "no clip is the same"),
        ({"face": "ict"}, "was scored on the procedural face, b on ict"),
        ({"split": "val"}, r"no scores-test.json \(it has scores-val.json\)"),
    ],
)
def test_runs_that_share_nothing_are_refused_in_one_sentence(tmp_path: Path, changes: dict, said: str) -> None:
    folders = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32, **changes)
    with pytest.raises(ReportError, match=said) as caught:
        compare(methods_of(*folders), "test")
    assert "\n" not in str(caught.value)


def test_bad_choices_are_refused(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32)
    with pytest.raises(ReportError, match="there is one method"):
        compare(methods_of(a), "test")
    with pytest.raises(ReportError, match="they share lip_vertex_error_mm"):
        compare(methods_of(a, b), "test", ["lip_dtw_mm"])
    with pytest.raises(ReportError, match="'nobody' is not among"):
        compare(methods_of(a, b), "test", baseline="nobody")
    with pytest.raises(ReportError, match="is not a folder"):
        find_folders([tmp_path / "absent"])


def test_scores_of_another_format_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", 5.0)
    (run / "scores-test.json").write_text('{"summary": {}}')
    with pytest.raises(ReportError, match=r"format none, expected scores/2; score it first: python score\.py"):
        read_entrant(run, "test")
    (run / "scores-test.json").write_text('{"summary": ')
    with pytest.raises(ReportError, match="cannot be read"):
        read_entrant(run, "test")

import json
from pathlib import Path

import pytest
from made_up_runs import add_metric, make_run

from metrics.registry import METRICS
from reports.comparison import best_method, compare, headline_of, seed_means
from reports.entrants import find_folders, group_by_settings, read_entrant
from reports.errors import ReportError
from reports.paired_tests import badness
from reports.pose_measures import OWN
from reports.shared_metrics import DIRECTIONS

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


def test_seeds_that_err_to_both_sides_are_not_taken_for_right(tmp_path: Path) -> None:
    """Their mean is the truth's on every clip, and each of them is one away from it."""
    steady, unsteady = (
        [make_run(tmp_path / "a", 5.0)],
        [make_run(tmp_path / f"b{s}", 5.0, width=32, seed=s) for s in (1, 2)],
    )
    for name, best in (("speed", "truth"), ("balance", "zero"), ("ratio", "one")):
        target = 1.0 if best == "one" else 0.0
        for folder, value in zip([*steady, *unsteady], (0.5, -1.0, 1.0), strict=True):
            add_metric(folder, name, best, value=target + value)
            add_metric(folder, name, best, methods=("truth",), value=target)
    comparison = compare(methods_of(*steady, *unsteady), "test", ["speed", "balance", "ratio"])
    for test in comparison.tests:
        assert test.difference.mean == pytest.approx(0.5, abs=0.02) and test.verdict == "worse", test.metric
    assert {best_method(comparison, name) for name in comparison.metrics} == {comparison.baseline}


def test_the_mean_over_speakers_and_the_defined_average_are_told_apart(tmp_path: Path) -> None:
    methods = methods_of(
        *(make_run(tmp_path / f"a{s}", 4.0 + s, seed=s) for s in (1, 2)), make_run(tmp_path / "b", 4.0, width=32)
    )
    for number, entrant in enumerate(methods[0].entrants):
        entrant.scores["scores"]["model"][LVE]["value"] = 8.0 + number
    comparison = compare(methods, "test", [LVE])
    assert comparison.defined[methods[0].name][LVE] == 8.5 and comparison.metrics[LVE].average == "frames"
    assert comparison.intervals[methods[0].name][LVE].mean == pytest.approx(5.5, abs=0.5)


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
    assert "different training data): expression_richness_ratio" in " ".join(comparison.notes)


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
    with pytest.raises(ReportError, match="lip_dtw_mm: no run was scored with it; the runs share lip_vertex_error_mm"):
        compare(methods_of(a, b), "test", ["lip_dtw_mm"])
    with pytest.raises(ReportError, match="'nobody' is not among"):
        compare(methods_of(a, b), "test", baseline="nobody")
    with pytest.raises(ReportError, match="is not a folder"):
        find_folders([tmp_path / "absent"])


def test_scores_of_another_format_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", 5.0)
    (run / "scores-test.json").write_text('{"summary": {}}')
    with pytest.raises(ReportError, match=r"format none, expected scores/3; score it first: python score\.py"):
        read_entrant(run, "test")
    (run / "scores-test.json").write_text('{"summary": ')
    with pytest.raises(ReportError, match="cannot be read"):
        read_entrant(run, "test")


def test_the_headline_is_a_metric_with_tests_where_the_score_files_name_none_of_the_compared(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 5.0, name="one"), make_run(tmp_path / "b", 4.0, name="two")
    for folder in (a, b):
        add_metric(folder, "frechet_pose", "lower", per_clip=False)
    assert headline_of(compare(methods_of(a, b), "test", ["frechet_pose", "fdd_signed_m2"])) == "fdd_signed_m2"
    assert headline_of(compare(methods_of(a, b), "test", ["frechet_pose"])) == "frechet_pose"
    assert headline_of(compare(methods_of(a, b), "test")) == LVE


def test_what_aims_at_the_truth_is_not_tested_where_the_truth_has_no_value(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32)
    for folder, value in ((a, 0.1), (b, 0.9)):
        add_metric(folder, "diversity", "truth", value=value)
        add_metric(folder, "speed", "truth", methods=("model", "truth"), value=value)
    comparison = compare(methods_of(a, b), "test")
    assert {"diversity", "speed"} < set(comparison.metrics)
    assert "diversity" not in {test.metric for test in comparison.tests} >= {"speed"}
    assert any("the truth has none): diversity." in note for note in comparison.notes)


@pytest.mark.parametrize(("first", "second"), [("lower", "higher"), ("truth", "truth"), ("upwards", "upwards")])
def test_where_files_and_registry_disagree_on_the_direction_nothing_is_called_better(
    tmp_path: Path, first: str, second: str
) -> None:
    folders = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32)
    for folder, best in zip(folders, (first, second), strict=True):
        file = folder / "scores-test.json"
        scores = json.loads(file.read_text())
        scores["metrics"][LVE]["best"] = best
        file.write_text(json.dumps(scores))
    comparison = compare(methods_of(*folders), "test")
    assert LVE in comparison.metrics and LVE not in {test.metric for test in comparison.tests}
    assert any(note.startswith("Shown without a test") and note.endswith(f": {LVE}.") for note in comparison.notes)


def test_what_pose_runs_are_scored_with_is_described_once() -> None:
    assert not set(OWN) & set(METRICS) and METRICS["pose_diversity_samples_deg"].best == "truth"
    assert {best for _, best, _ in OWN.values()} <= set(DIRECTIONS)


def test_metrics_that_only_score_files_know_are_compared_as_they_say(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 5.0, name="one"), make_run(tmp_path / "b", 4.0, name="two")
    for folder, value in ((a, 3.0), (b, 2.0)):
        add_metric(folder, "code_nll", "lower", value=value)
        add_metric(folder, "code_nll_no_speech", "lower", value=value + 1)
    comparison = compare(methods_of(a, b), "test", ["code_nll", "code_nll_no_speech"])
    (test,) = comparison.tests
    assert (test.metric, test.verdict, test.difference.mean) == ("code_nll", "better", pytest.approx(-1))
    assert comparison.intervals["two"]["code_nll_no_speech"].mean == pytest.approx(3, abs=0.05)
    assert headline_of(comparison) == "code_nll" and comparison.metrics["code_nll"].unit == "nats"


def test_likelihoods_of_codes_of_two_vqvaes_are_not_tested(tmp_path: Path) -> None:
    folders = make_run(tmp_path / "a", 5.0, name="one"), make_run(tmp_path / "b", 4.0, name="two")
    for folder, codes in zip(folders, ("pose-1", "pose-2"), strict=True):
        add_metric(folder, "code_nll", "lower")
        (folder / "data.json").write_text(json.dumps({"facts": {"pose_vqvae": {"fingerprint": codes}}}))
    comparison = compare(methods_of(*folders), "test", ["code_nll"])
    assert not comparison.tests and "codes of different VQ-VAEs): code_nll." in comparison.notes[0]


def test_numbers_of_sets_of_clips_are_shown_without_a_test_and_only_of_the_same_clips(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"a{s}", 5.0, seed=s) for s in (1, 2)]
    other = make_run(tmp_path / "b", 4.0, width=32)
    for folder, value in zip((*runs, other), (1.0, 2.0, 4.0), strict=True):
        add_metric(folder, "frechet_pose", "lower", per_clip=False, methods=("model", "ridge"), value=value)
    comparison = compare(methods_of(*runs, other), "test", ["frechet_pose"])
    assert [comparison.intervals[m.name]["frechet_pose"][::3] for m in comparison.methods] == [(1.5, 0), (4.0, 0)]
    assert comparison.controls["ridge"].intervals["frechet_pose"].mean == 1.5 and not comparison.tests
    assert list(seed_means(comparison, "frechet_pose").values()) == [[1.0, 2.0], [4.0]]
    fewer = make_run(tmp_path / "c", 4.0, width=16, speakers=5)
    add_metric(fewer, "frechet_pose", "lower", per_clip=False)
    notes = " ".join(compare(methods_of(runs[0], fewer), "test").notes)
    assert "the runs were not scored on the same clips): frechet_pose." in notes


def test_what_not_all_runs_were_scored_with_is_named_with_who_was_not(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 5.0, name="one"), make_run(tmp_path / "b", 4.0, name="two")
    add_metric(a, "code_nll", "lower")
    assert "Left out (two was not scored with it): code_nll." in compare(methods_of(a, b), "test").notes
    with pytest.raises(ReportError, match="code_nll: two was not scored with it"):
        compare(methods_of(a, b), "test", ["code_nll"])


def test_all_controls_that_any_file_holds_are_there_and_whose_they_are(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", 5.0, name="one"), make_run(tmp_path / "b", 4.0, name="two")
    for folder, controls in ((a, ("still", "template_copy")), (b, ("still", "random_style", "own_control"))):
        add_metric(folder, "speed", "truth", methods=("model", "truth", *controls))
    controls = compare(methods_of(a, b), "test").controls
    told = [(name, control.of) for name, control in controls.items()]
    assert told == [
        *(("ridge", "one"), ("random_style", "two"), ("template_copy", "one")),
        *(("still", "one"), ("own_control", "two"), ("truth", "one")),
    ]


def test_faces_of_one_name_that_differ_are_refused_and_scores_without_a_hash_are_read(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", 5.0, face="flame", face_sha256="0123456789ab")
    b = make_run(tmp_path / "b", 4.0, width=32, face="flame", face_sha256="ba9876543210")
    old = make_run(tmp_path / "c", 3.0, width=16, face="flame")
    with pytest.raises(ReportError, match=r"a and .*b were .* called flame \(sha256 0123456789ab and ba9876543210\)"):
        compare(methods_of(a, b), "test")
    assert len(compare(methods_of(a, old), "test").methods) == 2

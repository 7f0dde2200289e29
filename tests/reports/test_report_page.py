import json
import re
from pathlib import Path

import pytest
from made_up_runs import add_metric, make_run

from reports.charts import Line, clip_chart, line_chart, ticks
from reports.comparison import compare
from reports.entrants import group_by_settings, read_entrant
from reports.report_page import breakable, p_value, render

LVE = "lip_vertex_error_mm"


def page(*folders: Path, video_mb: float = 30) -> str:
    methods = group_by_settings([read_entrant(folder, "test") for folder in folders])
    return render(compare(methods, "test"), "python compare.py a b", video_mb)


def test_the_page_holds_all_that_was_asked_of_it(tmp_path: Path) -> None:
    text = page(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32))
    assert "python train.py expression_pretraining net.width=32" in text and "python score.py b" in text
    assert "0123456789ab <strong>with uncommitted changes</strong>, 2 ranks" in text
    assert "Synthetic speech and faces." in text
    assert '<th scope="row">net.<wbr>width</th><td class="text">64</td><td class="text">32</td>' in text
    assert text.count("<polyline") == 4 and text.count("<circle") == 2 * 24 * 5


def test_controls_stand_beside_the_methods_under_their_owner_and_sets_have_no_interval(tmp_path: Path) -> None:
    face = "no (head motion only)"
    a = make_run(tmp_path / "a", 5.0, name="one", face=face)
    b = make_run(tmp_path / "b", 4.0, name="two", face=face)
    add_metric(a, "speed", "truth", methods=("model", "truth", "template_copy"), value=0.5)
    add_metric(b, "speed", "truth", methods=("model", "truth", "random_style"), value=0.75)
    for folder in (a, b):
        add_metric(folder, "frechet_pose", "lower", per_clip=False, value=0.125)
    text = page(a, b)
    assert "test split, no face (head motion only)." in text
    assert '<th scope="col" class="control">template copy</th>' in text
    assert '<th scope="col" class="control">random style <small>of two</small></th>' in text
    row = text[text.index("speed <small>nats, truth") :]
    cells = re.findall(r"<td[^>]*>\s*(?:<strong>)?([^<\s]*)", row[: row.index("</tr>")])
    # Of two methods and ridge, random style, template copy and truth, in this order.
    assert [cell[:4] for cell in cells] == ["0.51", "0.76", "", "0.76", "0.51", "0.51"]
    row = text[text.index("frechet_<wbr>pose <small>") :]
    assert row[: row.index("</tr>")].count("0.125") == 2 and "</small></td>" not in row[: row.index("</tr>")]


def rewrite_scores(folder: Path, change) -> None:
    file = folder / "scores-test.json"
    scores = json.loads(file.read_text())
    change(scores)
    file.write_text(json.dumps(scores))


def test_the_defined_average_stands_beside_the_mean_over_speakers_with_its_name(tmp_path: Path) -> None:
    folders = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32)
    for folder, value in zip(folders, (7.125, 6.125), strict=True):
        rewrite_scores(folder, lambda scores, value=value: scores["scores"]["model"][LVE].update(value=value))
    text = page(*folders)
    table = text[text.index('<table id="defined">') :]
    row = table[table.index("lip_<wbr>vertex_<wbr>error_<wbr>mm") :]
    cells = re.findall(r"<td[^>]*>([^<]*)", row[: row.index("</tr>")])
    assert cells[:3] == ["frames", "7.125", "6.125"] and "7.125" not in text[: text.index('<table id="defined">')]


def test_averages_over_other_clips_than_the_compared_are_left_out(tmp_path: Path) -> None:
    text = page(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32, speakers=5))
    assert '<table id="defined">' not in text and "the runs share only some" in text


def test_the_bold_method_is_the_one_that_the_tests_call_better(tmp_path: Path) -> None:
    """Richness 0.2 on half of the clips and 1.8 on the others has a mean of 1, and is far off on every clip."""
    a, b = make_run(tmp_path / "a", 1.0), make_run(tmp_path / "b", 1.0, width=32)

    def to_both_sides(scores: dict) -> None:
        for number, row in enumerate(scores["clips"]):
            row["scores"]["model"]["expression_richness_ratio"] = 0.2 if number % 2 else 1.8

    rewrite_scores(b, to_both_sides)
    methods = group_by_settings([read_entrant(folder, "test") for folder in (a, b)])
    comparison = compare(methods, "test", ["expression_richness_ratio"])
    assert comparison.intervals[methods[1].name]["expression_richness_ratio"].mean == pytest.approx(1.0)
    assert comparison.tests[0].verdict == "worse"
    assert "<strong>1.1</strong>" in render(comparison, "compare") and "<strong>1</strong>" not in render(
        comparison, "c"
    )


def test_p_beside_a_verdict_is_the_one_that_it_is_made_by(tmp_path: Path) -> None:
    text = page(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32))
    # Five tests of eight speakers: 2 / 2 ** 8 times 5.
    assert "against the baseline, difference" in text and "p = 0.039 over speakers after correction" in text
    assert "p = 0.008" not in text and "can have, however large the differences: 0.039" in text


def test_where_no_verdict_can_be_reached_the_page_says_so(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"m{width}", 2.0 + width / 16, width=width) for width in (16, 32, 48)]
    text = page(*runs)
    assert "however large the differences: 0.078" in text and "no verdict on new speakers is possible" in text
    few = page(
        make_run(tmp_path / "few" / "a", 5.0, speakers=4), make_run(tmp_path / "few" / "b", 4.0, speakers=4, width=8)
    )
    assert "No intervals: an interval needs at least 5 speakers, here are 4." in few and "nan" not in few.lower()


def test_checkpoints_are_shown_and_different_ones_are_warned_of(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / f"a{seed}", 5.0, seed=seed) for seed in (1, 2)]
    folders.append(make_run(tmp_path / "b", 4.0, width=32))
    assert "different checkpoints" not in page(*folders)
    for folder, name, step in zip(folders, ("best.ckpt", "best.ckpt", "last.ckpt"), (70, 80, 90), strict=True):
        rewrite_scores(folder, lambda scores, of=(name, step): scores.update(checkpoint=of[0], checkpoint_step=of[1]))
    text = page(*folders)
    assert "best.ckpt (step 70, 80)</td>" in text and "last.ckpt (step 90)</td>" in text
    assert "Runs were scored at different checkpoints (" in text and "last.ckpt of step 90)" in text
    rewrite_scores(folders[2], lambda scores: scores.update(checkpoint="best.ckpt"))
    assert "different checkpoints" not in page(*folders)


def test_recordings_are_not_called_synthetic(tmp_path: Path) -> None:
    text = page(
        make_run(tmp_path / "a", 5.0, synthetic=False), make_run(tmp_path / "b", 4.0, width=32, synthetic=False)
    )
    assert "Synthetic speech" not in text


def test_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    text = page(make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32))
    assert not re.search(r"(?:src|href)=\"(?!data:)|@import|url\(|https?://", text)


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    text = page(make_run(tmp_path / "a", 5.0, name=evil), make_run(tmp_path / "b", 4.0))
    assert "<img" not in text and "&lt;img" in text
    assert breakable("a_b<c") == "a_<wbr>b&lt;c"


def test_videos_are_embedded_up_to_the_limit_and_the_rest_is_said(tmp_path: Path) -> None:
    folders = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32)
    for step, content in (("step-00000100", b"old"), ("step-00000200", b"new")):
        for folder in folders:
            clip = folder / "media" / step / "clip_1"
            clip.mkdir(parents=True)
            (clip / "prediction_beside_truth.mp4").write_bytes(content * 1000)
    text = page(*folders)
    assert text.count("<video") == 2 and "step-00000200" in text and "step-00000100" not in text
    text = page(*folders, video_mb=0.001)
    assert "<video" not in text and "2 more videos did not fit" in text


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 1) == [0, 0.5, 1] or ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1]
    for low, high in ((0.013, 0.017), (-3, 12), (1e-6, 5e-6), (99, 100)):
        found = ticks(low, high)
        assert 2 <= len(found) <= 6 and all(low - 1e-9 <= t <= high + 1e-9 for t in found)
    assert ticks(2.0, 2.0) == [2.0]


def test_curves_leave_out_what_is_not_finite_and_stay_short() -> None:
    chart = line_chart(
        "loss",
        [Line("a", range(5000), [1 / (s + 1) for s in range(5000)], 0), Line("b", [1, 2], [float("nan")] * 2, 1)],
    )
    assert chart.count("<polyline") == 1
    points = re.findall(r"points=\"([^\"]*)\"", chart)[0].split()
    assert len(points) <= 302 and "nan" not in chart
    assert line_chart("nothing", []) == "" and clip_chart("nothing", [("a", [float("nan")], 0)]) == ""


def test_one_value_alone_can_be_drawn() -> None:
    assert "nan" not in line_chart("flat", [Line("a", [3], [2.0], 0)]) and "nan" not in clip_chart(
        "one", [("a", [0.0], 0)]
    )


@pytest.mark.parametrize(("p", "said"), [(0.0001, "< 0.001"), (0.0421, "0.042"), (1.0, "1.000"), (float("nan"), "-")])
def test_p_values_are_never_zero(p: float, said: str) -> None:
    assert p_value(p) == said

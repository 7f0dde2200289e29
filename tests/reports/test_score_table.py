import math

import pytest
from made_up_runs import make_scores

from reports.score_table import interval, number, print_table

LVE = "lip_vertex_error_mm"


def printed(capsys: pytest.CaptureFixture[str], **changes) -> list[str]:
    result = make_scores("run", 5.0, **changes)
    result["scores"]["model"][LVE]["value"] = 7.125
    print_table(result, ("model", "ridge", "truth"))
    return capsys.readouterr().out.splitlines()


def test_the_defined_average_is_a_column_of_its_own_beside_the_mean_over_speakers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(capsys)
    found = make_scores("run", 5.0)["scores"]["model"][LVE]
    (row,) = (line for line in lines if LVE in line and "7.125" in line)
    mean, ends, defined, over, *_ = (cell.strip() for cell in row.strip("│").split("│")[1:])
    assert (mean, defined, over) == (number(found["mean"]), "7.125", "frames")
    assert ends == interval(found) and " to " in ends
    assert not any("no intervals" in line for line in lines)


def test_fewer_than_five_speakers_have_a_dash_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, speakers=4)
    assert "no intervals: an interval needs at least 5 speakers, here are 4" in lines
    (row,) = (line for line in lines if LVE in line and "7.125" in line)
    assert row.strip("│").split("│")[2].strip() == "-" and not any("nan" in line for line in lines)


def test_an_interval_is_written_as_asked() -> None:
    assert interval({"low": 0.25, "high": 0.5}, "{:.1%}".format) == "25.0% to 50.0%"
    assert interval({"low": math.nan, "high": math.nan}) == "-" and interval({"value": 1.0}) == ""

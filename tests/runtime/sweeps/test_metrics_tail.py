import json
from pathlib import Path

import pytest

from runtime.sweeps.definition import Metric
from runtime.sweeps.metrics_tail import MetricsTail, read_chosen

NAME = "val/error"


def line(step: int, value: float | None = None) -> str:
    return json.dumps({"step": step, "time": 100.0 + step / 2, **({NAME: value} if value is not None else {})}) + "\n"


def test_what_is_appended_is_read_once_and_half_lines_are_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    tail = MetricsTail(file, Metric(NAME))
    tail.update()
    assert tail.chosen is None and tail.steps_per_s is None
    file.write_text(line(0) + line(2, 5.0) + line(4, 3.0)[:12])
    tail.update()
    assert tail.step == 2 and tail.last == 5.0
    file.write_text(line(0) + line(2, 5.0) + line(4, 3.0))
    tail.update()
    assert tail.step == 4 and [v[NAME] for v in tail.validations] == [5.0, 3.0]
    assert tail.steps_per_s == pytest.approx(2.0)


def test_a_replaced_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(line(step, step) for step in range(9)))
    tail = MetricsTail(file, Metric(NAME))
    tail.update()
    (tmp_path / "new").write_text(line(0, 7.0) + line(1, 6.0))
    (tmp_path / "new").replace(file)
    tail.update()
    assert tail.step == 1 and [v[NAME] for v in tail.validations] == [7.0, 6.0]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [(Metric(NAME), 2), (Metric(NAME, "max"), 1), (Metric(NAME, "min", "last"), 3), (Metric("val/no"), None)],
)
def test_the_line_that_counts(metric: Metric, expected: int | None, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        "".join(
            [line(0), line(1, 9.0), line(2, 4.0), line(3, 6.0), json.dumps({"step": 4, NAME: None}) + "\n", "{oops}\n"]
        )
    )
    chosen = read_chosen(tmp_path, metric)
    assert (chosen and chosen["step"]) == expected

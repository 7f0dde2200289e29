import json
from pathlib import Path

from runtime.metrics_log import JsonlLogger, read_metrics


def test_lines_hold_step_and_values(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "metrics.jsonl")
    logger.log_metrics({"train/loss": 0.5, "epoch": 0}, step=3)
    [line] = read_metrics(tmp_path / "metrics.jsonl")
    assert line["step"] == 3 and line["train/loss"] == 0.5 and "epoch" not in line


def test_nan_becomes_null_so_that_every_reader_can_read_the_line(tmp_path: Path) -> None:
    JsonlLogger(tmp_path / "m.jsonl").log_metrics({"val/x": float("nan")}, step=0)
    assert json.loads((tmp_path / "m.jsonl").read_text())["val/x"] is None


def test_rewinding_removes_later_steps_and_a_half_written_line(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "m.jsonl")
    for step in range(5):
        logger.log_metrics({"a": step}, step=step)
    with (tmp_path / "m.jsonl").open("a") as handle:
        handle.write('{"step": 5, "a"')
    assert logger.rewind(3) == 3
    assert [line["step"] for line in read_metrics(tmp_path / "m.jsonl")] == [0, 1, 2]

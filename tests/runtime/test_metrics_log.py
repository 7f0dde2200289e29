import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytorch_lightning.utilities import rank_zero_only

from runtime import metrics_log
from runtime.metrics_log import JsonlLogger, read_metrics
from runtime.run_folder import RunError


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Writes beyond `size` bytes of a file fail, after the part that fits was written, as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def steps_of(path: Path) -> list[int]:
    return [row["step"] for row in read_metrics(path)]


def test_lines_hold_step_and_values(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "metrics.jsonl")
    logger.log_metrics({"train/loss": 0.5, "epoch": 0}, step=3)
    [line] = read_metrics(tmp_path / "metrics.jsonl")
    assert line["step"] == 3 and line["train/loss"] == 0.5 and "epoch" not in line


def test_nan_becomes_null_so_that_every_reader_can_read_the_line(tmp_path: Path) -> None:
    JsonlLogger(tmp_path / "m.jsonl").log_metrics({"val/x": float("nan")}, step=0)
    assert json.loads((tmp_path / "m.jsonl").read_text())["val/x"] is None


def test_training_and_validation_of_one_step_have_a_line_each_and_a_repetition_has_none(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    for logger in (JsonlLogger(path), JsonlLogger(path)):  # the second one is a resume that validates again
        logger.log_metrics({"train/loss": 1.0, "perf/samples_per_s": 3.0}, step=5)
        logger.log_metrics({"val/loss": 2.0, "val/other": 2.0}, step=5)
        logger.log_metrics({"val/loss": 2.0}, step=5)
    assert [sorted(row.keys() - {"step", "time"}) for row in read_metrics(path)] == [
        ["perf/samples_per_s", "train/loss"],
        ["val/loss", "val/other"],
    ]


def test_rewinding_removes_later_steps_and_a_half_written_line(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "m.jsonl")
    for step in range(5):
        logger.log_metrics({"a": step}, step=step)
    with (tmp_path / "m.jsonl").open("a") as handle:
        handle.write('{"step": 5, "a"')
    assert logger.rewind(3) == 3
    assert steps_of(tmp_path / "m.jsonl") == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["m.jsonl"]


def test_rewound_steps_are_logged_again(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "m.jsonl")
    for step in range(5):
        logger.log_metrics({"a": step}, step=step)
    logger.rewind(2)
    for step in range(2, 5):
        logger.log_metrics({"a": step}, step=step)
    assert steps_of(tmp_path / "m.jsonl") == [0, 1, 2, 3, 4]


def test_a_rewind_that_is_killed_before_the_rename_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = JsonlLogger(tmp_path / "m.jsonl")
    for step in range(5):
        logger.log_metrics({"a": step}, step=step)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(metrics_log.os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        logger.rewind(2)
    assert steps_of(tmp_path / "m.jsonl") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("half", [b'{"step": 2, "a"', b'{"step": 2, "a": 7.0}', b"\x00" * 70_000])
def test_a_half_written_last_line_is_cut_by_the_next_row(half: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    for step in range(2):
        JsonlLogger(path).log_metrics({"a": step}, step=step)
    with path.open("ab") as handle:
        handle.write(half)
    JsonlLogger(path).log_metrics({"a": 2.0}, step=2)
    assert [(row["step"], row["a"]) for row in read_metrics(path)] == [(0, 0), (1, 1), (2, 2)]


def test_a_full_disk_costs_nothing_once_there_is_space_again(tmp_path: Path) -> None:
    path, said = tmp_path / "m.jsonl", []
    logger = JsonlLogger(path, say=said.append)
    logger.log_metrics({"a": 0.0}, step=0)
    with disk_full_at(path.stat().st_size + 10):
        for step in range(1, 4):
            logger.log_metrics({"a": 0.5}, step=step)
            logger.sync()
        assert steps_of(path) == [0] and path.read_bytes().endswith(b"\n"), "half a row stayed"
    logger.log_metrics({"a": 0.5}, step=4)
    logger.close()
    assert steps_of(path) == [0, 1, 2, 3, 4]
    assert len(said) == 2 and "training goes on" in said[0] and "is written again" in said[1]


def test_rows_that_never_reach_the_disk_are_counted_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_log, "MAX_UNWRITTEN", 2)
    path, said = tmp_path / "m.jsonl", []
    logger = JsonlLogger(path, say=said.append)
    with disk_full_at(10):
        for step in range(5):
            logger.log_metrics({"a": 0.5}, step=step)
        logger.close()
    assert len(said) == 2 and said[1].startswith(f"5 logged rows are missing from {path}: OSError")


def test_a_folder_that_went_away_does_not_end_the_run(tmp_path: Path) -> None:
    said: list[str] = []
    logger = JsonlLogger(tmp_path / "gone" / "m.jsonl", say=said.append)
    logger.log_metrics({"a": 0.5}, step=0)
    logger.sync()
    logger.close()
    assert "FileNotFoundError" in said[0] and "1 logged rows are missing" in said[1]


def test_syncing_brings_what_was_logged_onto_the_disk_and_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(metrics_log.os, "fsync", synced.append)
    logger = JsonlLogger(tmp_path / "m.jsonl")
    logger.sync()
    logger.log_metrics({"a": 0.5}, step=0)
    logger.sync()
    logger.sync()
    assert len(synced) == 1


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = JsonlLogger(tmp_path / "m.jsonl")
    logger.log_metrics({"a": 0.5}, step=0)
    logger.sync()
    logger.close()
    assert list(tmp_path.iterdir()) == []


def test_reading_skips_a_row_that_is_being_written_and_names_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 0, "a": 1}\n{"step": 1')
    assert steps_of(path) == [0]
    path.write_text('{"step": 0, "a": 1}\nnonsense\n{"step": 1, "a": 1}\n')
    with pytest.raises(RunError, match="line 2 of"):
        read_metrics(path)

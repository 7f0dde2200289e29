"""`metrics.jsonl`: the record of a run, one JSON object a line; and the loggers of a run, of which W&B is only a view."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from runtime.run_folder import RunError, RunFolder
from runtime.wandb_session import first_line, say_on_stderr
from runtime.wandb_view import WandbView, describe

MAX_UNWRITTEN = 100_000


class JsonlLogger(Logger):
    """Appends `{"step": .., "time": .., "<metric>": ..}`; one line per step and kind, the kind being the set of prefixes of its metrics.

    A row of a step and kind that is in the file already (a validation that a resume repeats) is skipped. A disk that is full or gone
    does not end the run: rows wait in memory, every later row tries again, and `close` says what is missing for good.
    """

    def __init__(self, path: Path, say: Callable[[str], None] = say_on_stderr) -> None:
        super().__init__()
        self.path, self._say = path, say
        self._logged: set[tuple[int, str]] | None = None
        self._unwritten: list[bytes] = []
        self._lost, self._failing, self._synced = 0, "", True

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return self.path.parent.name

    @property
    @rank_zero_experiment
    def experiment(self) -> Path:
        return self.path

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {name: _plain(value) for name, value in metrics.items() if name != "epoch"}
        row = {"step": int(step or 0), "time": round(time.time(), 3), **values}
        if self._logged is None:
            self._logged = {_identity(old) for old in self._rows()}
        if _identity(row) in self._logged:
            return
        self._logged.add(_identity(row))
        self._unwritten.append((json.dumps(row) + "\n").encode())
        while len(self._unwritten) > MAX_UNWRITTEN:
            self._unwritten.pop(0)
            self._lost += 1
        self._write()

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's config.yaml is the record."""

    @rank_zero_only
    def sync(self) -> None:
        """Bring what was logged onto the disk (fsync); called before each checkpoint. Lightning's `save`, called after each row, does not:
        an fsync can take longer than a training step."""
        if self._unwritten:
            self._write()
        if self._synced or not self.path.exists():
            return
        try:
            with self.path.open("ab") as handle:
                os.fsync(handle.fileno())
            self._synced = True
        except OSError as error:
            self._note(error)

    @rank_zero_only
    def rewind(self, step: int) -> int:
        """Remove the lines of steps that will be done again, and unreadable ones; returns how many."""
        if not self.path.exists():
            return 0
        lines = self.path.read_bytes().splitlines()
        kept = [line for line in lines if (row := _parsed(line)) is not None and row["step"] < step]
        temporary = self.path.with_name(self.path.name + ".tmp")
        try:
            with temporary.open("wb") as handle:
                handle.writelines(line + b"\n" for line in kept)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(self.path)
            _sync_directory(self.path.parent)
        finally:
            temporary.unlink(missing_ok=True)
        self._logged = None
        return len(lines) - len(kept)

    @rank_zero_only
    def close(self) -> None:
        """Try a last time and say what could not be written."""
        self.sync()
        missing = self._lost + len(self._unwritten)
        if missing:
            self._say(f"{missing} logged rows are missing from {self.path}: {self._failing}")

    def _rows(self) -> list[dict[str, Any]]:
        try:
            lines = self.path.read_bytes().splitlines(keepends=True)
        except OSError:
            return []  # no file yet; a disk that cannot be read tells so when it is written to
        return [row for line in lines if line.endswith(b"\n") and (row := _parsed(line)) is not None]

    def _write(self) -> None:
        try:
            with self.path.open("r+b" if self.path.exists() else "xb", buffering=0) as handle:
                end = _end_of_last_row(handle)
                try:
                    _write_all(handle, b"".join(self._unwritten))
                except OSError:
                    handle.truncate(end)  # nothing half-written stays
                    raise
        except OSError as error:
            self._note(error)
            return
        self._unwritten.clear()
        self._synced = False
        if self._failing:
            self._failing = ""
            self._say(f"{self.path} is written again")

    def _note(self, error: OSError) -> None:
        if not self._failing:
            self._say(f"{self.path} cannot be written ({first_line(error)}); training goes on and each row tries again")
        self._failing = first_line(error)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All logged lines of a run, in order, without a last line that is still being written. Raises RunError on a damaged one."""
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        row = _parsed(line)
        if row is None and line.endswith(b"\n"):
            raise RunError(
                f"line {number} of {path} is not a logged row; the run's next start with train.py removes damaged lines"
            )
        if row is not None:
            rows.append(row)
    return rows


def make_loggers(run: RunFolder) -> list[Any]:
    """The record (always first), and W&B unless `logger.mode` is `none`."""
    loggers: list[Any] = [JsonlLogger(run.metrics_file)]
    if run.config.logger.mode != "none":
        loggers.append(WandbView(describe(run)))
    return loggers


def close_loggers(loggers: list[Any], exit_code: int = 0) -> None:
    """Write what waits and end the W&B run; each logger says what it could not keep. `exit_code` is what W&B shows the run ended with."""
    for logger in loggers:
        if isinstance(logger, WandbView):
            logger.close(exit_code)
        elif isinstance(logger, JsonlLogger):
            logger.close()


def _identity(row: dict[str, Any]) -> tuple[int, str]:
    prefixes = {name.rpartition("/")[0] for name in row if name not in ("step", "time")}
    return row["step"], ",".join(sorted(prefixes))


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def _end_of_last_row(handle: Any) -> int:
    """Cut a half-written last line, as a kill leaves it; returns the position of the end, where the handle then stands."""
    size = end = handle.seek(0, os.SEEK_END)
    block = 1  # nearly always the last byte is the newline already
    while end > 0:
        start = max(end - block, 0)
        handle.seek(start)
        newline = handle.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end, block = start, 1 << 16
    if end < size:
        handle.truncate(end)
    return handle.seek(end)


def _write_all(handle: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[handle.write(view) :]


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: Any) -> float | int | None:
    number = float(value)
    if math.isnan(number) or math.isinf(number):
        return None  # JSON has no NaN; null keeps the line readable by every reader
    return int(number) if number.is_integer() and abs(number) < 2**53 else number

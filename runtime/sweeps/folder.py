"""A sweep's folder, `runs/sweeps/<name>-<hash>/`, and its record of every attempt.

sweep.yaml      the resolved sweep
trials.jsonl    append-only: one line when an attempt starts, one when it ends
logs/           what each trial printed
table.md  results.json
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.run_folder import write_atomically
from runtime.sweeps.definition import Sweep, SweepError
from runtime.sweeps.files import as_yaml
from runtime.sweeps.reading import read_sweep
from runtime.sweeps.trials import Trial

FINISHED, STOPPED, PREEMPTED, FAILED, DIVERGED = "finished", "stopped", "preempted", "failed", "diverged"
RUNNING, PENDING = "running", "pending"
SETTLED = (FINISHED, STOPPED, DIVERGED)  # a rerun leaves these alone; a diverged one would end the same way again


@dataclass(frozen=True)
class Attempt:
    """What the record knows of a trial: its newest start and, if it ended, its end."""

    start: dict[str, Any]
    end: dict[str, Any] = field(default_factory=dict)
    number: int = 1

    @property
    def status(self) -> str:
        """How it ended; `running` also where sweep.py died before it could say."""
        return self.end.get("status", RUNNING)


@dataclass(frozen=True)
class SweepFolder:
    path: Path

    @property
    def record_file(self) -> Path:
        return self.path / "trials.jsonl"

    @property
    def last_change(self) -> float:
        return (self.record_file if self.record_file.exists() else self.path).stat().st_mtime

    @property
    def sweep(self) -> Sweep:
        return read_sweep(self.path / "sweep.yaml")

    def log_file(self, trial_id: str) -> Path:
        return self.path / "logs" / f"{trial_id}.log"

    def started(self, trial: Trial, pid: int) -> None:
        attempt = self.attempts().get(trial.id)
        self._append(
            {
                "trial": trial.id, "event": "start", "attempt": attempt.number + 1 if attempt else 1, "time": round(time.time(), 3),
                "experiment": trial.experiment, "overrides": trial.overrides, "levels": trial.levels, "identity": trial.identity,
                "host": socket.gethostname(), "pid": pid,
            }
        )  # fmt: skip

    def ended(self, trial: Trial, status: str, **facts: Any) -> None:
        self._append({"trial": trial.id, "event": "end", "status": status, "time": round(time.time(), 3), **facts})

    def attempts(self) -> dict[str, Attempt]:
        """Newest attempt of every trial that was ever started, in order of first start."""
        attempts: dict[str, Attempt] = {}
        for line in self._lines():
            if line["event"] == "start":
                attempts[line["trial"]] = Attempt(line, {}, line["attempt"])
            elif line["trial"] in attempts:
                attempts[line["trial"]] = Attempt(attempts[line["trial"]].start, line, attempts[line["trial"]].number)
        return attempts

    def _lines(self) -> Iterator[dict[str, Any]]:
        text = self.record_file.read_text() if self.record_file.exists() else ""
        for line in text.splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue  # cut off by a kill in the middle of a write; the next append began a new line

    def _append(self, record: dict[str, Any]) -> None:
        """Several machines may append to one record, and a kill may have left half a line."""
        with self.record_file.open("a+b") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = handle.seek(0, os.SEEK_END)
            if size:
                handle.seek(size - 1)
                half = handle.read(1) != b"\n"
            else:
                half = False
            handle.write((b"\n" if half else b"") + json.dumps(record).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())


def open_sweep(sweep: Sweep, run_root: Path) -> SweepFolder:
    """The folder of a sweep, made or found; what may change in place (report, budget) is written anew."""
    folder = SweepFolder(run_root / "sweeps" / f"{sweep.name}-{sweep.hash}")
    (folder.path / "logs").mkdir(parents=True, exist_ok=True)
    text = as_yaml(sweep)
    file = folder.path / "sweep.yaml"
    if not file.exists() or file.read_text() != text:
        write_atomically(file, text)
    return folder


def existing_sweep(name_or_folder: str, run_root: Path = Path("runs")) -> SweepFolder:
    """A sweep's folder by its path, or by the sweep's name: the one of that name that was worked on last."""
    if (Path(name_or_folder) / "sweep.yaml").is_file():
        return SweepFolder(Path(name_or_folder))
    found = [p.parent for p in (run_root / "sweeps").glob(f"{name_or_folder}-*/sweep.yaml")]
    found = [path for path in found if path.name.rsplit("-", 1)[0] == name_or_folder]
    if not found:
        there = sorted(p.parent.name for p in (run_root / "sweeps").glob("*/sweep.yaml"))
        raise SweepError(f"no sweep folder {name_or_folder!r}; {run_root / 'sweeps'} has {', '.join(there) or 'none'}")
    return max((SweepFolder(path) for path in found), key=lambda folder: folder.last_change)


class TrialBusyError(Exception):
    """Another process trains this run at the moment."""


def lock_run(trial: Trial) -> int:
    """A descriptor that holds the run of this trial; close it when done. Raises TrialBusyError.

    It is passed on to the trial's process, so it holds until that has ended even where sweep.py was killed: no run folder is
    ever trained by two processes, of one sweep or of two that contain the same training.
    """
    folder = trial.run_root / "sweeps" / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / trial.identity, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise TrialBusyError(trial.id) from None
    return descriptor

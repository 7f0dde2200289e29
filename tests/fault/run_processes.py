"""Real training processes that tests start, watch, strike and clean up after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tiny_runs import TINY_OF

ROOT = Path(__file__).resolve().parents[2]


class Training:
    """One start of `train.py` in a session of its own, below a namespace or not; `stop()` leaves no process of it behind."""

    def __init__(
        self,
        folder: Path,
        overrides: list[str],
        *,
        prefix: list[str] | None = None,
        options: list[str] | None = None,
        environment: dict[str, str] | None = None,
        experiment: str = "expression_pretraining",
    ) -> None:
        self.folder = folder
        self.log_before = _changed_at(folder / "metrics.jsonl")
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.mark = f"PERSONA_FACES_TEST_{os.getpid()}_{time.monotonic_ns()}"
        script = prefix if prefix and prefix[-1] == "train.py" else [*(prefix or []), sys.executable, "train.py"]
        command = [*script, experiment, f"run.folder={folder}", *overrides, *(options or [])]
        log_number = len(list(folder.parent.glob("log-*.txt")))
        self.log = folder.parent / f"log-{log_number:03d}.txt"
        variables = {**os.environ, "OMP_NUM_THREADS": "1", self.mark: "1", **(environment or {})}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def members(self) -> list[int]:
        """All living processes of this start, found by a variable that they inherit."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if (
                        self.mark.encode() in (entry / "environ").read_bytes()
                        and "Z" not in (entry / "stat").read_text().rsplit(")", 1)[1][:3]
                    ):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def ranks(self) -> list[int]:
        """Process numbers of the ranks, without launcher and loader workers; of a run without a launcher, its one process."""
        by_rank = {}
        for pid in self.members():
            try:
                variables = dict(
                    v.split(b"=", 1) for v in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if b"=" in v
                )
                parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if b"LOCAL_RANK" in variables and parent == self.process.pid:
                by_rank[int(variables[b"LOCAL_RANK"])] = pid
        return [by_rank[rank] for rank in sorted(by_rank)] or [self.process.pid]

    def wait_until(self, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
        until = time.monotonic() + deadline_s
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} before {what}:\n{self.output()}")
            if time.monotonic() > until:
                self.stop()
                raise AssertionError(f"no {what} within {deadline_s} s:\n{self.output()}")
            time.sleep(0.02)

    def wait_for_step(self, step: int, deadline_s: float = 90) -> None:
        """Until this start has logged it: a start before may have come further, and a process that has only begun cannot answer a signal yet."""
        log = self.folder / "metrics.jsonl"
        self.wait_until(
            lambda: _changed_at(log) != self.log_before and last_step(self.folder) >= step, deadline_s, f"step {step}"
        )

    def end(self, deadline_s: float = 120) -> int:
        """Exit code; an AssertionError with the log when it does not end in time or leaves processes behind."""
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            for pid in self.members():
                os.kill(pid, signal.SIGABRT)
            time.sleep(1)
            self.stop()
            raise AssertionError(f"did not end within {deadline_s} s:\n{self.output()}") from None
        until = time.monotonic() + 20  # ranks whose launcher was killed save first; loader workers notice within 5 s
        while self.members() and time.monotonic() < until:
            time.sleep(0.1)
        left = self.members()
        self.stop()
        assert not left, f"processes {left} were left behind:\n{self.output()}"
        return code

    def stop(self) -> None:
        for _ in range(50):
            members = self.members()
            if not members:
                break
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.05)
        self.process.wait(10)

    def output(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]


def tiny_overrides(corpus: Path, *more: str, experiment: str = "expression_pretraining") -> list[str]:
    own = [
        o
        for o in TINY_OF[experiment]
        if not o.startswith(
            ("trainer.max_steps", "checkpoint.every_steps", "trainer.val_every_steps", "data.global_batch")
        )
    ]
    return [f"data.root={corpus}", *own, "callbacks.batch_record.enabled=true", *more]


def _changed_at(file: Path) -> int:
    """When a file was written last, in nanoseconds; 0 where there is none."""
    return file.stat().st_mtime_ns if file.is_file() else 0


def last_step(folder: Path) -> int:
    """The newest logged step, -1 before the first."""
    try:
        return json.loads((folder / "metrics.jsonl").read_bytes().rstrip(b"\n").rsplit(b"\n", 1)[-1])["step"]
    except (OSError, ValueError, KeyError):
        return -1


def trained_batches(folder: Path) -> dict[int, set[str]]:
    """What every step trained on over all ranks and starts: samples with window, reference and a hash of their content."""
    steps: dict[int, set[str]] = {}
    for file in sorted((folder / "batches").glob("*.jsonl")):
        for line in file.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the last line of a killed process
            steps.setdefault(record["step"], set()).update(json.dumps(sample) for sample in record["samples"])
    return steps

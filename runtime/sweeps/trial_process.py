"""One trial's processes: started in a session of their own, watched, stopped as a group, and never left behind."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from runtime import exit_codes
from runtime.sweeps.definition import Metric
from runtime.sweeps.folder import DIVERGED, FAILED, FINISHED, PREEMPTED, SweepFolder, lock_run
from runtime.sweeps.metrics_tail import MetricsTail
from runtime.sweeps.trials import Trial

TRAIN = (sys.executable, str(Path(__file__).resolve().parents[2] / "train.py"))
MARK = "SWEEP_TRIAL"  # in the environment of every process of a trial
OF_AN_AGENT = ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Outcome(NamedTuple):
    """How a trial ended, with a short reason where it is not `finished`."""

    status: str
    exit_code: int
    reason: str


class TrialProcess:
    """A running trial. Raises TrialBusyError when another process trains the same run.

    `command` is what stands before `EXPERIMENT key=value ...`. The process gets SIGTERM should this one die without a word.
    """

    def __init__(
        self,
        trial: Trial,
        folder: SweepFolder,
        metric: Metric,
        command: Sequence[str] = TRAIN,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.trial, self.folder, self.metric = trial, folder, metric
        self.asked = ""  # stopped or preempted, once this process asked the trial to end
        self.started = time.monotonic()
        self.run_folder: Path | None = None
        self.tail: MetricsTail | None = None
        self._deadline: float | None = None
        self._lock = lock_run(trial)
        self._mark = f"{MARK}={uuid.uuid4()}"
        given = os.environ if environment is None else environment
        log = folder.log_file(trial.id)
        self._log_position = log.stat().st_size if log.exists() else 0
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [*command, trial.experiment, *trial.overrides],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**given, "PYTHONUNBUFFERED": "1", **dict([self._mark.split("=", 1)])},
                    start_new_session=True,
                    pass_fds=(self._lock,),
                    preexec_fn=_end_with_parent(os.getpid()),
                )
        except OSError:
            os.close(self._lock)
            raise
        folder.started(trial, self._process.pid)

    @property
    def pid(self) -> int:
        """Also the id of its session and process group."""
        return self._process.pid

    def update(self) -> None:
        """Read what the trial printed and logged since."""
        if self.run_folder is None:
            self._find_run_folder()
        if self.tail is not None:
            self.tail.update()

    def stop(self, why: str, grace_s: float) -> None:
        """Ask the whole group to save and end; `poll` kills it when `grace_s` is over. The first reason counts."""
        if not self.asked:
            self.asked = why
            self._deadline = time.monotonic() + grace_s
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End by force the trial and all that came of it: launchers put ranks into sessions of their own, so the group is not enough."""
        self._signal(signal.SIGKILL)
        for pid in _processes_with(self._mark):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def poll(self) -> Outcome | None:
        """The outcome once the trial has ended, recorded in the sweep's folder; None while it runs."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            self.kill()
        # Left unreaped for a moment so that its process group's number cannot belong to anybody else when the rest is ended.
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        if ended.si_status != 0:
            self.kill()
        code = self._process.wait()
        self.update()
        outcome = self._outcome(code)
        facts = facts_of(outcome, self.run_folder, self.tail, self.metric, time.monotonic() - self.started)
        self.folder.ended(self.trial, outcome.status, **facts)
        os.close(self._lock)
        return outcome

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # ended in the meantime
            os.killpg(self.pid, number)

    def _find_run_folder(self) -> None:
        with self.folder.log_file(self.trial.id).open("rb") as handle:
            handle.seek(self._log_position)
            for line in handle.read().decode(errors="replace").splitlines(keepends=True):
                if line.startswith("run: ") and line.endswith("\n"):
                    self.run_folder = Path(line.removeprefix("run: ").strip())
                    self.tail = MetricsTail(self.run_folder / "metrics.jsonl", self.metric)
                    return

    def _outcome(self, code: int) -> Outcome:
        """The exit code decides; `outcome.json` only explains it."""
        reason = self._reason(code)
        if code == exit_codes.FINISHED:
            return Outcome(FINISHED, code, "")
        if code == exit_codes.DIVERGED:
            return Outcome(DIVERGED, code, reason or "the loss is not finite")
        saved = (exit_codes.PREEMPTED, exit_codes.INTERRUPTED, -signal.SIGTERM, -signal.SIGINT)
        if self.asked and code in (*saved, -signal.SIGKILL):
            late = " (ended by force after the grace period)" if code == -signal.SIGKILL else ""
            return Outcome(self.asked, code, self.asked + late)
        if code in saved:
            return Outcome(PREEMPTED, code, reason or "asked to end")
        if code < 0:
            return Outcome(FAILED, code, f"killed by {signal.Signals(-code).name}")
        return Outcome(FAILED, code, reason or self._last_line() or f"exit code {code}")

    def _reason(self, code: int) -> str:
        """What the run says of this ending; the file of an earlier attempt has another status."""
        said = _read_json(self.run_folder, "outcome.json")
        return str(said.get("reason", "")) if said.get("status") == exit_codes.STATUS.get(code) else ""

    def _last_line(self) -> str:
        with self.folder.log_file(self.trial.id).open("rb") as handle:
            handle.seek(self._log_position)
            lines = handle.read().decode(errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def facts_of(
    outcome: Outcome, run_folder: Path | None, tail: MetricsTail | None, metric: Metric, seconds: float
) -> dict[str, Any]:
    """What the sweep's record keeps of an ended attempt besides its status."""
    chosen = tail.chosen if tail else None
    values = {
        name: v for name, v in (chosen or {}).items() if isinstance(v, int | float) and name not in ("step", "time")
    }
    return {
        "exit_code": outcome.exit_code,
        "reason": outcome.reason,
        "folder": str(run_folder) if run_folder else None,
        "seconds": round(seconds, 1),
        "step": tail.step if tail else None,
        "metric": values.get(metric.name),
        "values": values,
        "chosen_by": asdict(metric),
        "synthetic": _read_json(run_folder, "data.json").get("facts", {}).get("synthetic"),
    }


def trial_environment(jobs: int, slot: int = 0, gpus: Sequence[str] = ()) -> dict[str, str]:
    """For one of `jobs` workers: its share of threads (unless the caller chose) and of GPUs, and nothing of somebody else's W&B run."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_AN_AGENT}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // jobs)))
    if gpus:
        share = max(1, len(gpus) // jobs)
        first = (slot * share) % len(gpus)
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[first : first + share])
    return environment


def _end_with_parent(parent: int) -> Any:
    """For the child, between fork and exec: SIGTERM when the parent dies. Only one thread here runs Python, so no lock can be held there."""

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os.kill(os.getpid(), signal.SIGTERM)

    return prepare


def _processes_with(mark: str) -> list[int]:
    """Processes that inherited a variable of the environment."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark.encode() in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found


def _read_json(run_folder: Path | None, name: str) -> dict[str, Any]:
    try:
        values = json.loads((run_folder / name).read_text()) if run_folder else {}
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}

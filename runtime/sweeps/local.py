"""Local workers: N trials at a time until the source has no more, a signal ends them all, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from runtime.exit_codes import BAD_INPUT
from runtime.sweeps.definition import Metric
from runtime.sweeps.display import Display
from runtime.sweeps.folder import PREEMPTED, SETTLED, STOPPED, Attempt, SweepFolder, TrialBusyError
from runtime.sweeps.found_run import FoundRun, find_run
from runtime.sweeps.trial_process import TRAIN, Outcome, TrialProcess, trial_environment
from runtime.sweeps.trials import Trial

POLL_S = 0.2
BUSY_S = 5.0
REFUSALS = 3


class Source(Protocol):
    """Where trials come from: a grid's list or a search."""

    def next(self) -> Trial | None:
        """The next trial to start, None where there is none now."""

    def busy(self, trial: Trial) -> None:
        """Another process trains this one; offer it again later."""

    @property
    def exhausted(self) -> bool:
        """Whether `next` will never return a trial again."""

    def should_stop(self, process: TrialProcess) -> bool:
        """Whether a running trial is not worth its time any more."""

    def ended(self, process: TrialProcess | FoundRun, outcome: Outcome) -> None:
        """Told of every end."""


class GridSource:
    """The trials of a grid that are not settled; what another machine settles in the meantime is not done again."""

    def __init__(self, trials: Sequence[Trial], folder: SweepFolder) -> None:
        self.folder = folder
        self._waiting = [(0.0, trial) for trial in missing(trials, folder)]

    def next(self) -> Trial | None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, trial = self._waiting.pop(0)
            if missing([trial], self.folder):
                return trial
        return None

    def busy(self, trial: Trial) -> None:
        self._waiting.append((time.monotonic() + BUSY_S, trial))

    @property
    def exhausted(self) -> bool:
        return not self._waiting

    def should_stop(self, process: TrialProcess) -> bool:
        return False

    def ended(self, process: TrialProcess | FoundRun, outcome: Outcome) -> None:
        """Nothing: the record has it."""


def missing(trials: Sequence[Trial], folder: SweepFolder) -> list[Trial]:
    """Those that a (re)run of the sweep starts: never started, cut off, preempted, failed, or trained under another configuration."""
    attempts = folder.attempts()
    return [
        t
        for t in trials
        if t.id not in attempts or attempts[t.id].status not in SETTLED or is_outdated(t, attempts[t.id])
    ]


def is_outdated(trial: Trial, attempt: Attempt) -> bool:
    """Whether the files of experiments/ were changed since, so that the same trial is another training now."""
    return attempt.start["identity"] != trial.identity


class Workers:
    """Runs the trials of a source, `jobs` at a time; `run` returns the signal that ended it early, or None.

    `of_agent`: started by a W&B agent, whose environment (the W&B run's id) is meant for the trial.
    """

    def __init__(
        self,
        source: Source,
        folder: SweepFolder,
        metric: Metric,
        display: Display,
        jobs: int = 1,
        command: Sequence[str] = TRAIN,
        grace_s: float = 120.0,
        gpus: Sequence[str] = (),
        of_agent: bool = False,
    ) -> None:
        self.source, self.folder, self.metric, self.display = source, folder, metric, display
        self.command, self.grace_s, self.gpus, self.of_agent = command, grace_s, gpus, of_agent
        self._slots: list[TrialProcess | None] = [None] * jobs
        self._signals: list[int] = []
        self._ended: list[Outcome] = []

    @property
    def running(self) -> list[TrialProcess]:
        return [process for process in self._slots if process is not None]

    @property
    def _why(self) -> str:
        """A W&B agent ends with SIGTERM what its sweep does not want any more; anybody else means to go on later."""
        return STOPPED if self.of_agent and self._signals[0] == signal.SIGTERM else PREEMPTED

    @property
    def refused(self) -> str:
        """Why no further trial is started: the first `REFUSALS` that ended here were all refused as bad input for this one reason; "" else.

        A base or a corpus that is not there is not there for the other hundreds either.
        """
        first = self._ended[:REFUSALS]
        reasons = {outcome.reason for outcome in first}
        if len(first) < REFUSALS or len(reasons) > 1 or any(outcome.exit_code != BAD_INPUT for outcome in first):
            return ""
        return first[0].reason

    def run(self) -> int | None:
        with self._listening(), self.display:
            try:
                while True:
                    self._step()
                    if not self.running and (self._signals or self.refused or self.source.exhausted):
                        self._say_refused()
                        return self._signals[0] if self._signals else None
                    time.sleep(POLL_S)
            finally:
                self._end_all()

    def _step(self) -> None:
        for slot, process in enumerate(self._slots):
            if process is None and not self._signals and not self.refused:
                self._slots[slot] = process = self._start(slot)
            if process is None:
                continue
            process.update()
            if self._signals:
                process.stop(self._why, self.grace_s)
                if self._signals.count(signal.SIGINT) > 1:
                    process.kill()
            elif not process.asked and self.source.should_stop(process):
                process.stop(STOPPED, self.grace_s)
            self._collect(slot, process)
        self.display.refresh(self.running, self.folder)

    def _start(self, slot: int) -> TrialProcess | None:
        trial = self.source.next()
        if trial is None:
            return None
        environment = dict(os.environ) if self.of_agent else trial_environment(len(self._slots), slot, self.gpus)
        try:
            found = find_run(trial, self.metric)
            if found is not None:
                self._ended.append(found.record(self.folder))
                self.source.ended(found, self._ended[-1])
                self.display.found(found)
                return None
            process = TrialProcess(trial, self.folder, self.metric, self.command, environment)
        except TrialBusyError:
            self.source.busy(trial)
            self.display.say(
                f"{trial.id} {trial.label}: another process trains this run; looking again in {BUSY_S:.0f} s"
            )
            return None
        self.display.started(process)
        return process

    def _collect(self, slot: int, process: TrialProcess) -> None:
        outcome = process.poll()
        if outcome is not None:
            self._slots[slot] = None
            self._ended.append(outcome)
            self.source.ended(process, outcome)
            self.display.ended(process, outcome)

    def _say_refused(self) -> None:
        if self.refused and not self.source.exhausted:
            self.display.say(
                f"the first {REFUSALS} trials were refused alike, so no further one was started; correct this first: {self.refused}"
            )

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """A signal asks all trials to save and end, a second Ctrl-C ends them by force; schedulers repeat their SIGTERMs, those do not."""

        def remember(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)

        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, remember) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end_all(self) -> None:
        """Only where this process failed itself: no trial may outlive it."""
        for process in self.running:
            process.stop(PREEMPTED, self.grace_s)
        while self.running:
            for slot, left in enumerate(self._slots):
                if left is not None and left.poll() is not None:
                    self._slots[slot] = None
            time.sleep(POLL_S)

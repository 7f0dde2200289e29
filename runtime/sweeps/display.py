"""What a person sees while a sweep runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from runtime.sweeps.definition import Metric
from runtime.sweeps.folder import FINISHED, SETTLED, STOPPED, SweepFolder
from runtime.sweeps.found_run import FoundRun
from runtime.sweeps.metrics_tail import MetricsTail
from runtime.sweeps.trial_process import Outcome, TrialProcess

REFRESH_S = 1.0
LINE_S = 60.0


class Display:
    """`total` trials are wanted; those settled earlier count as done. Prints to standard error, results go to standard output."""

    def __init__(self, title: str, total: int, metric: Metric, jobs: int, console: Console | None = None) -> None:
        self.title, self.total, self.metric, self.jobs = title, total, metric, jobs
        self.console = console or Console(file=sys.stderr)
        self._live: Live | None = None
        self._seconds: list[float] = []  # of the trials that finished while watching
        self._next = 0.0
        self._done: Counter[str] = Counter()

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            # No refresh thread: trials are forked from this process.
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def started(self, process: TrialProcess) -> None:
        if self._live is None:
            self.say(f"{process.trial.id} {process.trial.label}: started (process {process.pid})")

    def ended(self, process: TrialProcess, outcome: Outcome) -> None:
        seconds = time.monotonic() - process.started
        if outcome.status == FINISHED:
            self._seconds.append(seconds)
        value = self._value(process.tail)
        reason = f" ({outcome.reason})" if outcome.reason and outcome.status not in (FINISHED, STOPPED) else ""
        self.say(f"{process.trial.id} {process.trial.label}: {outcome.status}{reason} after {seconds:.0f} s{value}")

    def found(self, run: FoundRun) -> None:
        self.say(f"{run.trial.id} {run.trial.label}: finished already in {run.run_folder}{self._value(run.tail)}")

    def refresh(self, running: Sequence[TrialProcess], folder: SweepFolder) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._done = Counter(attempt.status for attempt in folder.attempts().values() if attempt.end)
        if self._live is not None:
            self._next = now + REFRESH_S
            self._live.update(self._table(running), refresh=True)
        else:
            if self._next:
                self.say(self._summary(running) + "".join(f"; {p.trial.id} at {_steps(p)}" for p in running))
            self._next = now + LINE_S

    def _value(self, tail: MetricsTail | None) -> str:
        chosen = tail.chosen if tail else None
        return f", {self.metric.name} {chosen[self.metric.name]:.4g}" if chosen else ""

    def _summary(self, running: Sequence[TrialProcess]) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self._done.items())) or "none ended"
        left = self.total - sum(self._done[status] for status in SETTLED)
        return f"{self.title}: {self.total} trials, {counts}, {len(running)} running, {max(left, 0)} to go{self._eta(running, left)}"

    def _eta(self, running: Sequence[TrialProcess], left: int) -> str:
        """Trials take as long as those that finished before them; what the running ones did already counts."""
        if not self._seconds or left <= 0:
            return ""
        each = sum(self._seconds) / len(self._seconds)
        spent = sum(min(time.monotonic() - p.started, each) for p in running)
        return f", about {_duration(max(left * each - spent, 0.0) / min(self.jobs, left))} left"

    def _table(self, running: Sequence[TrialProcess]) -> Table:
        table = Table(title=self._summary(running), title_justify="left", title_style="bold", expand=False)
        for column in ("trial", "settings", "step", self.metric.name.rsplit("/", 1)[-1], "best", "left"):
            table.add_column(column, justify="left" if column in ("trial", "settings") else "right", overflow="fold")
        for process in running:
            tail = process.tail
            last = f"{tail.last:.4g}" if tail and tail.last is not None else ""
            best = f"{tail.chosen[self.metric.name]:.4g}" if tail and tail.chosen else ""
            state = "ending" if process.asked else _steps(process)
            table.add_row(process.trial.id, process.trial.label, state, last, best, _left(process))
        return table


def _steps(process: TrialProcess) -> str:
    if process.tail is None:
        return "starting"
    return f"step {process.tail.step}/{process.trial.max_steps}"


def _left(process: TrialProcess) -> str:
    rate = process.tail.steps_per_s if process.tail else None
    return _duration((process.trial.max_steps - process.tail.step) / rate) if rate and process.tail else ""


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

"""Asking a run to stop: signals, the wall clock and callbacks set a flag, and all ranks agree on it between two steps.

A handler that saves or talks to other ranks deadlocks when they are inside a collective; here it only remembers the request.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType

from runtime.exit_codes import DIVERGED, INTERRUPTED, PREEMPTED

REPEAT_S = 3.0


class Reason(IntEnum):
    """Why to stop; where ranks have different reasons, the highest one counts."""

    NONE = 0
    TIME_LIMIT = 1
    PREEMPTED = 2
    INTERRUPTED = 3
    DIVERGED = 4

    @property
    def exit_code(self) -> int:
        return {Reason.DIVERGED: DIVERGED, Reason.INTERRUPTED: INTERRUPTED}.get(self, PREEMPTED)

    @property
    def is_saved(self) -> bool:
        """Whether a checkpoint of the moment is worth resuming from."""
        return self is not Reason.DIVERGED


class RunStopped(Exception):
    """Training ended early on purpose, on every rank at the same step."""

    def __init__(self, reason: Reason, step: int, detail: str = "") -> None:
        super().__init__(f"{reason.name.lower().replace('_', ' ')} at step {step}" + (f": {detail}" if detail else ""))
        self.reason, self.step = reason, step


class StopRequest:
    """What this rank was asked for; `agreed()` is what all ranks do."""

    def __init__(self, time_limit_s: float | None = None) -> None:
        self.reason, self.detail = Reason.NONE, ""
        self._deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
        self._first_signal = 0.0

    def ask(self, reason: Reason, detail: str = "") -> None:
        if reason > self.reason:
            self.reason, self.detail = reason, detail

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """While this lasts SIGTERM and SIGUSR1 ask for preemption and SIGINT for an interruption; the handlers before are put back.

        A second Ctrl-C ends the process at once. Repeated SIGTERMs do not: schedulers and launchers each send one.
        """
        numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
        before = {number: signal.signal(number, self._receive) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def agreed(self) -> Reason:
        """The highest reason over all ranks: a collective of one integer on the CPU, to be called by all of them at the same step."""
        from runtime.ranks import highest

        if self._deadline is not None and time.monotonic() > self._deadline:
            self.ask(Reason.TIME_LIMIT)
        return Reason(highest(int(self.reason)))

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGINT and self._first_signal and now - self._first_signal > REPEAT_S:
            os._exit(INTERRUPTED)
        if not self._first_signal:
            self._first_signal = now
            name = signal.Signals(number).name
            again = "; again to end at once" if number == signal.SIGINT else ""
            os.write(
                sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{name}: saving at the next step{again}\n".encode()
            )
        self.ask(Reason.INTERRUPTED if number == signal.SIGINT else Reason.PREEMPTED, signal.Signals(number).name)

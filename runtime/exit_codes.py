"""Exit codes of `train.py`, so that schedulers and sweeps know what to do next."""

from __future__ import annotations

FINISHED = 0
FAILED = 1  # a traceback says why
BAD_INPUT = 2  # one sentence says what was received, expected and to be done
DIVERGED = 65  # a loss that is not finite: starting again would end the same way
STALLED = 70  # the watchdog ended it; stacks are in the run folder
INTERRUPTED = 130  # Ctrl-C; saved
PREEMPTED = 143  # SIGTERM, SIGUSR1 or the wall-clock limit; saved: start the same command again

STATUS = {
    FINISHED: "finished",
    FAILED: "failed",
    BAD_INPUT: "failed",
    DIVERGED: "diverged",
    STALLED: "stalled",
    INTERRUPTED: "interrupted",
    PREEMPTED: "preempted",
}

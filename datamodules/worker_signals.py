"""Loader workers outlive a signal to the whole job long enough for their rank to finish its step and save."""

from __future__ import annotations

import signal

SURVIVE_S = 60.0


def outlive_stop_signals(worker_id: int) -> None:
    """`worker_init_fn` of a loader: SIGINT and SIGUSR1 are ignored, SIGTERM ends the worker after SURVIVE_S.

    Schedulers signal every process of a job. A worker that died at once would fail its rank in the middle of a step.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: signal.setitimer(signal.ITIMER_REAL, SURVIVE_S))

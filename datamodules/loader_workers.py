"""How loader workers start and how they outlive a signal to the whole job."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import forkserver
from typing import Any

SURVIVE_S = 60.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
# What a worker needs, imported once a rank.
PRELOADED = ["datamodules.clip_dataset", "datamodules.collate"]


def worker_context(start: str | None = None) -> Any:
    """The context that starts workers by `fork`, `spawn` or `forkserver` (None), from the main thread.

    A rank has threads of its own (collectives, watchdog, prefetching), and a process forked from it now and then stands still in a lock that one
    of them held; a fork server has none. It is started deaf to the signals that stop a job: its workers would die with it in the middle of a step.
    """
    if start in (None, "forkserver"):
        multiprocessing.set_forkserver_preload(PRELOADED)
        before = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
        try:
            forkserver.ensure_running()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return multiprocessing.get_context(start or "forkserver")


def end_with_parent() -> None:
    """From now on this process ends when the one that asked for it does, however that ends; a fork server and its children keep each other alive."""
    threading.Thread(target=_exit_after_parent, name="end with parent", daemon=True).start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def outlive_stop_signals(worker_id: int) -> None:
    """`worker_init_fn` of a loader: SIGINT and SIGUSR1 are ignored, SIGTERM ends the worker after SURVIVE_S, the end of its rank at once.

    Schedulers signal every process of a job. A worker that died at once would fail its rank in the middle of a step.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: signal.setitimer(signal.ITIMER_REAL, SURVIVE_S))

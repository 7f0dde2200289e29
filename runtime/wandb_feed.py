"""A bounded queue and the one daemon thread that makes all W&B calls of a run, so that nobody waits for them or sees their errors."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable

from runtime.wandb_session import WandbSession, first_line, say_on_stderr, withdraw_exit_hooks

Job = Callable[[WandbSession], None]


class WandbFeed:
    """Hands jobs to a `WandbSession` in another thread. `start` and `offer` return at once and never raise.

    A full queue of `queue_rows` jobs drops the newest and counts it. `close` waits at most the session's `timeout_s`, then abandons
    W&B. Everything that goes wrong is told through `say`, each kind once, and `close` says how many rows are not shown.
    """

    def __init__(self, session: WandbSession, queue_rows: int, say: Callable[[str], None] = say_on_stderr) -> None:
        self._session, self._say = session, say
        self._timeout_s = session.description.timeout_s
        self._queue: queue.Queue[Job | None] = queue.Queue(queue_rows)
        self._thread: threading.Thread | None = None
        self._closing, self._drain_until, self._exit_code = threading.Event(), 0.0, 0
        self._offered, self._shown, self._overflowed, self._refused = 0, 0, 0, 0
        self._broken, self._doing = False, "init"

    def start(self) -> None:
        """Open the W&B run, if that was not asked for before."""
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._serve, name="wandb", daemon=True)
            self._thread.start()

    def offer(self, job: Job) -> None:
        self.start()
        self._offered += 1
        if self._broken:
            return
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self._overflowed += 1

    def close(self, exit_code: int) -> None:
        """End the W&B run, told with which `exit_code` the process ends."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # The last quarter of the time is for finishing, also when rows still wait.
        self._exit_code, self._drain_until = exit_code, time.monotonic() + 0.75 * self._timeout_s
        self._closing.set()
        with contextlib.suppress(queue.Full):  # then the thread is not waiting for a job and needs no waking
            self._queue.put_nowait(None)
        thread.join(self._timeout_s)
        if thread.is_alive():
            withdraw_exit_hooks()
            self._say(f"W&B did not answer for {self._timeout_s:g} s in `{self._doing}` and was abandoned")
        self._say_what_is_missing()

    def _serve(self) -> None:
        try:
            self._session.start()
            self._doing = "log"
            while not self._closing.is_set() or (not self._queue.empty() and time.monotonic() < self._drain_until):
                job = self._queue.get()
                if job is not None:
                    self._show(job)
            self._doing = "finish"
            self._session.finish(self._exit_code)
        except BaseException as error:  # noqa: BLE001 - teardown raises SystemExit when the service failed
            self._broken = True
            withdraw_exit_hooks()
            self._say(f"W&B failed in `{self._doing}` and is not used any more ({first_line(error)}); training goes on")

    def _show(self, job: Job) -> None:
        try:
            job(self._session)
            self._shown += 1
        except Exception as error:  # noqa: BLE001 - whatever a row meets, training is not told
            self._refused += 1
            if self._refused == 1:
                self._say(f"W&B refused a row ({first_line(error)}); training goes on and later rows are tried")

    def _say_what_is_missing(self) -> None:
        missing = self._offered - self._shown
        if not missing:
            return
        reasons = {
            "came faster than W&B took them": self._overflowed,
            "were refused": self._refused,
            "were still waiting": missing - self._overflowed - self._refused,
        }
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count > 0)
        self._say(f"W&B does not show {missing} of {self._offered} logged rows ({told}); the run folder has them all")

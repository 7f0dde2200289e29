"""W&B as a view of a run that can be slow, wrong, hanging or absent without training noticing.

Rows go through a bounded queue to one daemon thread that makes all W&B calls. The training thread never waits for it, never sees
its errors, and loses nothing: `metrics.jsonl` is the record.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from runtime.wandb_session import RunDescription, WandbSession, first_line, withdraw_exit_hooks

QUEUE_ROWS = 10_000


def say_on_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class WandbView(Logger):
    """Lightning logger that shows a run in W&B; only global rank 0 starts the thread and imports the package.

    A full queue drops the newest row and counts it. `close` waits at most `description.timeout_s`, then abandons W&B; whatever is not
    shown is said there in one sentence.
    """

    def __init__(
        self, description: RunDescription, queue_rows: int = QUEUE_ROWS, say: Callable[[str], None] = say_on_stderr
    ) -> None:
        super().__init__()
        self.description, self._say = description, say
        self._session = WandbSession(description, say)
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(queue_rows)
        self._thread: threading.Thread | None = None
        self._closing, self._drain_until, self._exit_code = threading.Event(), 0.0, 0
        self._offered, self._shown, self._overflowed, self._refused = 0, 0, 0, 0
        self._broken, self._doing = False, "import"

    @property
    def name(self) -> str:
        return self.description.project

    @property
    def version(self) -> str:
        return self.description.run_id

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = {name: value for name, value in metrics.items() if name != "epoch"}
        self._offer(lambda: self._session.log(row, int(step or 0)))

    @rank_zero_only
    def log_video(self, key: str, path: Path, step: int, caption: str = "") -> None:
        """Show a finished video file; the file stays where it is and W&B keeps a copy."""
        self._offer(lambda: self._session.log_video(key, Path(path), step, caption))

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: W&B gets the run's resolved configuration when the run is opened."""

    @rank_zero_only
    def save(self) -> None:
        """Lightning calls this on all ranks when training begins: also a run that never logs is shown."""
        self._start()

    @rank_zero_only
    def close(self, exit_code: int = 0) -> None:
        """End the W&B run; `exit_code` is the process's (143: preempted, will go on). Returns within about `timeout_s` in any case."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # Rows get half of the time, so that a slow W&B can still finish in the other half.
        self._exit_code, self._drain_until = exit_code, time.monotonic() + self.description.timeout_s / 2
        self._closing.set()
        with contextlib.suppress(queue.Full):  # then the thread is not waiting for a row and needs no waking
            self._queue.put_nowait(None)
        thread.join(self.description.timeout_s)
        if thread.is_alive():
            withdraw_exit_hooks()
            self._say(f"W&B did not answer for {self.description.timeout_s:g} s in `{self._doing}` and was abandoned")
        self._say_what_is_missing()

    def _start(self) -> None:
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._serve, name="wandb-view", daemon=True)
            self._thread.start()

    def _offer(self, job: Callable[[], None]) -> None:
        self._start()
        self._offered += 1
        if self._broken:
            return
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self._overflowed += 1

    def _serve(self) -> None:
        try:
            self._doing = "init"
            self._session.start()
            while not self._closing.is_set() or (not self._queue.empty() and time.monotonic() < self._drain_until):
                self._doing = "log"
                job = self._queue.get()
                if job is not None:
                    self._show(job)
            self._doing = "finish"
            self._session.finish(self._exit_code)
        except BaseException as error:  # noqa: BLE001 - teardown raises SystemExit when the service failed
            self._broken = True
            withdraw_exit_hooks()
            self._say(f"W&B failed in `{self._doing}` and is not used any more ({first_line(error)}); training goes on")

    def _show(self, job: Callable[[], None]) -> None:
        try:
            job()
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

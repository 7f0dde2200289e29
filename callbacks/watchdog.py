"""Ends a run that stands still: a hung collective, loader or disk would hold a cluster's nodes until somebody looks."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from runtime.exit_codes import STALLED
from runtime.outcome import record_outcome


class Watchdog(pl.Callback):
    """Ends the process with exit code 70 when no batch started or ended for `timeout_s`, after writing the stacks of all its threads
    to `<run>/stalled-rank-<r>.txt` and to stderr.

    A thread of its own looks at the time of the last beat, so a beat costs one assignment. Should that thread be kept from running (native
    code that holds the interpreter), a timer of `faulthandler` ends the process after twice the time.
    """

    def __init__(self, run_folder: str, timeout_s: float = 1800.0) -> None:
        self.run_folder, self.timeout_s = Path(run_folder), timeout_s
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_beat, self._where, self._step, self._rank = time.monotonic(), "start", 0, 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rank = trainer.global_rank
        self._beat("start", trainer.global_step)
        self._done.clear()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._beat("training batch", trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._beat("after a training batch", trainer.global_step)

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._beat("validation batch", trainer.global_step)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._beat("after a validation batch", trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._beat("after validation", trainer.global_step)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._rest()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._rest()

    def _beat(self, where: str, step: int) -> None:
        self._where, self._step, self._last_beat = where, step, time.monotonic()

    def _rest(self) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        pause = min(self.timeout_s / 10, 10.0)
        try:
            while not self._done.wait(pause):
                # Not sys.stderr: in a notebook that is no file, and the thread would die of it.
                faulthandler.dump_traceback_later(2 * self.timeout_s + pause, exit=True, file=sys.__stderr__ or 2)
                if time.monotonic() - self._last_beat > self.timeout_s:
                    self._end()
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _end(self) -> None:
        sentence = (
            f"rank {self._rank} stands still since {self._where}, step {self._step}: nothing for {self.timeout_s:g} s"
        )
        file = self.run_folder / f"stalled-rank-{self._rank}.txt"
        print(f"watchdog: {sentence}; ending it, stacks follow and are in {file}", file=sys.__stderr__, flush=True)
        faulthandler.dump_traceback(file=sys.__stderr__ or 2)
        try:
            with file.open("w") as handle:
                handle.write(sentence + "\n")
                handle.flush()
                faulthandler.dump_traceback(file=handle)
            record_outcome(self.run_folder, "stalled", self._step, sentence)
        finally:
            os._exit(STALLED)

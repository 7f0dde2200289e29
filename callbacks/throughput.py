"""Samples per second, the share of time spent waiting for data, and a progress line with an ETA where no progress bar can be drawn."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl


class Throughput(pl.Callback):
    """Logs `perf/samples_per_s` and `perf/data_wait_fraction`, over the steps since the last logging."""

    def __init__(self, every_steps: int = 10, line_every_s: float = 10.0) -> None:
        self.every_steps, self.line_every_s = every_steps, line_every_s
        self._reset()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._reset()
        self._first_step, self._train_started = trainer.global_step, time.monotonic()
        self._last_line = time.monotonic()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        self._waited += now - self._batch_ended
        self._batch_started = now

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batch_ended = time.monotonic()
        self._busy += self._batch_ended - self._batch_started
        self._samples += len(batch) * trainer.world_size
        if trainer.global_step % self.every_steps or self._samples == 0:
            return
        elapsed = max(self._waited + self._busy, 1e-9)
        rate = self._samples / elapsed
        pl_module.log("perf/samples_per_s", rate, rank_zero_only=True, batch_size=1)
        pl_module.log("perf/data_wait_fraction", self._waited / elapsed, rank_zero_only=True, batch_size=1)
        self._say(trainer, rate)
        self._reset()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._batch_ended = time.monotonic()  # validation is not waiting for data

    def _say(self, trainer: pl.Trainer, rate: float) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() or not trainer.is_global_zero or now - self._last_line < self.line_every_s:
            return
        self._last_line = now
        done, total = trainer.global_step, int(trainer.max_steps)
        seconds_a_step = (now - self._train_started) / max(done - self._first_step, 1)
        loss = trainer.callback_metrics.get("train/loss")
        shown = f", loss {float(loss):.4f}" if loss is not None else ""
        print(
            f"step {done}/{total}{shown}, {rate:.1f} samples/s, ETA {_clock((total - done) * seconds_a_step)}",
            file=sys.stderr,
            flush=True,
        )

    def _reset(self) -> None:
        self._samples, self._waited, self._busy = 0, 0.0, 0.0
        self._batch_ended = self._batch_started = time.monotonic()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

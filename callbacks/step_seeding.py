"""Makes dropout and masking a function of (seed, step, rank), so that a resumed run draws what the uninterrupted one drew."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from runtime.seeding import stream_seed


class StepSeeding(pl.Callback):
    """Reseeds torch before every training batch. Ranks draw differently, repetitions of one step identically."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        torch.manual_seed(stream_seed(self.seed, "step", trainer.fit_loop.total_batch_idx, trainer.global_rank))

"""Keeps the one integer of data progress: trained batches are counted here and stored in the DataModule's state."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl


class ProgressState(pl.Callback):
    """Counts in a callback, not in the module: module hooks run after ModelCheckpoint, so their count would be one batch stale."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        trainer.datamodule.advance(1)  # type: ignore[attr-defined]

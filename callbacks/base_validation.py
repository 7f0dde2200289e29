"""Validation before the first step: the base itself is the first candidate for the best checkpoint, and every curve begins at it."""

from __future__ import annotations

import pytorch_lightning as pl


class BaseValidation(pl.Callback):
    """Runs validation once when a run starts at step 0. Lightning's own check before training logs nothing and chooses nothing."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step:
            return
        trainer.validating = True
        trainer.fit_loop.epoch_loop.val_loop.run()
        trainer.training = True

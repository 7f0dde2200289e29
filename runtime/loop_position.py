"""Lightning's loop counters as a function of the step alone.

Its own restoring guesses from half-increased counters in which hook a checkpoint was written, and skips a validation that was due at
that step. Here every checkpoint is written between two steps, so the counters are known.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl


def go_on_from(trainer: pl.Trainer, step: int) -> None:
    """Set the fit loop to "`step` optimiser steps done, validation included"; to be called in `on_train_start` of a resumed run."""
    loop = trainer.fit_loop.epoch_loop
    loop.restarting = False
    batches = step * trainer.accumulate_grad_batches
    total: Any = loop.batch_progress.total
    total.ready = total.started = total.processed = total.completed = batches
    loop._batches_that_stepped = step

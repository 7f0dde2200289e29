"""Writes the weights of a finished phonetic pretraining where `speech=phonetic` finds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from runtime.phonetic_part import FILE_NAME


class PhoneticWeights(pl.Callback):
    """When training has come to its end, `<run>/phonetic_encoder.safetensors` holds the weights of the last step."""

    def __init__(self, run_folder: str) -> None:
        self.file = Path(run_folder) / FILE_NAME

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module: Any = pl_module
        if trainer.is_global_zero:
            module.save_weights(self.file)

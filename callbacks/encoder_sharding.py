"""Holds a sharded speech encoder whole while a run validates."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from runtime.encoder_sharding import gather, scatter, shard_encoder


class EncoderSharding(pl.Callback):
    """With `enabled`, splits the weights of the frozen speech encoder over the ranks (FSDP); see `runtime.encoder_sharding`."""

    def __init__(self, enabled: bool = False) -> None:
        self.enabled = enabled
        self._parts: list[Any] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.enabled and stage == "fit":
            self._parts = shard_encoder(pl_module, trainer.strategy.root_device)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        gather(self._parts)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        scatter(self._parts)

"""The Lightning Trainer of a run, from its configuration."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint

from runtime.checkpoint_io import BEST, AtomicCheckpointIO
from runtime.instantiate import accepted, build
from runtime.run_folder import RunFolder


def make_trainer(config: DictConfig, run: RunFolder, loggers: list[Any]) -> pl.Trainer:
    """Steps, not epochs, are the unit; order and splitting of the data are the DataModule's, checkpoints go through `AtomicCheckpointIO`."""
    return pl.Trainer(
        max_steps=config.trainer.max_steps,
        max_epochs=-1,
        accelerator=config.trainer.accelerator,
        devices=config.trainer.devices,
        num_nodes=config.trainer.num_nodes,
        precision=config.trainer.precision,
        accumulate_grad_batches=config.trainer.accumulate,
        gradient_clip_val=config.trainer.gradient_clip,
        val_check_interval=config.trainer.val_every_steps * config.trainer.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=config.trainer.log_every_steps,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        logger=loggers,
        callbacks=_callbacks(config, run),
        plugins=[AtomicCheckpointIO()],
        default_root_dir=str(run.path),
    )


def _callbacks(config: DictConfig, run: RunFolder) -> list[Any]:
    """The experiment's callbacks, then checkpointing; Lightning keeps ModelCheckpoint last so that it saves what the others counted."""
    offers = {"folder": str(run.media), "seed": config.run.seed}
    callbacks = [build(node, **accepted(node, offers)) for node in config.callbacks.values() if node is not None]
    common: dict[str, Any] = {
        "dirpath": run.checkpoints,
        "auto_insert_metric_name": False,
        "enable_version_counter": False,
    }
    newest = ModelCheckpoint(
        filename="step-{step:08d}",
        every_n_train_steps=config.checkpoint.every_steps,
        monitor="step",
        mode="max",
        save_top_k=config.checkpoint.keep,
        save_on_train_epoch_end=False,
        **common,
    )
    best = ModelCheckpoint(
        filename=BEST.removesuffix(".ckpt"),
        monitor=config.checkpoint.monitor,
        mode="min",
        save_top_k=1,
        save_weights_only=True,
        save_on_train_epoch_end=False,
        **common,
    )
    return [*callbacks, best, newest]


def quieten() -> None:
    """Lightning's hardware report and W&B's banners hide what a run says of itself; warnings still show."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        ".*LeafSpec.*",
        "Checkpoint directory .* exists and is not empty",
        "The number of training batches",
        "It is recommended to use `self.log",
        "Total length of `list` across ranks is zero",
    ):
        warnings.filterwarnings("ignore", message=message)
    os.environ.setdefault("WANDB_SILENT", "true")

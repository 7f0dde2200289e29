"""The Lightning Trainer of a run, from its configuration."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.strategies import DDPStrategy

from runtime.checkpoint_io import AtomicCheckpointIO
from runtime.instantiate import accepted, build
from runtime.run_folder import RunFolder
from runtime.stopping import StopRequest
from runtime.training_bar import TrainingBar


def make_trainer(config: DictConfig, run: RunFolder, loggers: list[Any], stop: StopRequest) -> pl.Trainer:
    """Steps, not epochs, are the unit; order and splitting of the data are the DataModule's, checkpoints go through `AtomicCheckpointIO`."""
    devices, nodes = ranks_here(config.trainer.devices, config.trainer.num_nodes)
    trainer = pl.Trainer(
        max_steps=config.trainer.max_steps,
        max_epochs=-1,
        accelerator=config.trainer.accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=_strategy(config.trainer, devices * nodes),
        precision=config.trainer.precision,
        accumulate_grad_batches=config.trainer.accumulate,
        gradient_clip_val=config.trainer.gradient_clip,
        val_check_interval=config.trainer.val_every_steps * config.trainer.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=config.trainer.log_every_steps,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_checkpointing=True,
        enable_progress_bar=sys.stderr.isatty(),
        logger=loggers,
        callbacks=[*_callbacks(config, run, stop), *([TrainingBar()] if sys.stderr.isatty() else [])],
        plugins=[AtomicCheckpointIO()],
        default_root_dir=str(run.path),
    )
    # Lightning's SIGTERM handler runs a collective inside the handler: a signal to one rank then hangs or crashes all of them.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def ranks_here(devices: int, nodes: int) -> tuple[int, int]:
    """(ranks of a node, nodes): what the launcher started, else what the configuration says."""
    world, local = os.environ.get("WORLD_SIZE"), os.environ.get("LOCAL_WORLD_SIZE")
    if world is None or local is None:
        return devices, nodes
    return int(local), int(world) // int(local)


def _strategy(settings: DictConfig, world: int) -> Any:
    if world == 1:
        return "auto"
    return DDPStrategy(
        timeout=timedelta(seconds=settings.collective_timeout_s),
        gradient_as_bucket_view=True,
        # Without this DDP lays its gradient buckets out anew after the first step of every start; with three ranks or more
        # that changes the order of additions, and a resumed run would differ in the last bits.
        find_unused_parameters=True,
    )


def _callbacks(config: DictConfig, run: RunFolder, stop: StopRequest) -> list[Any]:
    """The experiment's callbacks; each is given what it asks for by name of the run's folders, seed and stop request."""
    offers = {
        "folder": str(run.media),
        "run_folder": str(run.path),
        "checkpoint_folder": str(run.checkpoints),
        "seed": config.run.seed,
        "stop": stop,
    }
    return [build(node, **accepted(node, offers)) for node in config.callbacks.values() if node is not None]


def quieten() -> None:
    """Lightning's hardware report and W&B's banners hide what a run says of itself; warnings still show."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        ".*LeafSpec.*",
        "Checkpoint directory .* exists and is not empty",
        "The number of training batches",
        "It is recommended to use `self.log",
        "Total length of `list` across ranks is zero",
        "find_unused_parameters=True was specified",
        "Found .* module.* in eval mode",  # frozen parts are, on purpose
        ".*configure_optimizers. returned .None",  # an adaptation by no method
        ".training_step. returned .None",
        ".parameters. is an empty generator",
        "Found .* module.* in eval mode",  # networks keep their frozen parts so on purpose
    ):
        warnings.filterwarnings("ignore", message=message)
    os.environ.setdefault("WANDB_SILENT", "true")

"""Train an experiment, or go on where the same command stopped.

    python train.py EXPERIMENT [key=value ...] [--fresh]

The run folder is named after the configuration, so the same command again is the resume and a different one starts beside it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from runtime.compose import compose, experiment_names, question_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from runtime.run_folder import RunFolder


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        config = compose(options.experiment, options.overrides)  # before torch is imported: mistakes are told at once
        train(config, fresh=options.fresh)
    except (ValueError, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train.py: interrupted; the same command resumes from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def train(config: DictConfig, fresh: bool = False) -> RunFolder:
    """Run or resume one experiment to `trainer.max_steps`; returns its folder."""
    import pytorch_lightning as pl

    from runtime.assemble import build_module, check_targets, start_from
    from runtime.checkpoint_io import AtomicCheckpointIO, find_resumable, problem_with
    from runtime.instantiate import build
    from runtime.metrics_log import make_loggers
    from runtime.run_folder import existing_run, open_run, record_environment

    _quieten()
    check_targets(config)
    data = build(config.data)
    data.setup("fit")
    run = open_run(config, data.facts, fresh=fresh)
    print(f"run: {run.path}", flush=True)
    record_environment(run)
    resume = find_resumable(run.checkpoints, say=lambda text: print(text, file=sys.stderr))
    steps = config.trainer.max_steps
    last = run.checkpoints / f"step-{steps:08d}.ckpt"
    if resume == last:
        print(f"finished already at step {steps}; give another trainer.max_steps or run.label, or --fresh")
        return run
    if resume is not None:
        print(f"resuming from {resume.name}")

    module = build_module(config, data.facts)
    module.net.set_statistics(*data.statistics)
    if config.run.start_from and resume is None:
        left = start_from(module.net, existing_run(config.run.start_from))
        print(f"weights from {config.run.start_from}" + (f", except {', '.join(left)}" if left else ""))
    loggers = make_loggers(run)
    _rewind(loggers, resume)
    trainer = pl.Trainer(
        max_steps=steps,
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
    trainer.fit(module, datamodule=data, ckpt_path=str(resume) if resume else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if problem_with(last):
        trainer.save_checkpoint(last, weights_only=False)
    print(f"finished: {run.path}")
    if config.logger.mode == "offline":
        print(f"W&B offline: {run.path / 'wandb'} (upload with `wandb sync`)")
    return run


def _callbacks(config: DictConfig, run: RunFolder) -> list[Any]:
    """The experiment's callbacks, then checkpointing; Lightning keeps ModelCheckpoint last so that it saves what the others counted."""
    from pytorch_lightning.callbacks import ModelCheckpoint

    from runtime.checkpoint_io import BEST
    from runtime.instantiate import accepted, build

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


def _quieten() -> None:
    """Lightning's hardware report and W&B's banners hide what a run says of itself; warnings still show."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        ".*LeafSpec.*",
        "Checkpoint directory .* exists and is not empty",
        "The number of training batches",
    ):
        warnings.filterwarnings("ignore", message=message)
    os.environ.setdefault("WANDB_SILENT", "true")


def _rewind(loggers: list[Any], resume: Any) -> None:
    from runtime.checkpoint_io import load_checkpoint

    step = load_checkpoint(resume)["global_step"] if resume else 0
    removed = loggers[0].rewind(step)
    if removed:
        print(f"removed {removed} logged lines from step {step} on: these steps are done again")


def _parser() -> argparse.ArgumentParser:
    experiments = "\n".join(f"  {name:<28}{question_of(name)}" for name in experiment_names())
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"experiments:\n{experiments}\n\nexamples:\n"
        "  python train.py expression_pretraining data.root=data/synthetic trainer.max_steps=2000\n"
        "  python train.py expression_pretraining net=released speech=hubert logger=online",
    )
    parser.add_argument("experiment", help="a file of experiments/")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="a.b=value, or group=option (data, net, speech, face, logger)"
    )
    parser.add_argument("--fresh", action="store_true", help="move an existing run folder aside and start again")
    return parser


if __name__ == "__main__":
    sys.exit(main())

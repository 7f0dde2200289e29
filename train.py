"""Train an experiment, or go on where the same command stopped.

    python train.py EXPERIMENT [key=value ...] [--fresh]

The run folder is named after the configuration, so the same command again is the resume and a different one starts beside it.
"""

from __future__ import annotations

import argparse
import os
import sys
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
    from runtime.assemble import build_module, check_targets, start_from
    from runtime.checkpoint_io import find_resumable, problem_with
    from runtime.instantiate import build
    from runtime.metrics_log import close_loggers, make_loggers
    from runtime.run_folder import existing_run, open_run, record_environment
    from runtime.trainer import make_trainer, quieten

    quieten()
    check_targets(config)
    data = build(config.data)
    data.setup("fit")
    run = open_run(config, data.facts, fresh=fresh)
    is_first_rank = os.environ.get("RANK", "0") == "0"
    if is_first_rank:
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
    trainer = make_trainer(config, run, loggers)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=str(resume) if resume else None, weights_only=True)
    finally:
        close_loggers(loggers)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if problem_with(last):
        trainer.save_checkpoint(last, weights_only=False)
    if is_first_rank:
        print(f"finished: {run.path}")
    if is_first_rank and config.logger.mode == "offline":
        print(f"W&B offline: {run.path / 'wandb'} (upload with `wandb sync`)")
    return run


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

"""Train an experiment, or go on where the same command stopped.

    python train.py EXPERIMENT [key=value ...] [--fresh]

The run folder is named after the configuration, so the same command again is the resume and a different one starts beside it. With several
devices or nodes it starts its ranks under torchrun. Exit codes: 0 finished, 2 bad input, 65 diverged, 70 stalled, 130 interrupted, 143 stopped
by a signal or the time limit (saved: the same command goes on).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.compose import compose, experiment_names, question_of
from runtime.exit_codes import BAD_INPUT, FINISHED
from runtime.launch import find_nodes, how_to_start, is_rank, launch, this_script
from runtime.threads import spin_briefly

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(arguments: list[str] | None = None) -> int:
    spin_briefly()
    options = _parser().parse_args(arguments)
    try:
        config = compose(options.experiment, options.overrides)  # before torch is imported: mistakes are told at once
        if options.submit is not None:
            return submit_job(config, options)
        if not is_rank() and config.trainer.devices * config.trainer.num_nodes > 1:
            return start_ranks(config, options, arguments)
        if is_rank():  # before torch is imported: DDP warns of a choice made on purpose
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        from runtime.training import train

        return train(config, fresh=options.fresh)[0]
    except (ValueError, OSError) as error:
        _say_error(error)
        return BAD_INPUT


def start_ranks(config: DictConfig, options: argparse.Namespace, arguments: list[str] | None) -> int:
    """Start this command once a device and wait; returns the exit code of the ranks."""
    settings, script = config.trainer, this_script(arguments)
    nodes = find_nodes(settings.num_nodes, options.node_rank, options.rendezvous)
    if nodes is None:
        raise ValueError(how_to_start(settings.devices, settings.num_nodes, script, settings.grace_s))
    return launch(settings.devices, nodes, script, settings.grace_s)


def submit_job(config: DictConfig, options: argparse.Namespace) -> int:
    """Hand this command to SLURM."""
    from runtime.submit import parse_options, submit

    settings, slurm = config.trainer, parse_options(options.submit)
    script = [str(sys.argv[0]), options.experiment, *options.overrides, *(["--fresh"] if options.fresh else [])]
    minutes = int(slurm.pop("minutes", "720"))
    logs = Path(config.run.root) / "slurm"
    job = submit(script, settings.devices, settings.num_nodes, minutes, settings.grace_s, logs, **slurm)
    print(f"submitted: job {job}, logs in {logs}; it is queued again until the run is finished")
    return FINISHED


def _say_error(error: Exception) -> None:
    shared = type(error).__name__ == "RanksDisagree"
    if not is_rank():
        print(f"train.py: {error}", file=sys.stderr)
        return
    from runtime.ranks import global_rank

    if global_rank() == 0 or not shared:
        print(f"train.py (rank {global_rank()}): {error}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    experiments = "\n".join(f"  {name:<28}{question_of(name)}" for name in experiment_names())
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"experiments:\n{experiments}\n\nexamples:\n"
        "  python train.py expression_pretraining data.root=data/synthetic trainer.max_steps=2000\n"
        "  python train.py expression_pretraining net=released speech=hubert logger=online\n"
        "  python train.py expression_pretraining trainer.devices=4        # one node, four ranks\n"
        "  python train.py expression_pretraining trainer.devices=4 trainer.num_nodes=2 --node-rank 0 --rendezvous node0:29500",
    )
    parser.add_argument("experiment", help="a file of experiments/")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="a.b=value, or group=option (data, net, speech, face, logger)"
    )
    parser.add_argument("--fresh", action="store_true", help="move an existing run folder aside and start again")
    parser.add_argument(
        "--node-rank",
        type=int,
        default=None,
        help="which of trainer.num_nodes this is; SLURM's environment says it too",
    )
    parser.add_argument(
        "--submit",
        default=None,
        metavar="minutes=720,partition=NAME,...",
        help="hand the run to SLURM through submitit (extra `slurm`)",
    )
    parser.add_argument(
        "--rendezvous",
        default="",
        metavar="HOST:PORT",
        help="where the nodes meet: an address of node 0 and a free port",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

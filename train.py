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
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.compose import compose, experiment_names, question_of
from runtime.exit_codes import BAD_INPUT, FAILED, FINISHED, STATUS
from runtime.launch import find_nodes, how_to_start, is_rank, launch, this_script

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from runtime.run_folder import RunFolder
    from runtime.stopping import StopRequest


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        config = compose(options.experiment, options.overrides)  # before torch is imported: mistakes are told at once
        if options.submit is not None:
            return submit_job(config, options)
        if not is_rank() and config.trainer.devices * config.trainer.num_nodes > 1:
            return start_ranks(config, options, arguments)
        if is_rank():
            os.environ.setdefault(
                "TORCH_CPP_LOG_LEVEL", "ERROR"
            )  # before torch is imported: DDP warns of a choice made on purpose
        return train(config, fresh=options.fresh)
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


def train(config: DictConfig, fresh: bool = False) -> int:
    """Run or resume one experiment to `trainer.max_steps` in this process, as one rank of possibly several; returns the exit code."""
    return train_in_folder(config, fresh)[0]


def train_in_folder(config: DictConfig, fresh: bool = False) -> tuple[int, RunFolder]:
    """As `train`, and the run's folder."""
    from runtime.ranks import join, leave
    from runtime.stopping import StopRequest
    from runtime.trainer import quieten

    quieten()
    with ExitStack() as held, StopRequest(config.trainer.time_limit_s).listening() as stop:
        join(config.trainer.collective_timeout_s)
        data, facts = _agreed_data(config)
        run, resume = _opened_run(config, facts, fresh, held)
        if resume is not None and _is_finished(run, resume):
            step = int(resume.stem.removeprefix("step-"))
            _say(f"finished already at step {step}; give another trainer.max_steps or run.label, or --fresh")
            return FINISHED, run
        exit_code = _run_to_end(config, data, run, resume, stop)
        if exit_code != FAILED:
            leave()
    return exit_code, run


def _is_finished(run: RunFolder, resume: Path) -> bool:
    """Whether `resume` is the end: the last step of the run, or the one where it finished early."""
    from runtime.outcome import read_outcome

    outcome, steps = read_outcome(run.path), [run.config.trainer.max_steps]
    if outcome["status"] == "finished":
        steps.append(outcome["step"])
    return resume.name in [f"step-{step:08d}.ckpt" for step in steps]


def _run_to_end(config: DictConfig, data: Any, run: RunFolder, resume: Path | None, stop: StopRequest) -> int:
    from runtime.outcome import record_outcome
    from runtime.ranks import global_rank, lost_contact
    from runtime.stopping import RunStopped

    try:
        last_step = _fit(config, data, run, resume, stop)
    except RunStopped as stopped:
        code = stopped.reason.exit_code
        if global_rank() == 0:
            record_outcome(run.path, STATUS[code], stopped.step, str(stopped))
        saved = "the same command goes on from there" if stopped.reason.is_saved else "see diverged.jsonl there"
        _say(f"stopped: {stopped}; {saved}\nrun: {run.path}")
        return code
    except BaseException as error:
        record_outcome(run.path, "failed", reason=f"{type(error).__name__}: {error}")
        if not lost_contact(error):
            raise
        print(
            f"lost contact with another rank; the same command goes on from the last checkpoint ({error})",
            file=sys.stderr,
        )
        return FAILED
    if global_rank() == 0:
        record_outcome(run.path, "finished", last_step)
    _say(f"finished: {run.path}")
    if config.logger.mode == "offline":
        _say(f"W&B offline: {run.path / 'wandb'} (upload with `python sweep.py sync {run.path}`)")
    return FINISHED


def _agreed_data(config: DictConfig) -> tuple[Any, dict[str, Any]]:
    """The datamodule and the facts of the run, after all ranks said that they have the same configuration, data and code."""
    from runtime.assemble import check_targets, run_facts
    from runtime.code_version import source_hash
    from runtime.instantiate import build
    from runtime.ranks import handshake
    from runtime.run_folder import identity

    data: Any = None
    facts: dict[str, Any] = {}
    shared, problem = {}, ""
    try:
        check_targets(config)
        data = build(config.data)
        data.setup("fit")
        facts = run_facts(config, data)
        shared = {
            "configuration": identity(config, facts["fingerprint"]),
            "data": data.fingerprint,
            "seed": config.run.seed,
            "code": source_hash(),
        }
    except (ValueError, OSError) as error:
        problem = str(error)
    handshake(shared, problem)
    return data, facts


def _opened_run(
    config: DictConfig, facts: dict[str, Any], fresh: bool, held: ExitStack
) -> tuple[RunFolder, Path | None]:
    """The run's folder and the checkpoint to go on from; rank 0 makes, locks and chooses, the others are told."""
    from runtime.checkpoint_io import find_resumable
    from runtime.outcome import record_outcome
    from runtime.ranks import on_first_rank
    from runtime.run_folder import RunFolder, lock, open_run, record_environment

    def choose() -> list[str]:
        # A requeued job repeats its command: it goes on, it does not start afresh again.
        run = open_run(config, facts, fresh=fresh and os.environ.get("SLURM_RESTART_COUNT", "0") == "0")
        print(f"run: {run.path}", flush=True)
        held.enter_context(lock(run))
        record_environment(run)
        resume = find_resumable(run.checkpoints, say=lambda text: print(text, file=sys.stderr, flush=True))
        if resume is None or not _is_finished(run, resume):
            record_outcome(run.path, "running")
        return [str(run.path), str(resume or "")]

    path, resume = on_first_rank("run", choose)
    if not (Path(path) / "config.yaml").is_file():
        raise ValueError(
            f"run folder {path}, made by rank 0, is not visible here; run.root must be on storage that all nodes share"
        )
    return RunFolder(Path(path), config), Path(resume) if resume else None


def _fit(config: DictConfig, data: Any, run: RunFolder, resume: Path | None, stop: StopRequest) -> int:
    """Train; returns the step at which it ended, which a callback may choose before `trainer.max_steps`."""
    from runtime.assemble import build_module, start_from, take_vqvae, takes_vqvae
    from runtime.checkpoint_io import load_checkpoint
    from runtime.metrics_log import close_loggers, make_loggers
    from runtime.run_folder import existing_run
    from runtime.stopping import RunStopped
    from runtime.trainer import make_trainer

    module = build_module(config, run.data)
    module.take_statistics(data)
    if takes_vqvae(config) and resume is None:
        take_vqvae(module.net, config)
    if config.trainer.compile:
        module.net.compile()  # the network, not the module: Lightning's logging inside a compiled step breaks
    if config.run.start_from and resume is None:
        left = start_from(module.net, existing_run(config.run.start_from))
        _say(f"weights from {config.run.start_from}" + (f", except {', '.join(left)}" if left else ""))
    step = load_checkpoint(resume)["global_step"] if resume else 0
    if resume is not None:
        _say(f"resuming from {resume.name}")
    loggers = make_loggers(run)
    removed = loggers[0].rewind(step)
    if removed:
        _say(f"removed {removed} logged lines from step {step} on: these steps are done again")
    trainer = make_trainer(config, run, loggers, stop)
    exit_code = FAILED
    try:
        trainer.fit(module, datamodule=data, ckpt_path=str(resume) if resume else None, weights_only=True)
        exit_code = FINISHED
    except RunStopped as stopped:
        exit_code = stopped.reason.exit_code
        raise
    finally:
        close_loggers(loggers, exit_code)
    return int(trainer.global_step)


def _say(text: str) -> None:
    from runtime.ranks import global_rank

    if global_rank() == 0:
        print(text, flush=True)


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

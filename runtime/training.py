"""Running or resuming one configured training in this process, as one rank of possibly several."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.exit_codes import FAILED, FINISHED, STATUS

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from runtime.run_folder import RunFolder
    from runtime.stopping import StopRequest


def train(config: DictConfig, fresh: bool = False) -> tuple[int, RunFolder]:
    """Run or resume one experiment to `trainer.max_steps`; returns the exit code and the run's folder.

    Raises ValueError or OSError, one sentence each, for what can be corrected.
    """
    from runtime.ranks import join, leave
    from runtime.stopping import StopRequest
    from runtime.trainer import quieten

    quieten()
    with ExitStack() as held, StopRequest(config.trainer.time_limit_s).listening() as stop:
        join(config.trainer.collective_timeout_s)
        data, facts, module = _agreed_parts(config)
        run, resume = _opened_run(config, facts, fresh, held)
        if resume is not None and _is_finished(run, resume):
            step = int(resume.stem.removeprefix("step-"))
            _say(f"finished already at step {step}; give another trainer.max_steps or run.label, or --fresh")
            return FINISHED, run
        exit_code = _run_to_end(config, data, module, run, resume, stop)
        if exit_code != FAILED:
            leave()
    return exit_code, run


def finished_run(config: DictConfig) -> RunFolder | None:
    """The run of which `train(config)`, as the only rank, would say that it is finished already; None where it would train.

    None also where the run does not say itself that it has finished, or its last checkpoint is damaged. Changes nothing in the folder.
    Raises what `train` would.
    """
    from runtime.checkpoint_io import problem_with
    from runtime.outcome import read_outcome
    from runtime.run_folder import same_run

    _, facts, _ = _parts(config)
    run = same_run(config, facts)
    if run is None or read_outcome(run.path)["status"] != STATUS[FINISHED]:
        return None
    last = max(run.checkpoints.glob("step-*.ckpt"), default=None)
    return run if last is not None and problem_with(last) is None and _is_finished(run, last) else None


def _is_finished(run: RunFolder, resume: Path) -> bool:
    """Whether `resume` is the end: the last step of the run, or the one where it finished early."""
    from runtime.outcome import read_outcome

    outcome, steps = read_outcome(run.path), [run.config.trainer.max_steps]
    if outcome["status"] == "finished":
        steps.append(outcome["step"])
    return resume.name in [f"step-{step:08d}.ckpt" for step in steps]


def _run_to_end(
    config: DictConfig, data: Any, module: Any, run: RunFolder, resume: Path | None, stop: StopRequest
) -> int:
    from runtime.outcome import record_outcome
    from runtime.ranks import global_rank, lost_contact
    from runtime.stopping import RunStopped

    try:
        last_step = _fit(config, data, module, run, resume, stop)
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


def _agreed_parts(config: DictConfig) -> tuple[Any, dict[str, Any], Any]:
    """The datamodule, the facts of the run and its module, after all ranks said that they have the same configuration, data and code.

    Built before the run's folder is made, so that a network which cannot be leaves none.
    """
    from runtime.code_version import source_hash
    from runtime.ranks import handshake
    from runtime.run_folder import identity

    data: Any = None
    module: Any = None
    facts: dict[str, Any] = {}
    shared, problem = {}, ""
    try:
        data, facts, module = _parts(config)
        shared = {
            "configuration": identity(config, facts["fingerprint"]),
            "data": data.fingerprint,
            "seed": config.run.seed,
            "code": source_hash(),
        }
    except (ValueError, OSError) as error:
        problem = str(error)
    handshake(shared, problem)
    return data, facts, module


def _parts(config: DictConfig) -> tuple[Any, dict[str, Any], Any]:
    from runtime.assemble import build_module, check_targets, run_facts
    from runtime.instantiate import build

    check_targets(config)
    data: Any = build(config.data)
    data.setup("fit")
    facts = run_facts(config, data)
    return data, facts, build_module(config, facts)


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


def _fit(config: DictConfig, data: Any, module: Any, run: RunFolder, resume: Path | None, stop: StopRequest) -> int:
    """Train; returns the step at which it ended, which a callback may choose before `trainer.max_steps`."""
    from runtime.assemble import parts_of, start_from
    from runtime.checkpoint_io import load_checkpoint
    from runtime.metrics_log import close_loggers, make_loggers
    from runtime.run_folder import existing_run
    from runtime.stopping import RunStopped
    from runtime.trainer import make_trainer

    if resume is None:  # else the checkpoint holds both
        for part in parts_of(config):
            part.copy_into(module.net, config)
        module.take_statistics(data)
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

"""Trials whose run another sweep, or a person, has finished already: recorded as train.py would find them, without starting it.

`train.py` takes seconds to say that a run is finished. Here its own functions say so in this process; wherever they do not say it for certain,
the trial is started as any other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from runtime.code_version import source_hash
from runtime.compose import ConfigError
from runtime.launch import is_rank
from runtime.outcome import read_outcome
from runtime.run_folder import identity
from runtime.sweeps.definition import Metric
from runtime.sweeps.folder import FINISHED, SweepFolder, lock_run
from runtime.sweeps.metrics_tail import MetricsTail
from runtime.sweeps.trial_process import Outcome, facts_of
from runtime.sweeps.trials import Trial

CODE = source_hash()  # of what this process has imported or will import


class FoundRun:
    """The finished run of a trial, with what a source of trials and the display ask of a `TrialProcess` that has ended."""

    def __init__(self, trial: Trial, run_folder: Path, metric: Metric) -> None:
        self.trial, self.run_folder, self.metric = trial, run_folder, metric
        self.tail = MetricsTail(run_folder / "metrics.jsonl", metric)
        self.tail.update()

    def record(self, folder: SweepFolder) -> Outcome:
        """Write its start and its end into the sweep's folder. Raises TrialBusyError when another process trains the same run."""
        lock = lock_run(self.trial)
        try:
            outcome = Outcome(FINISHED, 0, "")
            folder.started(self.trial, os.getpid())
            with folder.log_file(self.trial.id).open("a") as log:
                log.write(f"run: {self.run_folder}\nfinished already at step {self.tail.step}; found by sweep.py\n")
            facts = facts_of(outcome, self.run_folder, self.tail, self.metric, seconds=0.0)
            folder.ended(self.trial, outcome.status, **facts)
        finally:
            os.close(lock)
        return outcome


def find_run(trial: Trial, metric: Metric) -> FoundRun | None:
    """The run that `train.py` would find finished for this trial; None where it would train, refuse or fail, and in every doubt.

    Names and small files settle most trials; only where a finished run of this configuration lies there is the corpus opened and the
    module built, as `train.py` does, to know that they still are what they were.
    """
    try:
        config = trial.compose()
    except ConfigError:
        return None
    if config.run.folder or not any(_finished_folders(config)):
        return None
    if is_rank() or config.trainer.devices * config.trainer.num_nodes > 1:
        return None  # train.py launches ranks first, which may be refused
    if not _is_same_code():
        return None  # train.py would run other code than this process
    try:
        from runtime.training import finished_run

        run = finished_run(config)
    except Exception:  # noqa: BLE001 - whatever it is, train.py says it in the trial's log
        return None
    return None if run is None else FoundRun(trial, run.path, metric)


def _is_same_code() -> bool:
    return source_hash.__wrapped__() == CODE


def _finished_folders(config: DictConfig) -> Iterator[Path]:
    """Folders of this very configuration, whatever data it was trained on, whose run says that it has finished."""
    for file in Path(config.run.root).glob(f"{config.run.name}-*/data.json"):
        try:
            fingerprint = str(json.loads(file.read_text())["facts"]["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        same = file.parent.name == f"{config.run.name}-{identity(config, fingerprint)}"
        if same and read_outcome(file.parent)["status"] == FINISHED:
            yield file.parent

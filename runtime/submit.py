"""Handing a run to SLURM through submitit (extra `slurm`): one task a node, each starting its ranks; preempted and timed-out jobs go on by themselves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from runtime.exit_codes import PREEMPTED
from runtime.run_folder import RunError


class TrainJob:
    """What runs on a node: the command of `train.py`, in the folder it was submitted from."""

    def __init__(self, command: list[str], folder: str) -> None:
        self.command, self.folder = command, folder
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        self._process = subprocess.Popen(self.command, cwd=self.folder)
        code = self._process.wait()
        if code not in (0, PREEMPTED):
            raise SystemExit(code)
        return code

    def checkpoint(self) -> Any:
        """Called by submitit before the time is over or when the job is preempted: let the run save, then queue the same again."""
        import submitit

        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()
        return submitit.helpers.DelayedSubmission(TrainJob(self.command, self.folder))


def submit(
    script: list[str], devices: int, nodes: int, minutes: int, grace_s: float, log_folder: Path, **options: Any
) -> str:
    """Submit the command; returns the job's number. `options` are SLURM's, for example `partition="gpu"`; logs go to `log_folder`.
    Raises RunError where submitit or SLURM is missing.
    """
    try:
        import submitit
    except ImportError as error:
        raise RunError(
            "--submit needs submitit: pip install 'persona-faces[slurm]'; docs/train.sbatch needs nothing"
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=log_folder, cluster="slurm")
    except RuntimeError as error:
        raise RunError(f"cannot submit: {error}; use docs/train.sbatch where sbatch exists, or torchrun") from error
    settings: dict[str, Any] = {"nodes": nodes, "tasks_per_node": 1, "timeout_min": minutes, "name": "persona-faces"}
    settings |= {"slurm_gpus_per_node": devices, "slurm_signal_delay_s": int(grace_s) + 30}
    settings |= {f"slurm_{name}": value for name, value in options.items()}
    executor.update_parameters(**settings)
    job = executor.submit(TrainJob([sys.executable, *script], str(Path.cwd())))
    return str(job.job_id)


def parse_options(text: str) -> dict[str, str]:
    """`partition=gpu,account=faces` as a dictionary; raises RunError for anything else."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    if any(not middle or not name or not value for name, middle, value in pairs):
        raise RunError(
            f"--submit {text!r}; expected SLURM options as name=value,name=value, for example minutes=720,partition=gpu"
        )
    return {name: value for name, _, value in pairs}

"""What a call of score.py asks for is checked before any work: what is to be scored, options that nothing uses, and files that could not be written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reports.errors import ReportError
from reports.metric_choice import choose_metrics
from reports.motion_files import is_motion_folder
from reports.pose_scoring import is_pose_run
from reports.score_files import scores_file
from reports.subjects import check_generates
from runtime.checkpoint_io import choose_checkpoint
from runtime.instantiate import network_class
from runtime.run_folder import existing_run


def check_request(
    folders: Sequence[Path],
    split: str,
    *,
    checkpoint: str | None = None,
    like: Path | None = None,
    out: Path | None = None,
    wandb: str = "",
    workers: int = 1,
    metrics: Sequence[str] | None = None,
    face_name: str = "",
) -> None:
    """Raises ReportError, in one sentence, for a request that cannot be met as it stands, RunError for a folder that is neither kind or has no such checkpoint, and MetricError for an unknown
    metric. `folders` are runs and folders of motion files, the trials of sweeps among them; an option that belongs to one kind needs a folder of that kind, and `wandb` runs alone.
    Every run must be of something that can be scored, so that no run is scored in vain before one that cannot be.
    """
    if workers < 1:
        raise ReportError(f"--workers is a number of threads, at least 1; received {workers}")
    motions = [folder for folder in folders if is_motion_folder(folder)]
    runs = [folder for folder in folders if folder not in motions]
    if like is not None and not motions:
        raise ReportError(f"--like says what motion files are compared with and {runs[0]} holds none; leave it out")
    if checkpoint is not None and not runs:
        raise ReportError(f"--checkpoint is of runs and {motions[0]} is a folder of motion files; leave it out")
    if wandb and motions:
        raise ReportError(
            f"--wandb adds to a run's own record and {motions[0]} is a folder of motion files; leave it out"
        )
    for run in runs:
        _check_run(run, checkpoint or "best", metrics)
    if face_name and not motions and all(is_pose_run(run) for run in runs):
        raise ReportError(f"--face is what faces are measured on and {runs[0]} is a run of head motion; leave it out")
    if metrics and any(not is_pose_run(run) for run in runs):
        choose_metrics(metrics, gives_head=False)
    elif metrics and motions:
        choose_metrics(metrics, gives_head=True)
    if out is not None and len(folders) > 1:
        raise ReportError(f"--out is one file, received {len(folders)} folders to score; leave it out")
    if out is not None:
        _check_file(out)
    for folder in folders if out is None else ():
        _check_file(scores_file(folder, split))


def check_pose_options(folder: Path, metrics: Sequence[str] | None) -> None:
    """Raises ReportError for options that the run of head motion in `folder` cannot have."""
    if metrics:
        raise ReportError(f"{folder} is a run of head motion, which has a fixed set of metrics; leave out --metrics")


def _check_run(folder: Path, checkpoint: str, metrics: Sequence[str] | None) -> None:
    run = existing_run(folder)
    if is_pose_run(folder):
        check_pose_options(folder, metrics)
    elif network := network_class(run.config):
        check_generates(run, network)
    choose_checkpoint(run.checkpoints, checkpoint)


def _check_file(path: Path) -> None:
    """A place where the scores, and the table beside them, can be written."""
    if path.suffix == ".csv":
        raise ReportError(f"{path} would hold the scores and the table beside them has that name; give a .json file")
    for file in (path, path.with_suffix(".csv")):
        if file.is_dir():
            raise ReportError(f"{file} is a folder; scores are written to a file, give another name")
    if not path.parent.is_dir():
        raise ReportError(f"there is no folder {path.parent} to write {path.name} into; make it first")
    if not os.access(path.parent, os.W_OK):
        raise ReportError(f"{path.parent} cannot be written, and the scores go there; give another file as --out")

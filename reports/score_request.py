"""What a call of score.py asks for is checked before any work: options that nothing uses, and files that could not be written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reports.errors import ReportError
from reports.motion_files import is_motion_folder
from reports.score_files import scores_file
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
) -> None:
    """Raises ReportError, in one sentence, for a request that cannot be met as it stands, and RunError for a folder that is neither kind. `folders` are runs and folders of motion files, the trials
    of sweeps among them; an option that belongs to one kind needs a folder of that kind, and `wandb` runs alone.
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
        existing_run(run)
    if out is not None and len(folders) > 1:
        raise ReportError(f"--out is one file, received {len(folders)} folders to score; leave it out")
    if out is not None:
        _check_file(out)
    for folder in folders if out is None else ():
        _check_file(scores_file(folder, split))


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

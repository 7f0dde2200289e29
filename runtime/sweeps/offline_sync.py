"""Uploading what runs logged offline, oldest segment first: a resumed run has several under one id."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.sweeps.definition import SweepError
from runtime.sweeps.folder import SweepFolder

SYNC = (sys.executable, "-m", "wandb", "sync")


def offline_segments(folders: Sequence[Path]) -> list[Path]:
    """Segments that were not uploaded yet of run folders, sweep folders or single segments, in order of start. Raises SweepError for other folders."""
    found: list[Path] = []
    for folder in folders:
        found += _segments_of(folder)
    waiting = [path for path in dict.fromkeys(found) if not list(path.glob("*.wandb.synced"))]
    return sorted(waiting, key=lambda path: path.name)  # offline-run-YYYYMMDD_HHMMSS-ID


def upload(segments: Sequence[Path], command: Sequence[str] = SYNC) -> int:
    """Upload one after the other and stop at the first failure, so that no later segment of a run overtakes an earlier one."""
    for number, segment in enumerate(segments, start=1):
        print(f"[{number}/{len(segments)}] {segment}", flush=True)
        code = subprocess.run([*command, str(segment)], check=False).returncode
        if code != 0:
            print(
                f"sweep.py: uploading {segment} failed (exit {code}); the same command goes on from here",
                file=sys.stderr,
            )
            return 1
    return 0


def _segments_of(folder: Path) -> list[Path]:
    if folder.name.startswith("offline-run-") and list(folder.glob("*.wandb")):
        return [folder]
    if (folder / "trials.jsonl").is_file():
        ends = [attempt.end.get("folder") for attempt in SweepFolder(folder).attempts().values()]
        return [segment for run in ends if run and Path(run).is_dir() for segment in _segments_of(Path(run))]
    if not (folder / "config.yaml").is_file() and not (folder / "wandb").is_dir():
        raise SweepError(
            f"{folder} is neither a run folder, nor a sweep's, nor an offline-run-* folder of W&B; give one of these"
        )
    return sorted((folder / "wandb").glob("offline-run-*"))

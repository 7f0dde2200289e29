"""A folder of motion files of any method: one file a clip, named by the clip's key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reports.errors import ReportError
from reports.foreign_motion import SUFFIXES, ForeignMotion, read_motion
from reports.scoring import Predicted

FPS = 25.0


class MotionFiles:
    """`<key>.npz`, `<key>.npy` or `<key>.csv` in `folder` (see `reports.foreign_motion`), for clips of `frames[key]` frames.

    `gives_head`: whether the files say how the head turns; all must or none.

    Every file is read and checked at once; raises ReportError naming the first clip without a file, or the first file of another space,
    rate or length. Files of other clips are left alone.
    """

    def __init__(self, folder: Path, frames: Mapping[str, int], space: str) -> None:
        self.folder = folder
        found = {key: self._file(key) for key in sorted(frames)}
        missing = [key for key, file in found.items() if file is None]
        if missing:
            raise ReportError(
                f"{folder} has no {missing[0]}{SUFFIXES[0]} (or {', '.join(SUFFIXES[1:])}), and lacks {len(missing)} of the {len(frames)} clips; "
                "expected one motion file for every clip of the split"
            )
        self.files = {key: file for key, file in found.items() if file is not None}
        read = {key: _read(file, frames[key], space) for key, file in self.files.items()}
        self.motions = {key: foreign.motion for key, foreign in read.items()}
        with_head = [key for key, foreign in read.items() if foreign.has_head]
        without = next((key for key in read if key not in with_head), None)
        if with_head and without is not None:
            raise ReportError(
                f"{self.files[with_head[0]]} says how the head turns and {self.files[without]} does not, as {len(read) - len(with_head)} of {len(read)} files; give it "
                "in all of them to have it scored, or in none"
            )
        self.gives_head = bool(with_head)

    def __call__(self, batch: Any) -> Predicted:
        """The motions of a batch of one clip."""
        motion = self.motions[batch.keys[0]]
        parts = (motion.expression, motion.jaw, motion.head)
        expression, jaw, head = (torch.from_numpy(part.copy())[None] for part in parts)
        return Predicted(expression, jaw, head if self.gives_head else None)

    @property
    def sha256(self) -> str:
        """Of the names and contents of all files."""
        digest = hashlib.sha256()
        for file in self.files.values():
            digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    def _file(self, key: str) -> Path | None:
        there = [self.folder / f"{key}{suffix}" for suffix in SUFFIXES if (self.folder / f"{key}{suffix}").is_file()]
        if len(there) > 1:
            raise ReportError(f"{self.folder} has both {there[0].name} and {there[1].name}; keep one of them")
        return there[0] if there else None


def is_motion_folder(path: Path) -> bool:
    """Whether motions are given, not a run: a run that has been scored holds a .csv, too."""
    if not path.is_dir() or (path / "config.yaml").is_file():
        return False
    return any(file.suffix in SUFFIXES for file in path.iterdir())


def _read(file: Path, frames: int, space: str) -> ForeignMotion:
    foreign = read_motion(file, space)
    motion = foreign.motion
    if motion.space != space:
        raise ReportError(
            f"{file} is in the {motion.space} space; the corpus is in {space}: map it by name before scoring"
        )
    if motion.fps != FPS:
        raise ReportError(f"{file} has {motion.fps:g} frames/s; expected {FPS:g}: resample it (FaceMotion.resample)")
    if len(motion) != frames:
        raise ReportError(f"{file} has {len(motion)} frames, the clip {frames}; cut it to the clip's speech")
    return foreign

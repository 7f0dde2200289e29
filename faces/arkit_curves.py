"""Read ARKit curves as CSV: our own files, Live Link Face's, and any with the 52 names."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from faces.arkit import ARKIT_NAMES
from faces.export import HEAD_COLUMNS, TRANSLATION_COLUMNS, ExportError
from faces.motion import FaceMotion, MotionError
from faces.rotations import euler_to_axis_angle_numpy

DEFAULT_FPS = 25.0
TIME, TIMECODE = "time_s", "timecode"
_TIMECODE = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+(?:\.\d+)?)")


class ArkitCurves(NamedTuple):
    """`has_head`: whether the file says how the head turns; where it does not, `motion.head` is zero and means nothing."""

    motion: FaceMotion
    has_head: bool


def read_arkit_csv(path: str | os.PathLike[str]) -> ArkitCurves:
    """A row a frame; columns are found by name, in any order and without regard to case, and those of other names are not read.

    * the 52 ARKit names, all of them: `eyeBlinkLeft` as our own files and Apple have it, `EyeBlinkLeft` as Live Link Face;
    * the rate follows from `time_s` (seconds), else from `Timecode` (Live Link Face: hours, minutes, seconds, frames; to a whole number of frames/s). Without
      either, or in one row, it is 25 frames/s;
    * the head is read from `head_pitch_deg`, `head_yaw_deg`, `head_roll_deg`, with the signs of `faces.rotations`, the translation from `head_x_m`, ... It is not read from
      Live Link Face's `HeadYaw`, `HeadPitch`, `HeadRoll`, whose unit and signs its format does not state: write the three columns above to have it.

    Raises `ExportError` naming the file and the missing columns, the first bad row, or why the rate is not known.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ExportError(f"{path}: not a readable file of curves ({error})") from error
    if not rows:
        raise ExportError(f"{path}: holds a header and no frames")
    names = [name.strip().lower() for name in header]
    has_head = any(name in names for name in HEAD_COLUMNS)
    wanted = [*ARKIT_NAMES, *(HEAD_COLUMNS if has_head else ())]
    missing = [name for name in wanted if name.lower() not in names]
    if missing:
        raise ExportError(f"{path}: lacks the columns {', '.join(missing)}")
    twice = next((name for name in (*wanted, TIME, TIMECODE) if names.count(name.lower()) > 1), None)
    if twice is not None:
        raise ExportError(f"{path}: has two columns {twice}; keep one of them")
    short = next((index for index, row in enumerate(rows) if len(row) != len(header)), None)
    if short is not None:
        raise ExportError(f"{path}: row {short + 2} is not {len(header)} cells, as the header is")

    def columns(wanted: Sequence[str]) -> np.ndarray:
        at = [names.index(name.lower()) for name in wanted]
        values = np.empty((len(rows), len(at)))
        for index, row in enumerate(rows):
            try:
                values[index] = [float(row[column]) for column in at]
            except ValueError as error:
                raise ExportError(f"{path}: row {index + 2} is not numbers ({error})") from error
        return values

    fps = DEFAULT_FPS
    if len(rows) > 1 and TIME in names:
        fps = _rate_of_times(path, columns([TIME])[:, 0])
    elif len(rows) > 1 and TIMECODE in names:
        fps = _rate_of_timecodes(path, [row[names.index(TIMECODE)] for row in rows])
    head = euler_to_axis_angle_numpy(np.radians(columns(HEAD_COLUMNS))) if has_head else np.zeros((len(rows), 3))
    placed = all(name in names for name in TRANSLATION_COLUMNS)
    translation = columns(TRANSLATION_COLUMNS) if placed else None
    try:
        motion = FaceMotion(expression=columns(ARKIT_NAMES), head=head, translation=translation, space="arkit", fps=fps)
    except MotionError as error:
        raise ExportError(f"{path}: {error}") from error
    return ArkitCurves(motion, has_head)


def _rate_of_times(path: Path, times: np.ndarray) -> float:
    if not (np.diff(times) > 0).all():
        raise ExportError(f"{path}: {TIME} does not rise from row to row")
    return float(round((len(times) - 1) / (times[-1] - times[0]), 4))


def _rate_of_timecodes(path: Path, cells: Sequence[str]) -> float:
    """Rows a second, from `hours:minutes:seconds:frames`, frames with or without a fraction."""
    read = [_TIMECODE.fullmatch(cell.strip()) for cell in cells]
    bad = next((index for index, match in enumerate(read) if match is None), None)
    if bad is not None:
        raise ExportError(
            f"{path}: row {bad + 2} has the Timecode {cells[bad]!r}; expected hours:minutes:seconds:frames"
        )
    parts = np.array([[float(part) for part in match.groups()] for match in read if match is not None])
    seconds, frames = parts[:, :3] @ (3600, 60, 1), parts[:, 3]
    highest = int(frames.max())
    if seconds[0] == seconds[-1]:
        # Within a second nothing says how many frames there are to one.
        if highest >= DEFAULT_FPS:
            raise ExportError(
                f"{path}: its Timecode counts to frame {highest} within one second, so it is not at {DEFAULT_FPS:g} frames/s, and does not say at how many; add a column {TIME}"
            )
        return DEFAULT_FPS
    # Rows that pass from one second to the next have seen the last frame of one.
    times = seconds + frames / (highest + 1)
    steps = np.diff(times)
    if not (steps > 0).all():
        raise ExportError(f"{path}: row {int(np.argmin(steps > 0)) + 3} has no later Timecode than the row before it")
    rate = len(steps) / (times[-1] - times[0])
    if steps.max() * rate > 1.75:
        raise ExportError(
            f"{path}: frames are missing before row {int(steps.argmax()) + 3} by its Timecode; resample the curves to a steady rate and give it as {TIME}"
        )
    return float(round(rate)) if abs(rate - round(rate)) < 0.01 * rate else float(round(rate, 4))

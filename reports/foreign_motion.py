"""Motion files of other people's programs as `FaceMotion`: bare arrays, ARKit curves, FLAME parameters."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from faces.arkit_curves import read_arkit_csv
from faces.export import ExportError
from faces.motion import FaceMotion, MotionError
from networks.coefficient_space import NUM_EXPRESSION, NUM_JAW
from reports.errors import ReportError

SUFFIXES = (".npz", ".npy", ".csv")
# Which name FLAME parameters go by in files of trackers and talking-face methods.
EXPRESSION_NAMES = ("expression", "exp", "expr")
JAW_NAMES = ("jaw", "jaw_pose")
HEAD_NAMES = ("head", "global_pose")
POSE_NAME = "pose"
# Apple's coefficients are 0 to 1; a method may overshoot, but percent and other scales are far outside.
ARKIT_RANGE = (-1.0, 2.0)


class ForeignMotion(NamedTuple):
    """`has_head`: whether the file says how the head turns; where it does not, `motion.head` is zero and means nothing."""

    motion: FaceMotion
    has_head: bool


def read_motion(path: Path, space: str) -> ForeignMotion:
    """One clip, meant for a corpus in `space`, at 25 frames/s unless the file says another rate.

    * `.npz` of `FaceMotion.save`.
    * `.npz` of FLAME parameters, one row a frame: `expression` (or `exp`, `expr`), and the jaw as `jaw` (or `jaw_pose`) `[T, 3]` with the head, if
      known, as `head` (or `global_pose`) or `pose` `[T, 3]`; or head and jaw together as `pose` `[T, 6]`, head first. Axis-angle, radians. `fps` if not 25.
      Of more expression coefficients than the corpus has the first are read: FLAME's are in order of the variance that they explain.
    * `.npy` `[T, C]`: expression, then in the flame space the jaw `[3]`, then, if known, head rotation `[3]`, axis-angle in radians. In the arkit space the
      expression is Apple's 52 coefficients in Apple's order, 0 to 1.
    * `.csv`: ARKit curves, as `animate.py --out x.csv` and Live Link Face write them (`faces.arkit_curves`).

    Raises ReportError or MotionError naming the file and what it holds.
    """
    if path.suffix == ".csv":
        return _in_range(path, _of_csv(path))
    if path.suffix == ".npy":
        return _in_range(path, _of_array(path, _load(path), space))
    arrays = _load(path)
    if not isinstance(arrays, dict) or not any(name in arrays for name in EXPRESSION_NAMES) or "format" in arrays:
        return ForeignMotion(FaceMotion.load(path), True)
    if space != "flame":
        raise ReportError(
            f"{path} holds {_told(arrays)} without a format: FLAME parameters, and the corpus is in {space}; expected an npz of FaceMotion.save, or "
            f"the coefficients as .npy [T, {NUM_EXPRESSION.get(space, 'C')}] or as .csv with their names"
        )
    return _of_flame(path, arrays)


def _of_csv(path: Path) -> ForeignMotion:
    try:
        return ForeignMotion(*read_arkit_csv(path))
    except ExportError as error:
        raise ReportError(str(error)) from error


def _in_range(path: Path, foreign: ForeignMotion) -> ForeignMotion:
    values, (low, high) = foreign.motion.expression, ARKIT_RANGE
    if values.size and foreign.motion.space == "arkit" and (values.min() < low or values.max() > high):
        raise ReportError(
            f"{path} has coefficients from {values.min():g} to {values.max():g}; ARKit's are 0 to 1: divide percent by 100, or bring the file into that range"
        )
    return foreign


def _told(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in sorted(arrays.items()))


def _of_array(path: Path, values: np.ndarray | dict[str, np.ndarray], space: str) -> ForeignMotion:
    if space not in NUM_EXPRESSION:
        raise ReportError(
            f"{path}: what the columns of an .npy mean in the {space} space is not known; save FaceMotion npz"
        )
    width, jaw = NUM_EXPRESSION[space], NUM_JAW if space == "flame" else 0
    known = (width + jaw, width + jaw + 3)
    if isinstance(values, dict) or values.ndim != 2 or values.shape[1] not in known:
        shape = "named arrays" if isinstance(values, dict) else f"shape {list(values.shape)}"
        parts = f"{width} coefficients{', jaw [3]' if jaw else ''}, and head rotation [3] if known"
        raise ReportError(
            f"{path} has {shape}; expected [T, {known[0]}] or [T, {known[1]}] for the {space} space: {parts}"
        )
    has_head = values.shape[1] == known[1]
    head = values[:, -3:] if has_head else np.zeros((len(values), 3), np.float32)
    return ForeignMotion(
        _motion(
            path,
            expression=values[:, :width],
            jaw=values[:, width : width + 3] if jaw else None,
            head=head,
            space=space,
        ),
        has_head,
    )


def _of_flame(path: Path, arrays: dict[str, np.ndarray]) -> ForeignMotion:
    expression = next(arrays[name] for name in EXPRESSION_NAMES if name in arrays)
    jaw = next((arrays[name] for name in JAW_NAMES if name in arrays), None)
    head = next((arrays[name] for name in (*HEAD_NAMES, POSE_NAME) if name in arrays), None)
    if jaw is None and head is not None and head.ndim == 2 and head.shape[1] == 6:
        head, jaw = head[:, :3], head[:, 3:]
    if jaw is None:
        raise ReportError(
            f"{path} holds {_told(arrays)}: FLAME parameters without a jaw; expected {' or '.join(JAW_NAMES)} [T, 3], or {POSE_NAME} [T, 6] with the head first"
        )
    if expression.ndim == 2:
        expression = expression[:, : NUM_EXPRESSION["flame"]]
    fps = float(arrays["fps"]) if "fps" in arrays and arrays["fps"].shape == () else 25.0
    still = np.zeros((len(expression), 3), np.float32)
    motion = _motion(path, expression=expression, jaw=jaw, head=still if head is None else head, space="flame", fps=fps)
    return ForeignMotion(motion, head is not None)


def _motion(path: Path, **fields: object) -> FaceMotion:
    try:
        return FaceMotion(**fields)  # type: ignore[arg-type]
    except MotionError as error:
        raise ReportError(f"{path}: {error}") from error


def _load(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    try:
        stored = np.load(path, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            return stored
        with stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # NumPy and zipfile raise many kinds for a file that is not what its name says
        raise ReportError(f"{path} cannot be read ({error}); expected a NumPy file without pickled objects") from error

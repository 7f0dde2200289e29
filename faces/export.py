"""Write a motion for other programs: .npz (ours), .csv (ARKit curves), .glb (an animated mesh) or .mp4 (a rendered video)."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np

from faces.arkit import ARKIT_NAMES
from faces.face_model import FaceModel
from faces.motion import FaceMotion
from faces.rotations import axis_angle_to_euler_numpy, euler_to_axis_angle_numpy

SUFFIXES = (".npz", ".csv", ".glb", ".mp4")
HEAD_COLUMNS = ("head_pitch_deg", "head_yaw_deg", "head_roll_deg")
TRANSLATION_COLUMNS = ("head_x_m", "head_y_m", "head_z_m")
_DEFAULT_FPS = 25.0


class ExportError(ValueError):
    """A motion cannot be written in the wished form, or a file of curves cannot be read."""


def export_motion(
    motion: FaceMotion,
    path: str | os.PathLike[str],
    face_model: FaceModel | None = None,
    audio: np.ndarray | None = None,
    *,
    size: int = 512,
    identity: np.ndarray | None = None,
    backend: str = "pyvista",
    progress: object = None,
) -> None:
    """Write `motion` in the form that the suffix of `path` names, whole or not at all.

    `.glb` and `.mp4` need `face_model`; `audio` (float [N], mono, 16 kHz), `size`, `backend` and `progress(done, total)` matter for `.mp4`
    alone (see `faces.video.render_motion`), `identity` [I] for both. Raises `ExportError` for another suffix or a missing
    part, and the errors of the writers.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ExportError(f"cannot export to {path.name!r}; the suffix must be one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise ExportError(f"cannot write {path}: the folder {path.parent} does not exist")
    if suffix == ".npz":
        motion.save(path)
        return
    if suffix == ".csv":
        write_arkit_csv(motion, path)
        return
    if face_model is None:
        raise ExportError(f"a {suffix} file shows a face: give face_model (faces.load_face_model)")
    if suffix == ".glb":
        from faces.gltf import write_glb

        write_glb(motion, face_model, path, identity=identity)
        return
    from faces.video import render_motion

    render_motion(motion, face_model, path, audio, size, identity, backend, progress)  # type: ignore[arg-type]


def write_arkit_csv(motion: FaceMotion, path: str | os.PathLike[str]) -> None:
    """One row a frame: `frame`, `time_s`, the 52 ARKit names, head pitch, yaw and roll in degrees, and translation in metres if known.

    Signs of the angles are those of `faces.rotations`. Raises `ExportError` for a motion of another space.
    """
    if motion.space != "arkit":
        raise ExportError(f"the motion is in the {motion.space!r} space; a .csv holds ARKit curves ('arkit')")
    path = Path(path)
    columns = ["frame", "time_s", *ARKIT_NAMES, *HEAD_COLUMNS]
    parts = [motion.expression, np.degrees(axis_angle_to_euler_numpy(motion.head))]
    if motion.translation is not None:
        columns += TRANSLATION_COLUMNS
        parts.append(motion.translation)
    # Nine significant digits bring every float32 back exactly.
    rows = [[f"{value:.9g}" for value in row] for row in np.concatenate(parts, axis=1).tolist()]
    partial = path.with_name(path.name + ".tmp")
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([i, f"{i / motion.fps:.9g}", *row] for i, row in enumerate(rows))
        partial.replace(path)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error}; nothing was kept") from error
    finally:
        partial.unlink(missing_ok=True)


def read_arkit_csv(path: str | os.PathLike[str]) -> FaceMotion:
    """Read a file of `write_arkit_csv`; columns are found by name, in any order. The rate follows from `time_s` (one row: 25 frames/s).

    Raises `ExportError` naming the file and the missing columns or the first bad row.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ExportError(f"{path}: not a readable file of curves ({error})") from error
    missing = [name for name in ("time_s", *ARKIT_NAMES, *HEAD_COLUMNS) if name not in header]
    if missing:
        raise ExportError(f"{path}: lacks the columns {', '.join(missing)}")
    values = np.empty((len(rows), len(header)))
    for index, row in enumerate(rows):
        try:
            values[index] = [float(cell) for cell in row]
        except ValueError as error:
            raise ExportError(f"{path}: row {index + 2} is not {len(header)} numbers ({error})") from error

    def columns(*names: str) -> np.ndarray:
        return values[:, [header.index(name) for name in names]]

    times = columns("time_s")[:, 0]
    if len(times) > 1 and not (np.diff(times) > 0).all():
        raise ExportError(f"{path}: time_s does not rise from row to row")
    fps = round((len(times) - 1) / (times[-1] - times[0]), 4) if len(times) > 1 else _DEFAULT_FPS
    placed = all(name in header for name in TRANSLATION_COLUMNS)
    return FaceMotion(
        expression=columns(*ARKIT_NAMES),
        head=euler_to_axis_angle_numpy(np.radians(columns(*HEAD_COLUMNS))),
        translation=columns(*TRANSLATION_COLUMNS) if placed else None,
        space="arkit",
        fps=float(fps),
    )

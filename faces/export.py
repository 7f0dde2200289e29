"""Write a motion for other programs: .npz (ours), .csv (ARKit curves), .glb (an animated mesh) or .mp4 (a rendered video)."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np

from faces.arkit import ARKIT_NAMES
from faces.face_model import FaceModel
from faces.motion import FaceMotion
from faces.rotations import axis_angle_to_euler_numpy

SUFFIXES = (".npz", ".csv", ".glb", ".mp4")
HEAD_COLUMNS = ("head_pitch_deg", "head_yaw_deg", "head_roll_deg")
TRANSLATION_COLUMNS = ("head_x_m", "head_y_m", "head_z_m")


class ExportError(ValueError):
    """A motion cannot be written in the wished form, or a file of curves cannot be read (`faces.arkit_curves`)."""


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

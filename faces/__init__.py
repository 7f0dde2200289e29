"""Motion container, face models, rendering and export. `load_face_model` is the door; modules load on demand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faces.face_model import FaceModel

__all__ = ["load_face_model"]


def load_face_model(name: str, path: str | os.PathLike[str] | None = None) -> FaceModel:
    """The face model `"procedural"` (built in, no file), `"ict"` (npz at `path` or `$ICT_FACEKIT_NPZ`) or `"flame"` (npz at `path` or `$FLAME_NPZ`).

    Raises `faces.face_model.FaceModelError` for an unknown name, or where a file is needed and absent or damaged.
    """
    if name == "procedural":
        from faces.procedural_head import ProceduralHead

        return ProceduralHead()
    if name == "ict":
        from faces.ict_face import IctFace

        return IctFace(path or None)
    if name == "flame":
        from faces.flame_face import FlameFace

        return FlameFace(path or None)
    from faces.face_model import FaceModelError

    raise FaceModelError(f"no face model is called {name!r}; expected 'procedural', 'ict' or 'flame'")

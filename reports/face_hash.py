"""Which face scores were measured on: faces of one name can have other vertices, as files of a user's own do."""

from __future__ import annotations

import hashlib

from torch import Tensor

from faces.face_model import FaceModel

# Whatever the vertices of the mean person with the head still are computed from, of both kinds of face models.
MEASURED = ("neutral", "template", "expression_basis", "pose_basis", "joint_regressor", "skin_weights")
DIGITS = 12


def face_hash(face: FaceModel) -> str:
    """Twelve hex digits of SHA-256 over the shape of `face` and the vertex ids of its regions.

    Numbers count to a millionth of a millimetre: below that a face that is computed may differ between machines.
    """
    digest = hashlib.sha256()
    buffers = dict(face.named_buffers())
    for name in (name for name in MEASURED if name in buffers):
        _add(digest, name, (buffers[name].double() * 1e9).round().long())
    for name in sorted(face.regions):
        _add(digest, name, face.regions[name].sort().values)
    return digest.hexdigest()[:DIGITS]


def _add(digest: hashlib._Hash, name: str, values: Tensor) -> None:
    digest.update(f"{name} {list(values.shape)}".encode())
    digest.update(values.cpu().contiguous().numpy().tobytes())

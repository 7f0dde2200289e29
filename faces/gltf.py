"""An animated face as a binary glTF 2.0 file (Khronos Group, glTF 2.0 specification), which Blender, Unity and browsers open."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from faces.arkit import ARKIT_NAMES
from faces.face_model import FaceModel
from faces.motion import FaceMotion

_MAGIC, _VERSION, _JSON_CHUNK, _BINARY_CHUNK = b"glTF", 2, b"JSON", b"BIN\x00"
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_COMPONENT_TYPES = {np.dtype("<f4"): 5126, np.dtype("<u4"): 5125, np.dtype("<u2"): 5123}
_SHORTEST_MOVEMENT_METRES = 1e-6


class GltfError(ValueError):
    """A motion and a face cannot be written as glTF."""


def write_glb(
    motion: FaceMotion,
    face_model: FaceModel,
    path: str | os.PathLike[str],
    identity: np.ndarray | None = None,
) -> None:
    """Write one mesh with a primitive for each material, a morph target for each expression that moves something, and their animation.

    Vertices are metres, y up, as in this project. Morph targets carry ARKit's names in `extras.targetNames`; their normals are those
    at rest. The head's rotation is a quaternion curve of a node at the neck's pivot: the whole mesh, bust included, turns rigidly with
    it, where the face model bends the neck. Translation is left out. `identity` [I] as in `faces.video.render_motion`.
    Raises `GltfError` if motion and model do not fit or the file cannot be written; nothing half-written is left.
    """
    if motion.space != face_model.space or motion.expression.shape[1] != face_model.num_expression:
        raise GltfError(
            f"the motion is in the {motion.space!r} space; the {face_model.name} face moves in {face_model.space!r}"
        )
    if not len(motion):
        raise GltfError("the motion has no frames")
    path = Path(path)
    content = _pack(*_describe(motion, face_model, _shape_coefficients(motion, face_model, identity)))
    partial = path.with_name(path.name + ".tmp")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise GltfError(f"cannot write {path}: {error}; nothing was kept") from error
    finally:
        partial.unlink(missing_ok=True)


class _Buffer:
    """Collects arrays and the buffer views and accessors that describe them."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: np.ndarray, kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Append `values` ([n] or [n,k]; `kind` "SCALAR", "VEC3" or "VEC4") and return the index of its accessor."""
        values = np.ascontiguousarray(values)
        self.content += bytes(-len(self.content) % 4)
        view = {"buffer": 0, "byteOffset": len(self.content), "byteLength": values.nbytes}
        if target is not None:
            view["target"] = target
        self.content += values.tobytes()
        self.views.append(view)
        accessor: dict[str, Any] = {
            "bufferView": len(self.views) - 1,
            "componentType": _COMPONENT_TYPES[values.dtype],
            "count": len(values),
            "type": kind,
        }
        if bounds:
            rows = values.reshape(len(values), -1)
            accessor["min"], accessor["max"] = rows.min(0).tolist(), rows.max(0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _describe(motion: FaceMotion, face_model: FaceModel, identity: torch.Tensor | None) -> tuple[dict[str, Any], bytes]:
    """The JSON document and the binary buffer it refers to."""
    rest, shapes = _rest_and_shapes(face_model, identity)
    moving = np.flatnonzero(np.abs(shapes).max(axis=(1, 2)) > _SHORTEST_MOVEMENT_METRES)
    arkit = face_model.space == "arkit"
    names = [ARKIT_NAMES[i] if arkit else f"expression_{i}" for i in moving]
    buffer = _Buffer()
    mesh = {
        "name": face_model.name,
        "primitives": _primitives(buffer, face_model, rest, shapes[moving]),
        "weights": motion.expression[0, moving].tolist(),
        "extras": {"targetNames": names},
    }
    pivot = _neck_pivot(face_model, rest)
    nodes: list[dict[str, Any]] = [
        {"name": "head", "translation": pivot.tolist(), "children": [1]},
        {"name": "face", "translation": (-pivot).tolist(), "mesh": 0},
    ]
    document = {
        "asset": {"version": "2.0", "generator": "persona-faces"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": nodes,
        "meshes": [mesh],
        "materials": [_material(m.name, m.rgb) for m in face_model.materials],
        "animations": [_animation(buffer, motion, moving)],
    }
    content = bytes(buffer.content) + bytes(-len(buffer.content) % 4)
    document["bufferViews"], document["accessors"] = buffer.views, buffer.accessors
    document["buffers"] = [{"byteLength": len(content)}]
    return document, content


def _primitives(buffer: _Buffer, face_model: FaceModel, rest: np.ndarray, shapes: np.ndarray) -> list[dict[str, Any]]:
    from faces.render_pyvista import VertexNormals

    triangles = face_model.triangles.cpu().numpy()
    material = face_model.triangle_material.cpu().numpy()
    normals = VertexNormals(triangles, len(rest))(rest).astype("<f4")
    attributes = {
        "POSITION": buffer.add(rest, "VEC3", _ARRAY_BUFFER, bounds=True),
        "NORMAL": buffer.add(normals, "VEC3", _ARRAY_BUFFER),
    }
    targets = [{"POSITION": buffer.add(shape, "VEC3", _ARRAY_BUFFER, bounds=True)} for shape in shapes]
    index_type = "<u2" if len(rest) < 2**16 - 1 else "<u4"
    primitives = []
    for index in np.unique(material).tolist():
        corners = triangles[material == index].ravel().astype(index_type)
        primitive = {
            "attributes": attributes,
            "indices": buffer.add(corners, "SCALAR", _ELEMENT_ARRAY_BUFFER),
            "material": index,
        }
        primitives.append(primitive | ({"targets": targets} if targets else {}))
    return primitives


def _animation(buffer: _Buffer, motion: FaceMotion, moving: np.ndarray) -> dict[str, Any]:
    times = (np.arange(len(motion)) / motion.fps).astype("<f4")
    clock = buffer.add(times, "SCALAR", bounds=True)
    quaternions = _continuous_quaternions(motion.head).astype("<f4")
    curves = [(0, "rotation", buffer.add(quaternions, "VEC4"))]
    if len(moving):
        weights = motion.expression[:, moving].astype("<f4").ravel()
        curves.append((1, "weights", buffer.add(weights, "SCALAR")))
    return {
        "name": "motion",
        "samplers": [{"input": clock, "output": curve, "interpolation": "LINEAR"} for *_, curve in curves],
        "channels": [
            {"sampler": i, "target": {"node": node, "path": what}} for i, (node, what, _) in enumerate(curves)
        ],
    }


def _continuous_quaternions(head: np.ndarray) -> np.ndarray:
    """Unit quaternions [T,4], x y z w, of axis-angles [T,3]; of q and -q always the one nearer to the frame before."""
    quaternions = Rotation.from_rotvec(head.astype(np.float64)).as_quat()
    jumps = (quaternions[1:] * quaternions[:-1]).sum(1) < 0
    quaternions[1:][np.cumsum(jumps) % 2 == 1] *= -1
    return quaternions


def _rest_and_shapes(face_model: FaceModel, identity: torch.Tensor | None) -> tuple[np.ndarray, np.ndarray]:
    """The face at rest [V,3] and what each expression adds to it [E,V,3], float32 metres."""
    device, count = face_model.triangles.device, face_model.num_expression
    with torch.no_grad():
        rest = face_model(identity, torch.zeros(count, device=device))
        shapes = face_model(identity, torch.eye(count, device=device)) - rest
    return rest.cpu().numpy().astype("<f4"), shapes.cpu().numpy().astype("<f4")


def _shape_coefficients(motion: FaceMotion, face_model: FaceModel, given: np.ndarray | None) -> torch.Tensor | None:
    if given is None and motion.identity_space == face_model.name:
        given = motion.identity
    if given is None:
        return None
    values = np.asarray(given, np.float32)
    if values.shape != (face_model.num_identity,):
        raise GltfError(f"identity has shape {values.shape}; {face_model.name} takes [{face_model.num_identity}]")
    return torch.from_numpy(values).to(face_model.triangles.device)


def _neck_pivot(face_model: FaceModel, rest: np.ndarray) -> np.ndarray:
    pivot = getattr(face_model, "neck_pivot", None)
    if isinstance(pivot, torch.Tensor):
        return pivot.cpu().numpy().astype(np.float64)
    return rest[face_model.regions["neck"].cpu().numpy()].mean(0).astype(np.float64)


def _material(name: str, rgb: tuple[float, float, float]) -> dict[str, Any]:
    """glTF takes linear colours where ours are sRGB (IEC 61966-2-1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    surface = {"baseColorFactor": [*linear, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.6}
    return {"name": name, "pbrMetallicRoughness": surface, "doubleSided": True}


def _pack(document: dict[str, Any], binary: bytes) -> bytes:
    """Header, JSON chunk (padded with spaces) and binary chunk, all multiples of four bytes."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), _JSON_CHUNK) + text
    chunks += struct.pack("<I4s", len(binary), _BINARY_CHUNK) + binary
    return struct.pack("<4sII", _MAGIC, _VERSION, 12 + len(chunks)) + chunks

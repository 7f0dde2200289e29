"""Conversion of the public ICT-FaceKit OBJ folder into the one compact npz that `faces.ict_face.IctFace` reads.

The folder holds `generic_neutral_mesh.obj`, `identity000.obj` ..., one OBJ per expression and `vertex_indices.json`. Kept are face, head
and neck, sockets, gums and tongue, teeth and eyeballs; tear fluid, eye occlusion and eyelashes lie behind them and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faces.arkit import ARKIT_INDEX
from faces.face_model import FaceModelError

# Half-open vertex ranges as published in the README of ICT-FaceKit.
PUBLISHED_REGIONS: dict[str, tuple[int, int]] = {
    "face": (0, 9409),
    "face_narrow": (0, 6706),
    "head_neck": (9409, 11248),
    "mouth_socket": (11248, 13294),
    "eye_socket_left": (13294, 13678),
    "eye_socket_right": (13678, 14062),
    "gums_tongue": (14062, 17039),
    "teeth": (17039, 21451),
    "teeth_upper": (17039, 19247),
    "teeth_lower": (19247, 21451),
    "eyeball_left": (21451, 23021),
    "eyeball_right": (23021, 24591),
}

_LIP_MARGIN_CM = 0.12
_LOWER_FACE_MOVEMENT_CM = 0.3
_UPPER_FACE_MOVEMENT_CM = 0.1
_UPPER_FACE_LOWEST_Y_CM = -0.5


@dataclass(frozen=True)
class _Mesh:
    vertices: np.ndarray
    uv: np.ndarray
    quads: np.ndarray
    quad_uv: np.ndarray
    quad_material: np.ndarray
    material_names: list[str]


def convert_obj_folder(folder: Path, out: Path, regions: Mapping[str, tuple[int, int]] = PUBLISHED_REGIONS) -> None:
    """Write `out` (npz, centimetres as in the source; half-precision deltas) from the OBJ `folder`, whole or not at all.

    Raises `FaceModelError` naming the file that is absent, unreadable or of another vertex count than the neutral mesh.
    """
    indices = _read_json(folder / "vertex_indices.json")
    mesh = _read_mesh(folder / "generic_neutral_mesh.obj")
    kept = max(end for _, end in regions.values())
    if len(mesh.vertices) < kept:
        raise FaceModelError(f"{folder}: the neutral mesh has {len(mesh.vertices)} vertices; expected at least {kept}")
    names = _expression_names(indices, folder)
    identity_files = sorted(folder.glob("identity[0-9]*.obj"))
    if not identity_files:
        raise FaceModelError(f"{folder}: no identity*.obj found; expected the FaceXModel folder of ICT-FaceKit")

    def deltas(files: list[Path]) -> np.ndarray:
        shapes = [_read_vertices(file, len(mesh.vertices)) - mesh.vertices for file in files]
        return np.stack(shapes)[:, :kept].astype(np.float16)

    neutral = mesh.vertices[:kept].astype(np.float32)
    expression = deltas([folder / f"{name}.obj" for name in names])
    landmarks = np.array(indices.get("idx_to_landmark_verts", []), np.int32)
    if landmarks.shape != (68,) or landmarks.max() >= kept:
        raise FaceModelError(f"{folder / 'vertex_indices.json'}: expected 68 idx_to_landmark_verts below {kept}")
    content = {
        "neutral": neutral,
        "identity": deltas(identity_files),
        "expression": expression,
        "expression_names": np.array(names),
        "expression_arkit_names": np.array([arkit_name(name) for name in names]),
        "landmarks68": landmarks,
        "region_names": np.array(list(regions)),
        "region_ranges": np.array(list(regions.values()), np.int32),
        "units": np.array("cm"),
        **_topology(mesh, kept),
        **_face_regions(neutral, expression, names, landmarks, regions["face"][1]),
        **{
            key: np.array([i for i in indices.get(f"idx_to_{key}", []) if i < kept], np.int32)
            for key in ("fitting_verts", "rigid_verts")
        },
    }
    partial = out.with_name(out.name + ".tmp")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **content)  # type: ignore[arg-type]
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def arkit_name(ict_name: str) -> str:
    """ARKit's name of an ICT expression; ICT's one-sided browInnerUp and cheekPuff both answer to ARKit's two-sided one."""
    stem, _, side = ict_name.partition("_")
    name = stem + {"": "", "L": "Left", "R": "Right"}.get(side, side)
    for candidate in (name, stem):
        if candidate in ARKIT_INDEX:
            return candidate
    raise FaceModelError(f"ICT expression {ict_name!r} has no counterpart among the ARKit names")


def _expression_names(indices: dict, folder: Path) -> list[str]:
    names = indices.get("expressions")
    if not isinstance(names, list) or not names:
        raise FaceModelError(
            f"{folder / 'vertex_indices.json'}: no list 'expressions'; expected the file of ICT-FaceKit"
        )
    return [str(name) for name in names]


def _topology(mesh: _Mesh, kept: int) -> dict[str, np.ndarray]:
    inside = (mesh.quads < kept).all(1)
    quads, quad_uv = mesh.quads[inside], mesh.quad_uv[inside]
    used, quad_uv = np.unique(quad_uv, return_inverse=True)
    used_materials, quad_material = np.unique(mesh.quad_material[inside], return_inverse=True)
    quad_uv = quad_uv.reshape(quads.shape)
    is_quad = quads[:, 3] != quads[:, 2]
    corners = np.concatenate([np.tile([0, 1, 2], (len(quads), 1)), np.tile([0, 2, 3], (int(is_quad.sum()), 1))])
    rows = np.concatenate([np.arange(len(quads)), np.flatnonzero(is_quad)])
    order = np.argsort(rows, kind="stable")
    rows, corners = rows[order], corners[order]
    return {
        "quads": quads.astype(np.int32),
        "quad_material": quad_material.astype(np.uint8),
        "material_names": np.array([mesh.material_names[index] for index in used_materials]),
        "faces": quads[rows[:, None], corners].astype(np.int32),
        "faces_uv": quad_uv[rows[:, None], corners].astype(np.int32),
        "uv": mesh.uv[used].astype(np.float32) if len(mesh.uv) else np.zeros((0, 2), np.float32),
    }


def _face_regions(
    neutral: np.ndarray, expression: np.ndarray, names: list[str], landmarks: np.ndarray, num_face: int
) -> dict[str, np.ndarray]:
    """Vertex ids of the lips (by the outer lip contour, landmarks 48 to 59), and of what moves in the lower and upper face."""
    face = neutral[:num_face]
    movement = np.linalg.norm(expression[:, :num_face].astype(np.float32), axis=-1)

    def moved(prefixes: tuple[str, ...]) -> np.ndarray:
        chosen = [index for index, name in enumerate(names) if name.startswith(prefixes)]
        return movement[chosen].max(0) if chosen else np.zeros(num_face)

    lips = distance_inside_polygon(face[:, :2], neutral[landmarks[48:60], :2]) > -_LIP_MARGIN_CM
    # The contour is a closed curve seen from the front: what lies behind it inside the head is not lip.
    lips &= face[:, 2] > neutral[landmarks[48:60], 2].min() - 1.0
    lower = moved(("jaw", "mouth")) > _LOWER_FACE_MOVEMENT_CM
    upper = (moved(("brow", "eye")) > _UPPER_FACE_MOVEMENT_CM) & (face[:, 1] > _UPPER_FACE_LOWEST_Y_CM)
    found = {"lips": lips, "lower_face": lower, "upper_face": upper}
    return {key: np.flatnonzero(mask).astype(np.int32) for key, mask in found.items()}


def distance_inside_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Signed distance [N] of points [N,2] to the border of a closed polygon [K,2]: positive inside (even-odd rule)."""
    distance = np.full(len(points), np.inf)
    inside = np.zeros(len(points), bool)
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        edge = end - start
        along = np.clip((points - start) @ edge / max(float(edge @ edge), 1e-12), 0, 1)
        distance = np.minimum(distance, np.linalg.norm(points - start - along[:, None] * edge, axis=1))
        crosses = (start[1] > points[:, 1]) != (end[1] > points[:, 1])
        if edge[1] != 0:
            inside ^= crosses & (points[:, 0] < start[0] + edge[0] * (points[:, 1] - start[1]) / edge[1])
    return np.where(inside, distance, -distance)


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FaceModelError(
            f"{path}: cannot be read ({error.strerror}); expected the FaceXModel folder of ICT-FaceKit"
        ) from error
    except ValueError as error:
        raise FaceModelError(f"{path}: not JSON ({error})") from error


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise FaceModelError(
            f"{path}: cannot be read ({error.strerror}); expected the FaceXModel folder of ICT-FaceKit"
        ) from error


def _numbers(path: Path, lines: list[str], key: str, count: int) -> np.ndarray:
    rows = [line.split()[1 : count + 1] for line in lines if line.startswith(key + " ")]
    try:
        return np.array(rows, dtype=np.float64).reshape(-1, count)
    except ValueError as error:
        raise FaceModelError(f"{path}: a '{key}' line does not hold {count} numbers ({error})") from error


def _read_vertices(path: Path, expected: int) -> np.ndarray:
    vertices = _numbers(path, _read_lines(path), "v", 3)
    if len(vertices) != expected:
        raise FaceModelError(
            f"{path}: {len(vertices)} vertices; the neutral mesh has {expected}, is the download complete?"
        )
    return vertices


def _read_mesh(path: Path) -> _Mesh:
    """Vertices, texture coordinates, quads (a triangle repeats its last index) and the material of each."""
    lines = _read_lines(path)
    vertices, uv = _numbers(path, lines, "v", 3), _numbers(path, lines, "vt", 2)
    quads, quad_uv, quad_material, material_names = [], [], [], []
    material = 0
    for line in lines:
        if line.startswith("usemtl "):
            name = line.split(maxsplit=1)[1].strip()
            if name not in material_names:
                material_names.append(name)
            material = material_names.index(name)
        elif line.startswith("f "):
            corners = [corner.split("/") for corner in line.split()[1:]]
            if len(corners) not in (3, 4):
                raise FaceModelError(f"{path}: a face of {len(corners)} corners; expected triangles and quads")
            corners += corners[-1:] * (4 - len(corners))
            quads.append([int(corner[0]) - 1 for corner in corners])
            quad_uv.append([int(corner[1]) - 1 if len(corner) > 1 and corner[1] else 0 for corner in corners])
            quad_material.append(material)
    faces = np.array(quads, np.int64).reshape(-1, 4)
    if not len(faces) or faces.min() < 0 or faces.max() >= len(vertices):
        raise FaceModelError(f"{path}: {len(faces)} faces over {len(vertices)} vertices; expected a complete OBJ mesh")
    names = sorted(material_names) or ["M_Face"]
    rank = np.array([names.index(name) for name in material_names] or [0])
    return _Mesh(vertices, uv, faces, np.array(quad_uv).reshape(-1, 4), rank[quad_material], names)

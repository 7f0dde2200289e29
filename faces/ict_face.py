"""The ICT-FaceKit head (USC ICT, MIT licence): a scanned mean head with 100 identity modes and ARKit-named expressions.

    python -m faces.ict_face FaceXModel/ ict_facekit.npz

converts the folder `FaceXModel` of the public GitHub repository ICT-VGL/ICT-FaceKit into the file that `IctFace` reads.
Model: Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020.
"""

from __future__ import annotations

import argparse
import os
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from faces.arkit import ARKIT_INDEX, NUM_ARKIT
from faces.face_model import FaceModelError, LinearFaceModel, Material, smoothstep
from faces.ict_conversion import convert_obj_folder, distance_inside_polygon

PATH_VARIABLE = "ICT_FACEKIT_NPZ"
_SOURCE = (
    "clone the public GitHub repository ICT-VGL/ICT-FaceKit (USC ICT, MIT licence), run "
    "`python -m faces.ict_face FaceXModel/ ict_facekit.npz` on its folder FaceXModel, and give the file as `path` or "
    f"in ${PATH_VARIABLE}; the procedural face needs no file"
)
_METRES_PER_CM = 0.01
_REQUIRED = (
    *(
        "neutral",
        "identity",
        "expression",
        "expression_arkit_names",
        "faces",
        "quads",
        "quad_material",
        "material_names",
    ),
    *("landmarks68", "region_names", "region_ranges", "lips", "upper_face"),
)

MATERIALS = [
    Material("skin", (0.87, 0.68, 0.58)),
    Material("lips", (0.74, 0.42, 0.40)),
    Material("brows", (0.33, 0.23, 0.17)),
    Material("teeth", (0.93, 0.91, 0.86)),
    Material("gums_and_tongue", (0.67, 0.35, 0.35)),
    Material("mouth_interior", (0.25, 0.09, 0.09)),
    Material("eye_white", (0.95, 0.94, 0.93)),
    Material("iris", (0.31, 0.42, 0.48)),
    Material("pupil", (0.03, 0.03, 0.04)),
]
_MATERIAL_INDEX = {material.name: index for index, material in enumerate(MATERIALS)}


class IctFace(LinearFaceModel):
    """ICT Face Model Light in the `arkit` space: 100 identity modes, 52 expressions, 24,591 vertices in metres.

    ARKit's browInnerUp and cheekPuff move ICT's left and right halves together; tongueOut does nothing; `mouthClose` is a
    corrective that closes the lips while jawOpen keeps the jaw open. `path` defaults to `$ICT_FACEKIT_NPZ`.
    Raises `FaceModelError` saying where to get the file if it is absent, damaged or of another kind.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        source = Path(path) if path is not None else _path_from_environment()
        data = _read(source)
        neutral = torch.from_numpy(data["neutral"]).float() * _METRES_PER_CM
        expression = _arkit_basis(data)
        ranges = {str(n): range(*map(int, r)) for n, r in zip(data["region_names"], data["region_ranges"], strict=True)}
        head_weight = _head_weight(neutral)
        brows = _brow_band(data, ranges["face"])
        super().__init__(
            name="ict",
            space="arkit",
            neutral=neutral,
            identity_basis=torch.from_numpy(data["identity"].astype(np.float32)) * _METRES_PER_CM,
            expression_basis=expression,
            triangles=torch.from_numpy(data["faces"].astype(np.int64)),
            triangle_material=torch.from_numpy(_triangle_materials(data, ranges, brows)),
            materials=MATERIALS,
            regions=_regions(data, ranges, expression, head_weight, brows),
            head_weight=head_weight,
            neck_pivot=torch.tensor([0.0, -0.08, -0.02]),
        )
        self.landmarks = torch.from_numpy(data["landmarks68"].astype(np.int64))


def _path_from_environment() -> Path:
    value = os.environ.get(PATH_VARIABLE)
    if not value:
        raise FaceModelError(f"the ict face needs a model file and none was named: {_SOURCE}")
    return Path(value)


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FaceModelError(f"{path}: no such file; the ict face needs it: {_SOURCE}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            data = {name: archive[name] for name in archive.files}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        AttributeError,
        TypeError,
    ) as error:
        raise FaceModelError(f"{path}: not a readable ICT-FaceKit file ({error}); {_SOURCE}") from error
    missing = [name for name in _REQUIRED if name not in data]
    if missing:
        raise FaceModelError(f"{path}: lacks {missing}; {_SOURCE}")
    return data


def _arkit_basis(data: dict[str, np.ndarray]) -> torch.Tensor:
    """[52,V,3] metres in ARKit's order; halves that share an ARKit name are added, names without a shape stay zero."""
    shapes = torch.from_numpy(data["expression"].astype(np.float32)) * _METRES_PER_CM
    basis = torch.zeros(NUM_ARKIT, *shapes.shape[1:])
    for name, shape in zip(data["expression_arkit_names"], shapes, strict=True):
        if str(name) not in ARKIT_INDEX:
            raise FaceModelError(
                f"the ICT file names an expression {name!s} that ARKit does not have; convert the folder again"
            )
        basis[ARKIT_INDEX[str(name)]] += shape
    return basis


def _head_weight(neutral: torch.Tensor) -> torch.Tensor:
    """1 on the head, 0 on the bust. The border leans: the nape bends higher up than the throat below the chin."""
    return smoothstep(neutral[:, 1] + 0.35 * neutral[:, 2], -0.14, -0.065)


def _regions(
    data: dict[str, np.ndarray],
    ranges: dict[str, range],
    expression: torch.Tensor,
    head_weight: torch.Tensor,
    brows: np.ndarray,
) -> dict[str, torch.Tensor]:
    """Named vertex ids. Those of the face are skin vertices; `eyes` are eyelids and eyeballs."""
    skin = torch.arange(len(head_weight)) < ranges["face"].stop
    movement = expression.norm(dim=-1)

    def moved_by(prefix: str, metres: float) -> torch.Tensor:
        chosen = [index for name, index in ARKIT_INDEX.items() if name.startswith(prefix)]
        return skin & (movement[chosen].amax(0) > metres)

    def mask(ids: np.ndarray) -> torch.Tensor:
        flags = torch.zeros(len(head_weight), dtype=torch.bool)
        flags[torch.from_numpy(ids.astype(np.int64))] = True
        return flags

    lips, brow = mask(data["lips"]), mask(np.flatnonzero(brows))
    eyeballs = np.concatenate([np.array(ranges[f"eyeball_{side}"], dtype=np.int64) for side in ("left", "right")])
    masks = {
        "lips": lips,
        "mouth": (moved_by("mouth", 0.003) & (head_weight == 1)) | lips,
        "jaw": moved_by("jawOpen", 0.004) & ~lips & (head_weight == 1),
        "upper_face": mask(data["upper_face"]),
        "eyes": (moved_by("eyeBlink", 0.001) & ~brow) | mask(eyeballs),
        "brows": brow,
        "neck": (head_weight < 0.98) & (torch.arange(len(head_weight)) < ranges["head_neck"].stop),
    }
    return {name: torch.nonzero(flags).squeeze(1) for name, flags in masks.items()}


def _brow_band(data: dict[str, np.ndarray], face: range) -> np.ndarray:
    """Boolean [V]: skin within a few millimetres of the brow lines (landmarks 17 to 26) seen from the front."""
    neutral, landmarks = data["neutral"], data["landmarks68"]
    near = np.zeros(len(neutral), bool)
    for brow in (landmarks[17:22], landmarks[22:27]):
        line = neutral[brow, :2]
        # A brow line is an open polygon without area: its distance is the same going there and back.
        distance = -distance_inside_polygon(neutral[face.start : face.stop, :2], np.concatenate([line, line[-2:0:-1]]))
        in_front = neutral[face.start : face.stop, 2] > neutral[brow, 2].min() - 0.5
        near[face.start : face.stop] |= (np.abs(distance) < 0.32) & in_front
    return near


def _triangle_materials(data: dict[str, np.ndarray], ranges: dict[str, range], brows: np.ndarray) -> np.ndarray:
    """Material index [F] of each triangle, from the source's materials, the regions, and the angle to the optical axis."""
    triangles = data["faces"].astype(np.int64)
    quads = data["quads"]
    material = np.full(len(triangles), _MATERIAL_INDEX["skin"])
    lip = np.zeros(len(data["neutral"]), bool)
    lip[data["lips"]] = True
    material[lip[triangles].all(1)] = _MATERIAL_INDEX["lips"]
    material[brows[triangles].all(1)] = _MATERIAL_INDEX["brows"]
    first = triangles[:, 0]
    for region, name in (
        ("mouth_socket", "mouth_interior"),
        ("gums_tongue", "gums_and_tongue"),
        ("teeth", "teeth"),
    ):
        material[(first >= ranges[region].start) & (first < ranges[region].stop)] = _MATERIAL_INDEX[name]
    # A triangle's source material is its quad's; a quad gives two triangles, or one where it repeats its last corner.
    source = np.repeat(data["quad_material"], 1 + (quads[:, 3] != quads[:, 2]))
    for index, name in enumerate(data["material_names"]):
        if str(name).startswith("M_Sclera"):
            _paint_eye(data["neutral"], triangles, source == index, material)
        elif str(name).startswith("M_Iris"):
            material[source == index] = _MATERIAL_INDEX["iris"]
    return material


def _paint_eye(neutral: np.ndarray, triangles: np.ndarray, chosen: np.ndarray, material: np.ndarray) -> None:
    """Paint iris and pupil onto the outer eyeball, whose clear cornea would hide the iris behind it when drawn opaque."""
    if not chosen.any():
        return
    ids = np.unique(triangles[chosen])
    points = neutral[ids]
    back = points[points[:, 2] <= np.median(points[:, 2])]
    # Least-squares sphere: |p|^2 = 2 p.c + (r^2 - |c|^2).
    solution, *_ = np.linalg.lstsq(np.c_[2 * back, np.ones(len(back))], (back**2).sum(1), rcond=None)
    centre = solution[:3]
    radius = np.sqrt(max(solution[3] + centre @ centre, 0.0))
    bulge = np.clip(np.linalg.norm(points - centre, axis=1) - 1.01 * radius, 0, None)
    axis = (bulge[:, None] * (points - centre)).sum(0)
    axis = axis / np.linalg.norm(axis) if np.linalg.norm(axis) > 0 else np.array([0.0, 0.0, 1.0])
    middle = neutral[triangles[chosen]].mean(1) - centre
    cosine = middle @ axis / np.maximum(np.linalg.norm(middle, axis=1), 1e-9)
    degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    painted = np.select(
        [degrees < 9, degrees < 23],
        [_MATERIAL_INDEX["pupil"], _MATERIAL_INDEX["iris"]],
        _MATERIAL_INDEX["eye_white"],
    )
    material[chosen] = painted


def main(arguments: list[str] | None = None) -> int:
    """Command line of the converter; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m faces.ict_face", description="Convert ICT-FaceKit's OBJ folder to one npz."
    )
    parser.add_argument("folder", type=Path, help="the folder FaceXModel of the repository ICT-VGL/ICT-FaceKit")
    parser.add_argument("out", type=Path, help="the npz to write")
    options = parser.parse_args(arguments)
    try:
        convert_obj_folder(options.folder, options.out)
    except (FaceModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.out}; use it with {PATH_VARIABLE}={options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

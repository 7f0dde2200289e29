"""The procedural head: a complete animatable face from code alone, so that everything runs without downloads or licences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from faces.arkit import ARKIT_INDEX
from faces.face_model import LinearFaceModel, Material, smoothstep
from faces.procedural_fields import RestFields
from faces.procedural_identity import IDENTITY_NAMES, identity_shapes
from faces.procedural_mesh import HalfMesh, HeadMesh
from faces.procedural_parts import add_parts
from faces.procedural_shapes import expression_shapes
from faces.procedural_skin import NECKLINE, SkinRings, add_skin

_METRES_PER_CM = 0.01

MATERIALS = [
    Material("skin", (0.88, 0.69, 0.59)),
    Material("lips", (0.76, 0.45, 0.42)),
    Material("brows", (0.29, 0.20, 0.14)),
    Material("hair", (0.27, 0.18, 0.13)),
    Material("teeth", (0.95, 0.93, 0.88)),
    Material("tongue", (0.74, 0.40, 0.40)),
    Material("mouth_interior", (0.20, 0.06, 0.07)),
    Material("eye_white", (0.95, 0.94, 0.93)),
    Material("iris", (0.34, 0.42, 0.42)),
    Material("pupil", (0.03, 0.03, 0.04)),
    Material("lashes", (0.17, 0.11, 0.09)),
    Material("lid_margin", (0.78, 0.54, 0.48)),
    Material("shirt", (0.29, 0.39, 0.51)),
]


@dataclass(frozen=True)
class _Built:
    mesh: HeadMesh
    rings: SkinRings
    expression: np.ndarray
    identity: np.ndarray
    fields: RestFields


@lru_cache(maxsize=1)
def _build() -> _Built:
    half = HalfMesh()
    rings = add_skin(half)
    add_parts(half)
    mesh = half.mirrored()
    fields = RestFields(mesh, rings.eye_margin, rings.lips[-1])
    return _Built(mesh, rings, expression_shapes(fields), identity_shapes(fields), fields)


class ProceduralHead(LinearFaceModel):
    """A head of our own in the `arkit` space: 52 expressions, ten identity shapes (`identity_names`), metres.

    Symmetric: `mirror` [V] gives each vertex' twin at (-x, y, z). `lip_rings` [6,N] are the vertex ids of the left half's lips from the
    outer border to the line where the lips meet, each from the middle of the upper lip over the corner to the middle of the lower one;
    `eyelid_ring` [M] is the left eye's opening from its outer corner upwards and around.
    Built in well under a second, once per process, the same on every machine up to rounding.
    """

    def __init__(self) -> None:
        built = _build()
        mesh = built.mesh
        # Constants, so all heads share their memory. Not their tensors: some are made in inference mode and fit no training.
        parts = {name: torch.from_numpy(part) for name, part in _parts().items()}
        regions = {name: torch.from_numpy(ids) for name, ids in _regions().items()}
        super().__init__(name="procedural", space="arkit", materials=MATERIALS, regions=regions, **parts)
        self.identity_names = IDENTITY_NAMES
        self.register_buffer("mirror", torch.from_numpy(mesh.mirror.copy()), persistent=False)
        self.register_buffer("lip_rings", torch.from_numpy(built.rings.lips.copy()), persistent=False)
        self.register_buffer("eyelid_ring", torch.from_numpy(built.rings.eye_margin.copy()), persistent=False)
        self.landmarks = _landmarks(built)


@lru_cache(maxsize=1)
def _parts() -> dict[str, np.ndarray]:
    """What a `LinearFaceModel` is made of, in metres."""
    built = _build()
    mesh, names = built.mesh, [material.name for material in MATERIALS]
    vertices = torch.from_numpy(mesh.vertices * _METRES_PER_CM).float()
    head_weight = smoothstep(vertices[:, 1] + 0.35 * vertices[:, 2], -0.135, -0.07)
    head_weight[torch.from_numpy(~mesh.is_part("skin"))] = 1.0
    return {
        "neutral": vertices.numpy(),
        "identity_basis": (built.identity * _METRES_PER_CM).astype(np.float32),
        "expression_basis": (built.expression * _METRES_PER_CM).astype(np.float32),
        "triangles": mesh.triangles.astype(np.int64),
        "triangle_material": np.array([names.index(name) for name in mesh.triangle_material], np.int64),
        "head_weight": head_weight.numpy(),
        "neck_pivot": np.array([0.0, -0.075, -0.02], np.float32),
    }


def _landmarks(built: _Built) -> torch.Tensor:
    """Vertex ids [N] along both borders of the lips, the eyelids' margins and the brows, those of the left half and their twins."""
    mesh, lips = built.mesh, built.rings.lips
    brow = np.flatnonzero(mesh.is_part("brow") & (mesh.vertices[:, 0] > 0))
    along = brow[np.argsort(mesh.vertices[brow, 0])][np.linspace(0, len(brow) - 1, 5).astype(int)]
    half = np.concatenate([lips[0, ::4], lips[-1, ::4], built.rings.eye_margin[::6], along])
    return torch.from_numpy(np.unique(np.concatenate([half, mesh.mirror[half]])))


@lru_cache(maxsize=1)
def _regions() -> dict[str, np.ndarray]:
    """Named vertex ids; `eyes` are lids and eyeballs, `mouth` is the lips and the skin that moves with them."""
    built, head_weight = _build(), _parts()["head_weight"]
    mesh, f = built.mesh, built.fields
    movement = np.linalg.norm(built.expression, axis=-1)
    skin = mesh.is_part("skin")
    lips = mesh.is_part("lips")
    lids = skin & (np.maximum(movement[ARKIT_INDEX["eyeBlinkLeft"]], movement[ARKIT_INDEX["eyeBlinkRight"]]) > 0.1)
    brows = mesh.is_part("brow")
    masks = {
        "lips": lips,
        "mouth": lips | (skin & (f.mouth > 0.25)),
        "jaw": skin & (movement[ARKIT_INDEX["jawOpen"]] > 0.4) & (head_weight == 1),
        "upper_face": (skin | brows | mesh.is_part("eyelid_margin")) & (f.y > 0.8) & (f.y < 11.0) & (f.z > 3.0),
        "eyes": lids | mesh.is_part("eyelid_margin", "eyeball"),
        "brows": brows,
        "neck": skin & (head_weight < 0.98) & (f.y > NECKLINE - 2.0),
    }
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}

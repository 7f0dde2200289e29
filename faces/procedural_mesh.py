"""Assembly of the procedural head: parts are built for x >= 0 and mirrored, so left and right match vertex by vertex."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

PARTS = (
    "skin",
    "lips",
    "mouth_interior",
    "eyelid_margin",
    "brow",
    "hair",
    "ear",
    "eyeball",
    "upper_teeth",
    "lower_teeth",
    "tongue",
)
PART_INDEX = {name: index for index, name in enumerate(PARTS)}


@dataclass(frozen=True)
class HeadMesh:
    """The whole head at rest, in centimetres.

    `vertices` [V,3]; `triangles` [F,3] counter-clockwise from outside; `triangle_material` [F] names; `part` [V] index into `PARTS`;
    `side` [V]: +1 on an upper lip or lid, -1 on a lower one, 0 elsewhere; `mirror` [V]: the vertex at (-x, y, z).
    """

    vertices: np.ndarray
    triangles: np.ndarray
    triangle_material: np.ndarray
    part: np.ndarray
    side: np.ndarray
    mirror: np.ndarray

    def is_part(self, *names: str) -> np.ndarray:
        """Boolean [V]: the vertices of these parts."""
        return np.isin(self.part, [PART_INDEX[name] for name in names])


@dataclass
class HalfMesh:
    """Collects patches of the half with x >= 0; vertices at x = 0 become the shared midline."""

    vertices: list[np.ndarray] = field(default_factory=list)
    part: list[np.ndarray] = field(default_factory=list)
    side: list[np.ndarray] = field(default_factory=list)
    triangles: list[np.ndarray] = field(default_factory=list)
    materials: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def add_vertices(self, points: np.ndarray, part: str, side: np.ndarray | int = 0) -> np.ndarray:
        """Add points [..., 3] (side broadcasts over them) and return their ids [...]."""
        flat = points.reshape(-1, 3)
        ids = np.arange(self.count, self.count + len(flat))
        self.count += len(flat)
        self.vertices.append(flat)
        self.part.append(np.full(len(flat), PART_INDEX[part]))
        self.side.append(np.broadcast_to(side, points.shape[:-1]).ravel())
        return ids.reshape(points.shape[:-1])

    def add_triangles(self, triangles: np.ndarray, material: str | np.ndarray) -> None:
        """Add triangles [F,3] of vertex ids; those with two equal corners are left out."""
        triangles = triangles.reshape(-1, 3)
        materials = np.broadcast_to(np.asarray(material, dtype=object), len(triangles))
        proper = (triangles != np.roll(triangles, 1, axis=1)).all(1)
        self.triangles.append(triangles[proper])
        self.materials.append(materials[proper])

    def add_strip(self, first: np.ndarray, second: np.ndarray, material: str | np.ndarray, flip: bool = False) -> None:
        """Join two rows of equally many vertex ids by quads cut into triangles; `flip` turns them inside out.

        A material array names one material per quad.
        """
        lower = np.stack([first[:-1], first[1:], second[1:]], -1)
        upper = np.stack([first[:-1], second[1:], second[:-1]], -1)
        triangles = np.stack([lower, upper], 1)
        if flip:
            triangles = triangles[..., ::-1]
        per_triangle = np.repeat(material, 2) if isinstance(material, np.ndarray) else material
        self.add_triangles(triangles, per_triangle)

    def add_grid(self, ids: np.ndarray, material: str, flip: bool = False) -> None:
        """Join the rows of a grid of vertex ids [R,C]."""
        for first, second in pairwise(ids):
            self.add_strip(first, second, material, flip)

    def mirrored(self) -> HeadMesh:
        """The whole head: the half, then the mirror image of what does not lie on the midline."""
        vertices, part, side = (np.concatenate(x) for x in (self.vertices, self.part, self.side))
        triangles, materials = np.concatenate(self.triangles), np.concatenate(self.materials)
        midline = np.abs(vertices[:, 0]) < 1e-9
        vertices[midline, 0] = 0.0
        off = np.flatnonzero(~midline)
        mirror = np.arange(len(vertices))
        mirror[off] = len(vertices) + np.arange(len(off))
        twins = mirror[triangles][:, ::-1]
        return HeadMesh(
            vertices=np.concatenate([vertices, vertices[off] * [-1.0, 1.0, 1.0]]),
            triangles=np.concatenate([triangles, twins]),
            triangle_material=np.concatenate([materials, materials]).astype(str),
            part=np.concatenate([part, part[off]]),
            side=np.concatenate([side, side[off]]),
            mirror=np.concatenate([mirror, off]),
        )

"""The skin of the procedural head: rings of vertices around mouth and eyes, a triangulated sheet between them, the mouth's lining."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial import Delaunay

from faces.procedural_mesh import HalfMesh
from faces.procedural_surface import (
    CROWN_HEIGHT,
    EYE_CENTRE,
    EYE_RADIUS,
    chart_of,
    project_front,
    skin_points,
)

# All in centimetres. The lip line and the two lip borders are curves y(x), as heights over the middle of the closed mouth.
MOUTH_HEIGHT = -3.35
MOUTH_HALF_WIDTH = 2.35
_LIP_SAMPLES = 17
_LIP_LEVELS = (1.0, 0.8, 0.55, 0.3, 0.12, 0.0)
_MOUTH_RINGS = (1.5, 1.05, 0.68, 0.38, 0.16)

EYE_HALF_WIDTH = 1.34
_EYE_SAMPLES = 36
_EYE_RINGS = (0.85, 0.6, 0.4, 0.24, 0.1, 0.0)

_AZIMUTH_SCALE = 8.0
NECKLINE = -13.2


def lip_line(x: np.ndarray) -> np.ndarray:
    """Height y of the closed mouth's line at x."""
    u = np.clip(np.abs(x) / MOUTH_HALF_WIDTH, 0, 1.3)
    return MOUTH_HEIGHT - 0.05 * np.cos(np.pi * np.clip(u / 0.5, 0, 1)) + 0.06 * u**2


def _lip_height(angle: np.ndarray) -> np.ndarray:
    """Signed height of the lips' outer border over the lip line; angle 0 is upper middle, pi the lower middle."""
    u = np.sin(angle)
    # Cupid's bow: a dip in the middle, the peak at a quarter of the width.
    upper = (
        0.64
        * np.abs(np.cos(angle)) ** 1.2
        * (1 + 0.22 * np.exp(-(((u - 0.3) / 0.2) ** 2)) - 0.05 * np.exp(-((u / 0.12) ** 2)))
    )
    lower = -0.98 * np.abs(np.cos(angle)) ** 1.1
    return np.where(angle < np.pi / 2, upper, lower)


def _lip_fullness(level: np.ndarray | float, angle: np.ndarray) -> np.ndarray:
    """How far (cm) the lip stands out at `level` (0 at the lip line, 1 at its border)."""
    arch = np.sqrt(np.clip(np.abs(np.cos(angle)), 0, 1))
    upper = np.interp(level, [0, 0.12, 0.3, 0.55, 0.8, 1.0], [-0.10, 0.08, 0.22, 0.28, 0.24, 0.14])
    lower = np.interp(level, [0, 0.12, 0.3, 0.55, 0.8, 1.0], [-0.10, 0.14, 0.30, 0.34, 0.22, 0.04])
    crease = -0.12 * (1 - level) * (1 - arch)
    return np.where(angle < np.pi / 2, upper, lower) * arch + crease


def _mouth_angles() -> np.ndarray:
    half = np.linspace(0, np.pi / 2, _LIP_SAMPLES)
    return np.concatenate([half, np.pi - half[-2::-1]])


def _clipped_cos(angle: np.ndarray) -> np.ndarray:
    cosine = np.cos(angle)
    cosine[np.abs(cosine) < 1e-9] = 0.0
    return cosine


def _lip_ring(level: float) -> np.ndarray:
    """Ring [2S-1,3] of the lips from upper middle over the corner to lower middle."""
    angle = _mouth_angles()
    x = (MOUTH_HALF_WIDTH + 0.1 * level) * np.sin(angle)
    x[[0, -1]] = 0.0
    cosine = np.abs(_clipped_cos(angle))
    y = lip_line(x) + level * np.where(cosine == 0, 0.0, _lip_height(angle))
    points = project_front(x, y)
    points[:, 2] += _lip_fullness(level, angle)
    points[[0, -1], 0] = 0.0
    return points


def _mouth_ring(distance: float) -> np.ndarray:
    """Ring of skin `distance` outside the lips' border."""
    angle = _mouth_angles()
    x = (MOUTH_HALF_WIDTH + 0.1 + 0.85 * distance) * np.sin(angle)
    x[[0, -1]] = 0.0
    height = np.where(np.abs(_clipped_cos(angle)) == 0, 0.0, _lip_height(angle))
    y = lip_line(x) + height + 0.9 * distance * _clipped_cos(angle)
    points = project_front(x, y)
    fade = np.exp(-((distance / 0.3) ** 2))
    points[:, 2] += _lip_fullness(1.0, angle) * fade
    # The philtrum: a shallow groove from the upper lip to the nose.
    points[:, 2] -= np.where(
        angle < np.pi / 2, 0.1 * np.exp(-((x / 0.3) ** 2)) * np.exp(-(((distance - 0.4) / 0.5) ** 2)), 0
    )
    points[[0, -1], 0] = 0.0
    return points


def eyelid_line(x: np.ndarray) -> np.ndarray:
    """Height of the line through both eye corners at x > 0."""
    return 3.38 + 0.05 * (x - EYE_CENTRE[0])


def _eye_ring(distance: float) -> np.ndarray:
    """Closed ring [N,3] around the eye opening, `distance` outside the lid margins; starts at the outer corner, then upwards."""
    angle = np.arange(_EYE_SAMPLES) * 2 * np.pi / _EYE_SAMPLES
    sine, cosine = np.sin(angle), np.cos(angle)
    sine[np.abs(sine) < 1e-9] = 0.0
    x = EYE_CENTRE[0] + (EYE_HALF_WIDTH + 0.8 * distance) * cosine
    opening = np.where(sine > 0, 0.53 * (1 - 0.12 * cosine), 0.37 * (1 + 0.1 * cosine))
    y = eyelid_line(x) + opening * np.abs(sine) ** 1.1 * np.sign(sine) + distance * sine
    points = project_front(x, y)
    if distance == 0:
        # Lid margins follow the eyeball; the corners sit a little inside the face.
        radial = points - EYE_CENTRE
        length = np.linalg.norm(radial, axis=1, keepdims=True)
        points = EYE_CENTRE + radial * np.maximum(length, EYE_RADIUS + 0.1) / length
    return points


def _lid_inside(margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The wet edge of the lids, touching the eyeball, and a pocket behind it."""
    centre = np.array([EYE_CENTRE[0], eyelid_line(EYE_CENTRE[:1])[0], 0])
    edge = margin.copy()
    edge[:, :2] = centre[:2] + (margin[:, :2] - centre[:2]) * 0.965
    inside = EYE_RADIUS**2 - ((edge[:, :2] - EYE_CENTRE[:2]) ** 2).sum(1)
    on_ball = EYE_CENTRE[2] + np.sqrt(np.clip(inside, 0.05, None)) + 0.02
    edge[:, 2] = np.minimum(on_ball, margin[:, 2] - 0.05)
    pocket = edge.copy()
    pocket[:, :2] = centre[:2] + (margin[:, :2] - centre[:2]) * 0.95
    pocket[:, 2] = edge[:, 2] - 0.55
    return edge, pocket


@dataclass(frozen=True)
class SkinRings:
    """Vertex ids of rings that other parts and the shapes refer to: lips by level (outer first), the eye's margin."""

    lips: np.ndarray
    eye_margin: np.ndarray


def add_skin(half: HalfMesh) -> SkinRings:
    """Add skin, lips, lid margins and the lining of the mouth to the half mesh."""
    angle = _mouth_angles()
    side = np.sign(np.round(np.cos(angle), 9)).astype(int)
    mouth = [half.add_vertices(_mouth_ring(d), "skin", side) for d in _MOUTH_RINGS]
    lips = [half.add_vertices(_lip_ring(level), "lips", side) for level in _LIP_LEVELS]
    for outer, inner in zip(mouth, [*mouth[1:], lips[0]], strict=True):
        half.add_strip(outer, inner, "skin", flip=True)
    for outer, inner in pairwise(lips):
        half.add_strip(outer, inner, "lips", flip=True)
    _add_mouth_lining(half, lips[-1], side)

    eye_side = np.sign(np.round(np.sin(np.arange(_EYE_SAMPLES) * 2 * np.pi / _EYE_SAMPLES), 9)).astype(int)
    eye = [half.add_vertices(_eye_ring(d), "skin", eye_side) for d in _EYE_RINGS]
    margin = half.vertices[-1]
    edges = [half.add_vertices(points, "eyelid_margin", eye_side) for points in _lid_inside(margin)]
    # A dark upper margin stands for the lashes.
    margin_material = np.where(np.arange(_EYE_SAMPLES) < _EYE_SAMPLES // 2, "lashes", "lid_margin").astype(object)
    for index, (outer, inner) in enumerate(zip([*eye, edges[0]], [*eye[1:], *edges], strict=True)):
        material = "skin" if index < len(eye) - 1 else margin_material
        half.add_strip(np.append(outer, outer[0]), np.append(inner, inner[0]), material)

    _add_sheet(half, mouth[0], eye[0])
    return SkinRings(lips=np.stack(lips), eye_margin=eye[-1])


def _add_mouth_lining(half: HalfMesh, slit: np.ndarray, side: np.ndarray) -> None:
    """A dark bag behind the lips, wide enough for teeth and tongue."""
    angle = _mouth_angles()
    cosine = _clipped_cos(angle)
    slit_points = np.concatenate(half.vertices)[slit]
    middle = slit_points[0, 2]
    previous, material = slit, "lips"
    for widen, height, depth, flatten in (
        (0.0, 0.10, 0.35, 0.0),
        (0.1, 0.5, 0.6, 0.05),
        (0.5, 1.35, 0.9, 0.2),
        (0.5, 1.9, 2.6, 0.7),
        (0.2, 1.6, 4.6, 1.0),
    ):
        x = (MOUTH_HALF_WIDTH + widen) * np.sin(angle)
        x[[0, -1]] = 0.0
        y = lip_line(x) + height * np.sign(cosine) * np.abs(cosine) ** 0.7
        z = (1 - flatten) * slit_points[:, 2] + flatten * middle - depth
        ring = half.add_vertices(np.stack([x, y, z], -1), "mouth_interior", side)
        half.add_strip(previous, ring, material, flip=True)
        previous, material = ring, "mouth_interior"
    back = half.add_vertices(np.array([[0.0, MOUTH_HEIGHT, middle - 5.4]]), "mouth_interior")
    half.add_strip(previous, np.repeat(back, len(previous)), "mouth_interior", flip=True)


def _sheet_lines() -> tuple[np.ndarray, np.ndarray]:
    """Azimuths and heights of the sheet's grid: fine on nose and face, coarse on the back of the head."""
    azimuth = np.concatenate(
        [
            np.radians(np.arange(0, 14, 1.4)),
            np.radians(np.arange(14, 60, 2.6)),
            np.linspace(np.radians(60), np.pi, 20),
        ]
    )
    bust = np.linspace(-18.5, NECKLINE, 9)
    neck = np.linspace(NECKLINE, -8.2, 11)[1:]
    face = np.concatenate([np.arange(-7.85, -1.6, 0.36), np.arange(-1.3, 1.3, 0.2), np.arange(1.5, 5.4, 0.36)])
    crown = np.linspace(5.8, CROWN_HEIGHT - 0.5, 16)
    return azimuth, np.concatenate([bust, neck, face, crown])


def _add_sheet(half: HalfMesh, mouth: np.ndarray, eye: np.ndarray) -> None:
    """Triangulate chart points between the outermost rings of mouth and eye, the midlines, crown and bust."""
    points = np.concatenate(half.vertices)
    rings = []
    for ring in (mouth, eye):
        azimuth, height = chart_of(points[ring])
        azimuth[points[ring, 0] == 0.0] = 0.0
        rings.append(np.stack([_AZIMUTH_SCALE * azimuth, height], -1))
    azimuth_lines, height_lines = _sheet_lines()
    a, h = (g.ravel() for g in np.meshgrid(azimuth_lines, height_lines))
    grid = np.stack([_AZIMUTH_SCALE * a, h], -1)
    # Close the mouth's open ring along the midline.
    polygons = [rings[0], rings[1]]
    free = np.ones(len(grid), bool)
    for polygon in polygons:
        nearest = np.linalg.norm(grid[:, None] - polygon[None], axis=-1).min(1)
        free &= ~_inside(grid, polygon) & (nearest > 0.2)
    on_midline = (a == 0) & (h < rings[0][0, 1]) & (h > rings[0][-1, 1])
    free &= ~on_midline
    sheet = half.add_vertices(skin_points(a[free], h[free]), "skin")
    chart = np.concatenate([*rings, grid[free]])
    ids = np.concatenate([mouth, eye, sheet])
    triangles = Delaunay(chart).simplices
    corners = chart[triangles]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    triangles[area < 0] = triangles[area < 0][:, ::-1]
    centre = corners.mean(1)
    keep = np.abs(area) > 1e-9
    for polygon in polygons:
        keep &= ~_inside(centre, polygon)
    material = np.where(centre[:, 1] < NECKLINE, "shirt", "skin").astype(object)
    half.add_triangles(ids[triangles[keep]], material[keep])
    top = h[free] == height_lines[-1]
    row = sheet[top]
    crown = half.add_vertices(skin_points(np.zeros(1), np.array([CROWN_HEIGHT])), "skin")
    half.add_strip(row, np.repeat(crown, len(row)), "skin")


def _inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Even-odd test [N] of points [N,2] in a closed polygon [K,2]."""
    x, y = points[:, None, 0], points[:, None, 1]
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = ((y0 > y) != (y1 > y)) & (x < x0 + (x1 - x0) * (y - y0) / (y1 - y0))
    return crossing.sum(1) % 2 == 1

"""Eyeballs, teeth, tongue, ears, eyebrows and hair of the procedural head (centimetres, the half with x >= 0)."""

from __future__ import annotations

import numpy as np

from faces.procedural_mesh import HalfMesh
from faces.procedural_skin import MOUTH_HEIGHT
from faces.procedural_surface import CROWN_HEIGHT, EYE_CENTRE, EYE_RADIUS, project_front, skin_points

_IRIS_DEGREES = 28.0
_PUPIL_DEGREES = 11.0
_TEETH_FRONT = 9.95


def add_parts(half: HalfMesh) -> None:
    """Add everything but the skin."""
    _add_eyeball(half)
    _add_teeth(half, "upper_teeth", edge=MOUTH_HEIGHT - 0.14, height=1.0, width=2.2, front=_TEETH_FRONT)
    _add_teeth(half, "lower_teeth", edge=MOUTH_HEIGHT - 0.2, height=-0.95, width=1.95, front=_TEETH_FRONT - 0.25)
    _add_tongue(half)
    _add_ear(half)
    _add_brow(half)
    _add_hair(half)


def _add_eyeball(half: HalfMesh) -> None:
    """A sphere whose rings lie around the optical axis, so iris and pupil have clean borders."""
    degrees = np.array([0.01, 5.5, _PUPIL_DEGREES, 19.0, _IRIS_DEGREES, 38.0, 52.0, 68.0, 86.0, 106.0, 130.0, 155.0])
    around = np.linspace(0, 2 * np.pi, 25)[:-1]
    polar, turn = np.meshgrid(np.radians(degrees), around, indexing="ij")
    offset = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], -1)
    rings = half.add_vertices(EYE_CENTRE + EYE_RADIUS * offset[1:], "eyeball")
    front, back = (half.add_vertices(EYE_CENTRE + np.array([[0, 0, z]]), "eyeball") for z in (EYE_RADIUS, -EYE_RADIUS))
    closed = np.concatenate([rings, rings[:, :1]], axis=1)
    first = np.repeat(front, closed.shape[1])
    for index, (inner, outer) in enumerate(
        zip([first, *closed], [*closed, np.repeat(back, closed.shape[1])], strict=True)
    ):
        end = degrees[index + 1] if index + 1 < len(degrees) else 180.0
        material = "pupil" if end <= _PUPIL_DEGREES else "iris" if end <= _IRIS_DEGREES else "eye_white"
        half.add_strip(inner, outer, material, flip=True)


def _add_teeth(half: HalfMesh, part: str, *, edge: float, height: float, width: float, front: float) -> None:
    """Half a dental arch as one strip, notched between the teeth; `height` is signed from the biting edge to the gum."""
    widths = np.array([0.42, 0.33, 0.38, 0.35, 0.35, 0.5, 0.5]) * (1.0 if height > 0 else 0.85)
    borders = np.concatenate([[0.0], np.cumsum(widths)])
    within = np.array([0.0, 0.12, 0.5, 0.88])
    samples = np.append((borders[:-1, None] + within * widths[:, None]).ravel(), borders[-1])
    notch = np.append(np.tile([1.0, 0.15, 0.0, 0.15], len(widths)), 1.0)
    turn = samples / borders[-1] * np.radians(80)
    x, z = width * np.sin(turn), front - 3.6 * (1 - np.cos(turn))
    inward = np.stack([-np.sin(turn), np.zeros_like(turn), -np.cos(turn)], -1)
    rows = []
    # From the gum over the front to the biting edge and up the back.
    shares = (1.0, 0.75, 0.4, 0.08, 0.0, 0.0, 0.9)
    for share, depth in zip(shares, (0.25, 0.03, 0.0, 0.03, 0.12, 0.35, 0.5), strict=True):
        y = edge + height * share + np.sign(height) * 0.10 * notch * (share < 0.3)
        points = np.stack([x, y, z], -1) + inward * (depth + 0.07 * notch * (depth < 0.3))[:, None]
        points[0, 0] = 0.0
        rows.append(points)
    ids = half.add_vertices(np.stack(rows), part)
    half.add_grid(ids, "teeth", flip=height > 0)


def _add_tongue(half: HalfMesh) -> None:
    """The upper side of the tongue: a flattened half ellipsoid with a shallow groove along the middle."""
    along, across = np.meshgrid(np.linspace(0, 1, 14) ** 0.8, np.linspace(0, 1, 8), indexing="ij")
    width = 1.6 * np.sqrt(np.clip(1 - along**5, 0, 1))
    x = width * np.sin(across * np.pi / 2)
    y = MOUTH_HEIGHT - 0.75 - 0.55 * (1 - np.cos(across * np.pi / 2)) * width / 1.6
    y = y - 0.10 * np.exp(-((x / 0.25) ** 2)) * (1 - along**4) + 0.2 * np.sin(np.pi * along)
    z = _TEETH_FRONT - 5.2 + 4.6 * along
    x[:, 0] = 0.0
    top = half.add_vertices(np.stack([x, y, z], -1)[:-1], "tongue")
    tip = half.add_vertices(np.array([[0.0, y[-1, 0], z[-1, 0]]]), "tongue")
    half.add_grid(top, "tongue")
    half.add_strip(top[-1], np.repeat(tip, top.shape[1]), "tongue")
    below = np.stack([x, y - 0.7 * (1 - across), z - 0.02], -1)[:-1, :-1]
    underside = np.concatenate([half.add_vertices(below, "tongue"), top[:, -1:]], axis=1)
    half.add_grid(underside, "tongue", flip=True)
    half.add_strip(underside[-1], np.repeat(tip, underside.shape[1]), "tongue", flip=True)


def _add_ear(half: HalfMesh) -> None:
    """A shell with raised rim, hollow and lobe, standing off the side of the head."""
    radius = np.array([0.0, 0.25, 0.45, 0.62, 0.78, 0.9, 1.0, 0.96, 0.8, 0.5])
    depth = np.array([-0.22, -0.24, -0.12, 0.10, 0.02, 0.26, 0.18, 0.0, -0.25, -0.6])
    around = np.linspace(0, 2 * np.pi, 29)[:-1]
    r, turn = np.meshgrid(radius, around, indexing="ij")
    up, back = np.sin(turn), np.cos(turn)
    # Wide and round above, narrower towards the lobe; the front edge is nearly straight.
    width = np.where(back > 0, 1.75, 0.95) * np.interp(up, [-1, -0.5, 0.3, 1], [0.75, 0.72, 1.0, 1.05])
    local_up, local_back = 2.95 * r * up, r * width * back
    rise = np.broadcast_to(depth[:, None], r.shape) * np.where(up < -0.6, 0.5, 1.0)
    # The front edge meets the head, the back edge stands off.
    x = 7.15 + 0.38 * local_back + 0.9 * rise - 0.06 * np.maximum(-local_up, 0)
    z = -0.6 - 0.95 * local_back - 0.16 * local_up + 0.25 * rise
    y = 1.5 + local_up - 0.1 * local_back
    ids = half.add_vertices(np.stack([x, y, z], -1)[1:], "ear")
    middle = half.add_vertices(np.array([[x[0, 0], y[0, 0], z[0, 0]]]), "ear")
    closed = np.concatenate([ids, ids[:, :1]], axis=1)
    half.add_strip(np.repeat(middle, closed.shape[1]), closed[0], "skin")
    half.add_grid(closed, "skin")


def _add_brow(half: HalfMesh) -> None:
    """A strip laid on the brow ridge, thick at its inner end, thin at its outer end, its border sunk into the skin."""
    along = np.linspace(0, 1, 17)
    across = np.linspace(-1, 1, 7)
    x = 1.15 + 3.75 * along
    middle = 4.85 + 0.62 * np.sin(np.pi * np.clip(along * 0.86 + 0.04, 0, 1)) ** 1.1 - 0.28 * along**3
    thickness = 0.31 * np.clip(along / 0.1, 0.5, 1) * (1 - 0.75 * along**2)
    rows = []
    for step in across:
        points = project_front(x, middle + step * thickness)
        points[:, 2] += 0.13 * (1 - step**2) * np.clip(np.minimum(along, 1 - along) / 0.08, 0, 1) - 0.03
        rows.append(points)
    half.add_grid(half.add_vertices(np.stack(rows), "brow"), "brows")


def _hairline(azimuth: np.ndarray) -> np.ndarray:
    """Chart height of the hair's border: forehead, temple, sideburn, above the ear, nape."""
    degrees = [0, 20, 38, 52, 62, 74, 82, 92, 104, 116, 140, 180]
    heights = [10.4, 10.4, 9.9, 8.5, 6.8, 3.4, 2.4, 4.2, 3.4, -0.5, -3.2, -3.8]
    return np.interp(np.degrees(azimuth), degrees, heights)


def _add_hair(half: HalfMesh) -> None:
    """A short cap of hair: the skin pushed outwards, its border sunk into the skin."""
    azimuth = np.linspace(0, np.pi, 69)
    share = np.array([0.0, 0.03, 0.08, 0.15, 0.25, 0.37, 0.5, 0.63, 0.75, 0.86, 0.94])
    border = _hairline(azimuth)
    rows = []
    for q in share:
        points = skin_points(azimuth, border + q * (CROWN_HEIGHT - border))
        outward = points - np.array([0.0, 4.0, -0.5])
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        front = np.clip(np.cos(azimuth), 0, 1) ** 2
        lift = np.interp(q, [0, 0.03, 0.15, 0.5, 1], [-0.12, 0.30, 0.75, 1.15, 1.25])
        quiff = 1 + 0.6 * front * np.exp(-(((q - 0.16) / 0.2) ** 2))
        nape = 1 - np.interp(azimuth, [1.9, 2.6], [0.0, 0.7]) * np.interp(q, [0.0, 0.3], [1.0, 0.0])
        strands = 0.05 * np.sin(34 * azimuth) * np.sin(np.pi * q) ** 0.5
        lift = lift * quiff * nape + strands
        points = points + outward * np.where(q == 0, -0.12, lift)[..., None]
        points[[0, -1], 0] = 0.0
        rows.append(points)
    ids = half.add_vertices(np.stack(rows), "hair")
    half.add_grid(ids, "hair")
    top = skin_points(np.zeros(1), np.array([CROWN_HEIGHT])) + np.array([[0.0, 1.25, 0.0]])
    half.add_strip(ids[-1], np.repeat(half.add_vertices(top, "hair"), len(azimuth)), "hair")

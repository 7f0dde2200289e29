"""Eyeballs, teeth, tongue, ears, eyebrows and hair of the procedural head (centimetres, the half with x >= 0)."""

from __future__ import annotations

import numpy as np

from faces.procedural_mesh import HalfMesh
from faces.procedural_skin import MOUTH_HEIGHT
from faces.procedural_surface import CROWN_HEIGHT, EYE_CENTRE, EYE_RADIUS, project_front, skin_points

_IRIS_DEGREES = 27.0
_PUPIL_DEGREES = 11.0
_TEETH_FRONT = 9.95


def add_parts(half: HalfMesh) -> None:
    """Add everything but the skin."""
    _add_eyeball(half)
    _add_teeth(half, "upper_teeth", edge=MOUTH_HEIGHT + 0.12, height=1.0, width=2.35, front=_TEETH_FRONT)
    _add_teeth(
        half, "lower_teeth", edge=MOUTH_HEIGHT - 0.05, height=-0.95, width=2.15, front=_TEETH_FRONT - 0.25
    )
    _add_tongue(half)
    _add_ear(half)
    _add_brow(half)
    _add_hair(half)


def _add_eyeball(half: HalfMesh) -> None:
    """A sphere whose rings lie around the optical axis, so iris and pupil have clean borders."""
    degrees = np.array(
        [0.01, 5.5, _PUPIL_DEGREES, 19.0, _IRIS_DEGREES, 38.0, 52.0, 68.0, 86.0, 106.0, 130.0, 155.0]
    )
    around = np.linspace(0, 2 * np.pi, 25)[:-1]
    polar, turn = np.meshgrid(np.radians(degrees), around, indexing="ij")
    offset = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], -1)
    rings = half.add_vertices(EYE_CENTRE + EYE_RADIUS * offset[1:], "eyeball")
    front, back = (half.add_vertices(EYE_CENTRE + [[0, 0, z]], "eyeball") for z in (EYE_RADIUS, -EYE_RADIUS))
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
    samples, notch = [], []
    for start, end in zip(borders[:-1], borders[1:], strict=True):
        samples += [start, start + 0.12 * (end - start), 0.5 * (start + end), end - 0.12 * (end - start)]
        notch += [1.0, 0.15, 0.0, 0.15]
    samples, notch = np.append(samples, borders[-1]), np.append(notch, 1.0)
    turn = samples / borders[-1] * np.radians(80)
    x, z = width * np.sin(turn), front - 3.6 * (1 - np.cos(turn))
    inward = np.stack([-np.sin(turn), np.zeros_like(turn), -np.cos(turn)], -1)
    rows = []
    for share, depth in (
        (1.0, 0.25),
        (0.75, 0.03),
        (0.4, 0.0),
        (0.08, 0.03),
        (0.0, 0.12),
        (0.0, 0.35),
        (0.9, 0.5),
    ):
        y = edge + height * share + np.sign(height) * 0.10 * notch * (share < 0.3)
        points = np.stack([x, y, z], -1) + inward * (depth + 0.07 * notch * (depth < 0.3))[:, None]
        points[0, 0] = 0.0
        rows.append(points)
    ids = half.add_vertices(np.stack(rows), part)
    half.add_grid(ids, "teeth", flip=height > 0)
    half.add_grid(
        half.add_vertices(
            np.stack([rows[0] + [0, 0.9 * np.sign(height), -0.15], rows[0] + inward * -0.06]), part
        ),
        "tongue",
        flip=height < 0 if height < 0 else False,
    )


def _add_tongue(half: HalfMesh) -> None:
    """The upper side of the tongue: a flattened half ellipsoid with a shallow groove along the middle."""
    along, across = np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 8), indexing="ij")
    width = (
        1.55
        * np.sqrt(np.clip(1 - (2 * np.clip(along, 0.3, 1) - 0.6) ** 2 / 1.96, 0, 1))
        * np.clip((1 - along) / 0.25, 0, 1) ** 0.5
    )
    turn = across * np.pi * 0.8
    x = width * np.sin(turn / 0.8 / 2) * np.where(turn > np.pi / 2, 0.97, 1.0)
    y = (
        MOUTH_HEIGHT
        - 0.95
        + 0.5 * np.cos(turn)
        - 0.12 * np.exp(-((x / 0.3) ** 2))
        + 0.25 * np.sin(np.pi * along)
    )
    z = _TEETH_FRONT - 5.2 + 4.5 * along
    x[:, 0] = 0.0
    half.add_grid(half.add_vertices(np.stack([x, y, z], -1), "tongue"), "tongue")


def _add_ear(half: HalfMesh) -> None:
    """A shell with raised rim, hollow and lobe, standing off the side of the head."""
    radius = np.array([0.0, 0.25, 0.45, 0.62, 0.78, 0.9, 1.0, 0.96, 0.8, 0.5])
    depth = np.array([-0.35, -0.35, -0.15, 0.12, 0.05, 0.30, 0.22, 0.0, -0.25, -0.6])
    around = np.linspace(0, 2 * np.pi, 29)[:-1]
    r, turn = np.meshgrid(radius, around, indexing="ij")
    up, back = np.sin(turn), np.cos(turn)
    outline_back = np.where(back > 0, 1.45, 1.0) * back * np.where(up < 0, 1 - 0.35 * up**2, 1 + 0.08 * up)
    local_up = 3.05 * r * up
    local_back = r * outline_back * 1.15
    rise = np.broadcast_to(depth[:, None], r.shape) * np.where(up < -0.6, 0.5, 1.0)
    # The front edge meets the head, the back edge stands off.
    x = 7.05 + 0.42 * local_back + rise * 0.9 - 0.05 * np.abs(local_up)
    z = -0.35 - local_back * 0.95 - 0.18 * local_up + 0.25 * rise
    y = 1.6 + local_up - 0.1 * local_back
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
    thickness = 0.36 * np.clip(along / 0.08, 0.45, 1) * (1 - 0.75 * along**2)
    rows = []
    for step in across:
        points = project_front(x, middle + step * thickness)
        points[:, 2] += 0.13 * (1 - step**2) * np.clip(np.minimum(along, 1 - along) / 0.08, 0, 1) - 0.03
        rows.append(points)
    half.add_grid(half.add_vertices(np.stack(rows), "brow"), "brows")


def _hairline(azimuth: np.ndarray) -> np.ndarray:
    """Chart height of the hair's border: forehead, temple, sideburn, above the ear, nape."""
    degrees = [0, 20, 38, 52, 62, 74, 82, 92, 104, 116, 140, 180]
    heights = [11.6, 11.4, 10.4, 8.3, 6.4, 3.2, 2.4, 4.2, 3.4, -0.5, -3.2, -3.6]
    return np.interp(np.degrees(azimuth), degrees, heights)


def _add_hair(half: HalfMesh) -> None:
    """A short cap of hair: the skin pushed outwards, its border sunk into the skin."""
    azimuth = np.linspace(0, np.pi, 45)
    share = np.array([0.0, 0.03, 0.08, 0.15, 0.25, 0.37, 0.5, 0.63, 0.75, 0.86, 0.94])
    border = _hairline(azimuth)
    rows = []
    for q in share:
        points = skin_points(azimuth, border + q * (CROWN_HEIGHT - border))
        outward = points - np.array([0.0, 4.0, -0.5])
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        front = np.clip(np.cos(azimuth), 0, 1) ** 2
        lift = np.interp(q, [0, 0.03, 0.15, 0.5, 1], [-0.12, 0.22, 0.55, 0.8, 0.85]) * (
            1 + 0.5 * front * np.exp(-(((q - 0.2) / 0.25) ** 2))
        )
        points = points + outward * np.where(q == 0, -0.12, lift)[..., None]
        points[[0, -1], 0] = 0.0
        rows.append(points)
    ids = half.add_vertices(np.stack(rows), "hair")
    half.add_grid(ids, "hair")
    top = skin_points(np.zeros(1), np.array([CROWN_HEIGHT])) + [[0.0, 0.85, 0.0]]
    half.add_strip(ids[-1], np.repeat(half.add_vertices(top, "hair"), len(azimuth)), "hair")

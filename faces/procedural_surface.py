"""The skin of the procedural head as an implicit surface: smoothly joined ellipsoids and capsules, in centimetres.

Smooth minimum and ellipsoid bound follow Quilez, "Distance functions" and "Smooth minimum". Everything is given for x >= 0 and
evaluated at |x|, so the surface is its own mirror image. Origin: between the ears, a little below the eyes.
"""

from __future__ import annotations

import numpy as np

EYE_CENTRE = np.array([3.15, 3.4, 7.85])
EYE_RADIUS = 1.25
LID_RADIUS = 1.40

Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float], float]
Capsule = tuple[tuple[float, float, float], tuple[float, float, float], float, float, float]

# (centre, radii, blend): joined in this order, each blended over `blend` centimetres.
_ELLIPSOIDS: list[Ellipsoid] = [
    ((0, 6.0, -0.6), (7.5, 8.4, 8.9), 1.0),  # skull
    ((0, 4.6, 2.4), (6.7, 7.6, 7.0), 2.5),  # forehead and midface
    ((0, -1.6, 3.2), (5.5, 6.1, 6.0), 3.0),  # lower face
    ((3.9, 1.0, 6.2), (2.4, 1.6, 2.1), 2.6),  # cheekbone
    ((2.9, -2.2, 6.7), (2.3, 2.7, 2.3), 2.4),  # cheek
    ((0, -2.9, 7.5), (2.9, 2.9, 2.95), 2.0),  # the round of the mouth
    ((0, -6.6, 8.2), (1.5, 1.1, 1.35), 2.2),  # chin
]
# (start, end, start radius, end radius, blend)
_CAPSULES: list[Capsule] = [
    ((4.75, -2.9, 1.4), (1.2, -6.7, 7.2), 0.8, 0.9, 2.8),  # jaw line
    ((0.9, 5.0, 8.5), (4.3, 4.9, 7.0), 0.75, 0.7, 1.7),  # brow ridge
    ((0, -3.0, -2.0), (0, -16.0, -3.0), 5.1, 5.4, 2.4),  # neck
    ((0, -15.5, -3.2), (13.0, -18.6, -3.6), 4.4, 3.6, 4.0),  # shoulder
    ((0.0, -20.0, 0.5), (7.5, -20.5, -0.5), 5.2, 4.5, 3.5),  # chest
]
_SOCKET = (np.array([3.1, 3.3, 10.3]), np.array([1.8, 1.15, 1.7]), 1.6)
_NOSE_CAPSULES: list[Capsule] = [
    ((0, 4.5, 8.7), (0, 0.8, 10.7), 0.6, 0.85, 2.0),  # bridge
    ((0, 0.55, 11.2), (0, 0.25, 11.3), 0.85, 0.8, 1.0),  # tip
    ((0.95, 0.0, 10.35), (1.15, 0.2, 9.5), 0.5, 0.6, 0.8),  # wing
    ((0, -0.3, 10.9), (0, -0.9, 10.0), 0.4, 0.4, 0.6),  # septum
]
_NOSTRIL = (np.array([0.5, -0.55, 10.6]), np.array([0.3, 0.3, 0.45]), 0.3)


def _ellipsoid(points: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    scaled = (points - centre) / radii
    length = np.sqrt((scaled**2).sum(-1))
    gradient = np.sqrt(((scaled / radii) ** 2).sum(-1))
    return length * (length - 1) / np.maximum(gradient, 1e-9)


def _capsule(points: np.ndarray, start: np.ndarray, end: np.ndarray, first: float, second: float) -> np.ndarray:
    axis = end - start
    along = np.clip((points - start) @ axis / (axis @ axis), 0, 1)
    offset = points - start - along[:, None] * axis
    return np.sqrt((offset**2).sum(-1)) - (first + (second - first) * along)


def _join(first: np.ndarray, second: np.ndarray, blend: float) -> np.ndarray:
    share = np.clip(0.5 + 0.5 * (second - first) / blend, 0, 1)
    return second + (first - second) * share - blend * share * (1 - share)


def skin_distance(points: np.ndarray) -> np.ndarray:
    """Approximate signed distance [N] in cm of points [N,3] to the skin (negative inside), mouth and eyes closed over."""
    points = points.copy()
    points[:, 0] = np.sqrt(points[:, 0] ** 2 + 0.01)
    centre, radii, _ = _ELLIPSOIDS[0]
    distance = _ellipsoid(points, np.array(centre), np.array(radii))
    for centre, radii, blend in _ELLIPSOIDS[1:]:
        distance = _join(distance, _ellipsoid(points, np.array(centre), np.array(radii)), blend)
    distance = _join_capsules(points, distance, _CAPSULES)
    centre_s, radii_s, blend = _SOCKET
    distance = -_join(-distance, _ellipsoid(points, centre_s, radii_s), blend)
    distance = _join(distance, np.sqrt(((points - EYE_CENTRE) ** 2).sum(-1)) - LID_RADIUS, 0.35)
    distance = _join_capsules(points, distance, _NOSE_CAPSULES)
    centre_n, radii_n, blend = _NOSTRIL
    return -_join(-distance, _ellipsoid(points, centre_n, radii_n), blend)


def _join_capsules(points: np.ndarray, distance: np.ndarray, capsules: list[Capsule]) -> np.ndarray:
    for start, end, first, second, blend in capsules:
        distance = _join(distance, _capsule(points, np.array(start), np.array(end), first, second), blend)
    return distance


def cast_rays(start: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """First points [N,3] of the skin along rays [N,3] from outside (unit directions), by sphere tracing."""
    points = start.copy()
    moving = np.arange(len(points))
    for _ in range(_MAX_STEPS):
        distance = skin_distance(points[moving])
        points[moving] += 0.9 * distance[:, None] * direction[moving]
        moving = moving[np.abs(distance) > _TOLERANCE]
        if len(moving) == 0:
            break
    return points


def project_front(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Skin points [N,3] seen from the front at (x, y) cm."""
    start = np.stack([x, y, np.full_like(x, 16.0)], -1)
    return cast_rays(start, np.tile([0.0, 0.0, -1.0], (len(x), 1)))


# Sphere tracing stops when all points lie this close (cm) to the surface.
_TOLERANCE = 1e-4
_MAX_STEPS = 48

# The chart of the skin: azimuth (0 in front, pi at the back) and a height coordinate. Below _EQUATOR rays leave a vertical axis,
# above it they fan out to the crown, so every skin point is met by one ray.
_EQUATOR = 5.0
_CROWN_SCALE = 8.0
CROWN_HEIGHT = _EQUATOR + _CROWN_SCALE * np.pi / 2


def _axis_depth(height: np.ndarray) -> np.ndarray:
    return np.interp(height, [-14.0, -6.0], [-2.6, 0.0])


def _ray_elevation(azimuth: np.ndarray, height: np.ndarray) -> np.ndarray:
    # In front the rays dip around the chin, whose underside level rays would miss.
    dip = np.interp(height, [-15.0, -9.0, -4.5, 3.0], [0.0, -0.62, -0.5, 0.0])
    front = np.cos(np.clip(azimuth, 0, np.pi / 2)) ** 2
    return np.where(height > _EQUATOR, (height - _EQUATOR) / _CROWN_SCALE, dip * front)


def skin_points(azimuth: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Skin points [N,3] at chart coordinates [N]."""
    elevation = _ray_elevation(azimuth, height)
    level = np.cos(elevation)
    outward = np.stack([np.sin(azimuth) * level, np.sin(elevation), np.cos(azimuth) * level], -1)
    origin = np.stack([0 * height, np.minimum(height, _EQUATOR), _axis_depth(height)], -1)
    points = cast_rays(origin + 26.0 * outward, -outward)
    points[azimuth == 0.0, 0] = 0.0
    points[azimuth == np.pi, 0] = 0.0
    return points


def chart_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chart coordinates (azimuth, height) [N] of skin points [N,3]; the inverse of `skin_points`."""
    height = points[:, 1].copy()
    azimuth = np.arctan2(points[:, 0], points[:, 2])
    for _ in range(30):
        forward = points[:, 2] - _axis_depth(height)
        azimuth = np.arctan2(points[:, 0], forward)
        radius = np.hypot(points[:, 0], forward)
        low = points[:, 1] - radius * np.tan(np.minimum(_ray_elevation(azimuth, np.minimum(height, _EQUATOR)), 0))
        high = _EQUATOR + _CROWN_SCALE * np.arctan2(points[:, 1] - _EQUATOR, radius)
        height = 0.5 * height + 0.5 * np.where(points[:, 1] > _EQUATOR, high, low)
    return azimuth, height

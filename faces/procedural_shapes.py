"""The 52 ARKit-named movements and the identity shapes of the procedural head, as smooth fields over its rest pose.

Every function gives displacements [V,3] in centimetres. One-sided shapes are written for the person's left (x > 0); the right one is the
exact mirror image by `HeadMesh.mirror`. Upper and lower lip are told apart by the side of the lip line, not by distance,
so that they part cleanly; displacements of both agree in the corners of the mouth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from faces.arkit import ARKIT_NAMES
from faces.procedural_mesh import HeadMesh
from faces.procedural_skin import MOUTH_HALF_WIDTH, eyelid_line, lip_line
from faces.procedural_surface import EYE_CENTRE

Field = Callable[["RestFields"], np.ndarray]

_JAW_JOINT = np.array([0.0, 0.8, 0.4])
_JAW_OPEN_DEGREES = 14.5
_GAZE_DEGREES = {"In": 32.0, "Out": 32.0, "Up": 24.0, "Down": 28.0}
_BROW_HEIGHT = 5.2


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, 3t^2 - 2t^3 between them."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _along(weight: np.ndarray, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    return weight[:, None] * np.array([x, y, z])


class RestFields:
    """Weights [V] over the rest pose from which the shapes are put together."""

    def __init__(self, mesh: HeadMesh, eye_margin: np.ndarray, slit: np.ndarray) -> None:
        self.mesh = mesh
        self.points = mesh.vertices
        self.x, self.y, self.z = mesh.vertices.T
        self.soft = mesh.is_part("skin", "lips", "mouth_interior", "eyelid_margin", "brow").astype(float)
        self.left = smoothstep(self.x, -1.3, 1.3)
        self._measure_mouth(slit)
        self._measure_jaw()
        self._measure_lids(eye_margin)

    def _measure_mouth(self, slit: np.ndarray) -> None:
        mesh, lining = self.mesh, self.mesh.is_part("mouth_interior")
        self.above_lips = self.y - lip_line(self.x)
        tagged = mesh.is_part("lips", "mouth_interior")
        lip_side = np.where(tagged, mesh.side, np.sign(np.round(self.above_lips, 9)))
        u = np.clip(np.abs(self.x) / MOUTH_HALF_WIDTH, 0, 1)
        # How far lips can part at x: 1 in the middle, 0 from the corners outwards.
        self.parting = np.sqrt(1 - u**2)
        slit_x, slit_z = self.points[slit, 0], self.points[slit, 2]
        order = np.argsort(slit_x)
        depth = np.interp(np.abs(self.x), slit_x[order], slit_z[order]) - self.z
        inward = np.where(lining, np.exp(-((np.clip(depth, 0, None) / 1.1) ** 2)), 1.0)
        beside = np.clip(np.abs(self.x) - MOUTH_HALF_WIDTH, 0, None)
        beyond = np.clip(np.abs(self.above_lips) - 0.8, 0, None)
        near = np.exp(-((beside / 1.3) ** 2) - (beyond / 1.0) ** 2)
        self.mouth = self.soft * near * inward * smoothstep(self.z, 2.0, 6.0)
        self.upper_lip = self.mouth * self.parting * (lip_side > 0)
        self.lower_lip = self.mouth * self.parting * (lip_side < 0)
        self.lip_side = lip_side
        across = np.where(self.x < MOUTH_HALF_WIDTH, 1.7, 1.5)
        corner = np.exp(-(((self.x - MOUTH_HALF_WIDTH) / across) ** 2) - (self.above_lips / 1.6) ** 2)
        self.corner = self.soft * corner * inward * smoothstep(self.z, 1.0, 6.0)

    def _measure_jaw(self) -> None:
        share = smoothstep(np.abs(self.above_lips), 0.0, 2.6)
        below = 0.5 - 0.5 * self.lip_side * (self.parting + (1 - self.parting) * share)
        region = smoothstep(self.z, -0.5, 5.0) * smoothstep(self.y + 0.3 * self.z, -12.5, -6.8)
        self.jaw_region = np.where(self.soft > 0, region, 0.0)
        self.below_lips = below
        rigid = self.mesh.is_part("lower_teeth", "tongue")
        self.jaw = np.where(rigid, 1.0, self.jaw_region * below * (self.soft > 0))
        self.jaw_turn = _rotate_about_x(self.points - _JAW_JOINT, _JAW_OPEN_DEGREES) - (
            self.points - _JAW_JOINT
        )

    def _measure_lids(self, margin: np.ndarray) -> None:
        """Angle and distance of each vertex about the left eye's level axis, and what would bring its lid to the closing line."""
        y, z = self.y - EYE_CENTRE[1], self.z - EYE_CENTRE[2]
        self.lid_angle, self.lid_radius = np.arctan2(y, z), np.hypot(y, z)
        x = self.x[margin]
        angle, radius = self.lid_angle[margin], self.lid_radius[margin]
        order = np.argsort(x, kind="stable")
        is_upper, is_lower = self.mesh.side[margin][order] >= 0, self.mesh.side[margin][order] <= 0

        def over_x(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
            return np.interp(self.x, x[order][chosen], values[order][chosen])

        self.upper_angle, self.lower_angle = over_x(angle, is_upper), over_x(angle, is_lower)
        upper_radius, lower_radius = over_x(radius, is_upper), over_x(radius, is_lower)
        self.closed_angle = 0.22 * self.upper_angle + 0.78 * self.lower_angle
        closed_radius = 0.5 * (upper_radius + lower_radius)
        tagged = self.mesh.is_part("eyelid_margin") | np.isin(np.arange(len(self.x)), margin)
        above = np.where(tagged, self.mesh.side, np.sign(self.y - eyelid_line(self.x)))
        reach = self.soft * (self.x > 0.6) * (self.z > 4) * (1 - self.mesh.is_part("brow"))
        reach = reach * smoothstep(-np.abs(self.x - EYE_CENTRE[0]), -2.3, -1.3)
        self.upper_lid = reach * (above > 0) * (1 - smoothstep(self.lid_angle - self.upper_angle, 0.03, 0.85))
        self.lower_lid = reach * (above < 0) * (1 - smoothstep(self.lower_angle - self.lid_angle, 0.03, 0.7))
        self.upper_radius_change = closed_radius - upper_radius
        self.lower_radius_change = closed_radius - lower_radius

    def gaussian(self, x: float, y: float, width: float, height: float) -> np.ndarray:
        """A bell over the front of the face, centred at (x, y) cm."""
        bell = np.exp(-(((self.x - x) / width) ** 2) - ((self.y - y) / height) ** 2)
        return self.soft * bell * smoothstep(self.z, 0.0, 5.0)

    def brow(self, x: float, width: float) -> np.ndarray:
        """Weight of the brow around x: fades slowly up the forehead, fast towards the eye."""
        rise = self.y - _BROW_HEIGHT
        vertical = np.where(rise > 0, np.exp(-((rise / 2.6) ** 2)), np.exp(-((rise / 0.8) ** 2)))
        return self.soft * vertical * np.exp(-(((self.x - x) / width) ** 2)) * smoothstep(self.z, 1.0, 5.0)

    def move_lids(self, upper: float, lower: float) -> np.ndarray:
        """Turn the left lids about the eye by shares of the way to the closing line (negative: open wider)."""
        turn = upper * self.upper_lid * (self.closed_angle - self.upper_angle)
        turn = turn + lower * self.lower_lid * (self.closed_angle - self.lower_angle)
        grow = max(upper, 0.0) * self.upper_lid * self.upper_radius_change
        grow = grow + max(lower, 0.0) * self.lower_lid * self.lower_radius_change
        radius, angle = self.lid_radius + grow, self.lid_angle + turn
        y = radius * np.sin(angle) - self.lid_radius * np.sin(self.lid_angle)
        z = radius * np.cos(angle) - self.lid_radius * np.cos(self.lid_angle)
        return np.stack([0 * y, y, z], -1)

    def turn_eyeball(self, pitch_down: float, yaw_left: float) -> np.ndarray:
        """Turn the left eyeball by degrees (down, towards the person's left)."""
        chosen = self.mesh.is_part("eyeball") & (self.x > 0)
        offset = self.points - EYE_CENTRE
        turned = _rotate_about_x(offset, pitch_down)
        sine, cosine = np.sin(np.radians(yaw_left)), np.cos(np.radians(yaw_left))
        turned = np.stack(
            [
                cosine * turned[:, 0] + sine * turned[:, 2],
                turned[:, 1],
                cosine * turned[:, 2] - sine * turned[:, 0],
            ],
            -1,
        )
        return np.where(chosen[:, None], turned - offset, 0.0)


def _rotate_about_x(points: np.ndarray, degrees: float) -> np.ndarray:
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return np.stack(
        [
            points[:, 0],
            cosine * points[:, 1] - sine * points[:, 2],
            sine * points[:, 1] + cosine * points[:, 2],
        ],
        -1,
    )


def _eye(f: RestFields, name: str) -> np.ndarray:
    match name:
        case "Blink":
            return f.move_lids(1.0, 1.0)
        case "LookDown":
            return f.turn_eyeball(_GAZE_DEGREES["Down"], 0) + f.move_lids(0.45, -0.1)
        case "LookUp":
            return f.turn_eyeball(-_GAZE_DEGREES["Up"], 0) + f.move_lids(-0.3, 0.1)
        case "LookIn":
            return f.turn_eyeball(0, -_GAZE_DEGREES["In"])
        case "LookOut":
            return f.turn_eyeball(0, _GAZE_DEGREES["Out"])
        case "Squint":
            return f.move_lids(0.3, 1.6) + _along(f.gaussian(3.3, 1.6, 1.6, 0.9), 0, 0.18, 0.08)
        case _:
            return f.move_lids(-0.42, -0.25)


def _jaw(f: RestFields, direction: tuple[float, float, float]) -> np.ndarray:
    return f.jaw[:, None] * np.array(direction)


def _jaw_open(f: RestFields) -> np.ndarray:
    narrowing = np.exp(-((f.above_lips / 2.0) ** 2)) * f.mouth * (1 - f.parting)
    inward = np.stack([-0.12 * f.x * narrowing, 0 * f.x, 0 * f.x], -1)
    return f.jaw[:, None] * f.jaw_turn + inward


def _mouth_close(f: RestFields) -> np.ndarray:
    """Undo what jawOpen does to the lips: both meet at a common place, four tenths of the way down."""
    reach = np.exp(-((np.clip(np.abs(f.above_lips) - 0.5, 0, None) / 1.6) ** 2))
    depth = np.where(f.mesh.is_part("lips", "mouth_interior"), f.mouth, f.soft)
    return ((0.4 - f.below_lips) * f.jaw_region * reach * depth)[:, None] * f.jaw_turn


def _funnel(f: RestFields) -> np.ndarray:
    inward = -0.42 * f.x * f.mouth
    return np.stack([inward, 0.42 * f.upper_lip - 0.55 * f.lower_lip, 0.95 * f.mouth], -1)


def _pucker(f: RestFields) -> np.ndarray:
    inward = -0.5 * f.x * f.mouth
    return np.stack([inward, 0.12 * f.above_lips * f.mouth, 0.85 * f.mouth + 0.2 * np.abs(f.x) * f.mouth], -1)


def _shrug(f: RestFields, side: int) -> np.ndarray:
    """Raise one lip; the other follows at the lip line, so the mouth stays closed."""
    follow = np.where(f.lip_side == side, 1.0, np.exp(-np.abs(f.above_lips) / 0.35))
    lip = _along(f.mouth * follow, 0, 0.42 if side < 0 else 0.34, 0.28)
    return lip + (_along(f.gaussian(0, -5.9, 1.6, 1.3), 0, 0.35, 0.1) if side < 0 else 0)


def _roll(f: RestFields, side: int) -> np.ndarray:
    """Draw one lip in over the teeth."""
    lip = f.mouth * np.where(f.lip_side == side, 1.0, 0.0) * np.sqrt(f.parting)
    return np.stack(
        [0 * lip, -0.55 * lip * f.above_lips, -0.55 * lip * np.exp(-((f.above_lips / 0.9) ** 2))], -1
    )


def _press(f: RestFields) -> np.ndarray:
    lips = f.mouth * f.left
    return np.stack([0 * lips, -0.32 * lips * np.clip(f.above_lips, -1.2, 1.2), -0.16 * lips], -1)


def _sneer(f: RestFields) -> np.ndarray:
    wing = _along(f.gaussian(1.3, 0.1, 0.8, 0.9), 0.1, 0.42, 0.05)
    fold = _along(f.gaussian(1.9, -1.2, 1.0, 1.0), 0.05, 0.3, 0.12)
    return wing + fold + _along(f.upper_lip * f.left, 0, 0.25, 0) - _along(f.brow(1.4, 1.1), 0.05, 0.16, 0)


def _tongue_out(f: RestFields) -> np.ndarray:
    tongue = f.mesh.is_part("tongue")
    z = np.where(tongue, f.z, np.nan)
    along = np.nan_to_num((z - np.nanmin(z)) / (np.nanmax(z) - np.nanmin(z)))
    return _along(along**1.5, 0, -0.15, 3.4) + _along(along * (1 - along) * 4, 0, 0.5, 0)


_LEFT_SHAPES: dict[str, Field] = {
    **{
        f"eye{name}": lambda f, name=name: _eye(f, name)
        for name in ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")
    },  # type: ignore[misc]
    "jaw": lambda f: _jaw(f, (1.0, 0.0, -0.1)),
    "mouth": lambda f: _along(f.mouth, 1.1, 0, 0) - np.stack([0 * f.x, 0 * f.x, 0.18 * f.x * f.mouth], -1),
    "mouthSmile": lambda f: (
        _along(f.corner, 0.75, 0.72, -0.5) + _along(f.gaussian(4.1, -0.2, 1.6, 1.4), 0.1, 0.42, 0.3)
    ),
    "mouthFrown": lambda f: (
        _along(f.corner, 0.15, -0.75, -0.2) + _along(f.gaussian(2.4, -5.2, 1.2, 1.2), 0, -0.1, 0.1)
    ),
    "mouthDimple": lambda f: _along(f.corner**1.6, 0.5, 0.12, -0.6),
    "mouthStretch": lambda f: _along(f.corner, 0.85, -0.38, -0.4) + _along(f.lower_lip * f.left, 0, -0.12, 0),
    "mouthPress": _press,
    "mouthLowerDown": lambda f: _along(f.lower_lip * f.left, 0.05, -0.68, 0.05),
    "mouthUpperUp": lambda f: (
        _along(f.upper_lip * f.left, 0.03, 0.58, 0.05)
        + _along(f.gaussian(1.9, -1.1, 1.0, 1.0), 0, 0.25, 0.12)
    ),
    "browDown": lambda f: _along(f.brow(2.2, 1.9), -0.18, -0.55, 0.1),
    "browOuterUp": lambda f: _along(f.brow(4.3, 1.6), 0.02, 0.72, -0.12),
    "cheekSquint": lambda f: f.move_lids(0.0, 0.7) + _along(f.gaussian(3.7, 1.1, 1.6, 1.2), 0, 0.45, 0.28),
    "noseSneer": _sneer,
}

_WHOLE_SHAPES: dict[str, Field] = {
    "jawForward": lambda f: _jaw(f, (0.0, -0.1, 0.8)),
    "jawOpen": _jaw_open,
    "mouthClose": _mouth_close,
    "mouthFunnel": _funnel,
    "mouthPucker": _pucker,
    "mouthRollLower": lambda f: _roll(f, -1),
    "mouthRollUpper": lambda f: _roll(f, 1),
    "mouthShrugLower": lambda f: _shrug(f, -1),
    "mouthShrugUpper": lambda f: _shrug(f, 1),
    "browInnerUp": lambda f: _along(f.brow(1.3, 1.3) + f.brow(-1.3, 1.3), 0, 0.68, -0.08),
    "cheekPuff": lambda f: _puff(f, 1.0) + _puff(f, -1.0),
    "tongueOut": _tongue_out,
}


def _puff(f: RestFields, side: float) -> np.ndarray:
    return _along(f.gaussian(side * 4.2, -2.6, 1.8, 1.8), 0.95 * side, 0, 0.75) + _along(f.mouth, 0, 0, 0.1)


def expression_shapes(fields: RestFields) -> np.ndarray:
    """Displacements [52,V,3] in cm, in the order of `faces.arkit.ARKIT_NAMES`."""
    mirror, flip = fields.mesh.mirror, np.array([-1.0, 1.0, 1.0])
    shapes = []
    for name in ARKIT_NAMES:
        if name in _WHOLE_SHAPES:
            shape = _WHOLE_SHAPES[name](fields)
            # Removes the last rounding error: these are their own mirror images.
            shapes.append(0.5 * (shape + shape[mirror] * flip))
        elif name.endswith("Left"):
            shapes.append(_LEFT_SHAPES[name.removesuffix("Left")](fields))
        else:
            shapes.append(_LEFT_SHAPES[name.removesuffix("Right")](fields)[mirror] * flip)
    return np.stack(shapes)

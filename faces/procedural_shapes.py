"""The 52 ARKit-named movements of the procedural head, as smooth fields over its rest pose.

Every function gives displacements [V,3] in centimetres. One-sided shapes are written for the person's left (x > 0); the right one is the
exact mirror image by `HeadMesh.mirror`. Displacements of both lips agree in the corners of the mouth, so lips part cleanly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from faces.arkit import ARKIT_NAMES
from faces.procedural_fields import RestFields

Field = Callable[[RestFields], np.ndarray]

_GAZE_DEGREES = {"In": 32.0, "Out": 32.0, "Up": 24.0, "Down": 24.0}
_EYE_SHAPES = ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")


def _along(weight: np.ndarray, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    return weight[:, None] * np.array([x, y, z])


def _eye(f: RestFields, name: str) -> np.ndarray:
    match name:
        case "Blink":
            return f.move_lids(1.0, 1.0)
        case "LookDown":
            return f.turn_eyeball(_GAZE_DEGREES["Down"], 0) + f.move_lids(0.38, -0.15)
        case "LookUp":
            return f.turn_eyeball(-_GAZE_DEGREES["Up"], 0) + f.move_lids(-0.3, 0.1)
        case "LookIn":
            return f.turn_eyeball(0, -_GAZE_DEGREES["In"])
        case "LookOut":
            return f.turn_eyeball(0, _GAZE_DEGREES["Out"])
        case "Squint":
            return f.move_lids(0.22, 1.1) + _along(f.gaussian(3.3, 1.6, 1.6, 0.9), 0, 0.18, 0.08)
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
    return np.stack([0 * lip, -0.55 * lip * f.above_lips, -0.55 * lip * np.exp(-((f.above_lips / 0.9) ** 2))], -1)


def _smile(f: RestFields) -> np.ndarray:
    """Corner out, up and back; the stretched lips get thinner, the cheek rises."""
    thinner = _along(-0.22 * f.mouth * f.left * np.clip(f.above_lips, -1.2, 1.2), 0, 1, 0)
    cheek = _along(f.gaussian(4.1, -0.2, 1.6, 1.4), 0.1, 0.42, 0.3)
    return _along(f.corner, 0.68, 0.70, -0.5) + thinner + cheek


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
    **{f"eye{name}": partial(_eye, name=name) for name in _EYE_SHAPES},
    "jaw": lambda f: _jaw(f, (1.0, 0.0, -0.1)),
    "mouth": lambda f: _along(f.mouth, 1.1, 0, 0) - np.stack([0 * f.x, 0 * f.x, 0.18 * f.x * f.mouth], -1),
    "mouthSmile": _smile,
    "mouthFrown": lambda f: _along(f.corner, 0.15, -0.75, -0.2) + _along(f.gaussian(2.4, -5.2, 1.2, 1.2), 0, -0.1, 0.1),
    "mouthDimple": lambda f: _along(f.corner**1.6, 0.5, 0.12, -0.6),
    "mouthStretch": lambda f: _along(f.corner, 0.85, -0.38, -0.4) + _along(f.lower_lip * f.left, 0, -0.12, 0),
    "mouthPress": _press,
    "mouthLowerDown": lambda f: _along(f.lower_lip * f.left, 0.05, -0.68, 0.05),
    "mouthUpperUp": lambda f: (
        _along(f.upper_lip * f.left, 0.03, 0.58, 0.05) + _along(f.gaussian(1.9, -1.1, 1.0, 1.0), 0, 0.25, 0.12)
    ),
    "browDown": lambda f: _along(f.brow(2.2, 1.9), -0.18, -0.55, 0.1),
    "browOuterUp": lambda f: _along(f.brow(4.3, 1.9), 0.02, 0.72, -0.12),
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
    "browInnerUp": lambda f: _along(f.brow(1.2, 1.7) + f.brow(-1.2, 1.7), 0, 0.56, -0.08),
    "cheekPuff": lambda f: _puff(f, 1.0) + _puff(f, -1.0),
    "tongueOut": _tongue_out,
}


def _puff(f: RestFields, side: float) -> np.ndarray:
    return _along(f.gaussian(side * 4.3, -2.5, 2.1, 2.2), 0.8 * side, 0, 0.6) + _along(f.mouth, 0, 0, 0.1)


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

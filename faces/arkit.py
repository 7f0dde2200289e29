"""The 52 blend-shape names of Apple's ARKit, in Apple's order, with mirrored pairs and groups; always address them by name.

"Left" and "Right" are the person's own sides: the left eye lies at +x, on the viewer's right.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_EYE = ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")
_MOUTH_SIDED = ("Smile", "Frown", "Dimple", "Stretch")
_MOUTH_SIDED_LATE = ("Press", "LowerDown", "UpperUp")

# Apple's order of ARFaceAnchor.BlendShapeLocation.
ARKIT_NAMES: tuple[str, ...] = (
    *(f"eye{shape}Left" for shape in _EYE),
    *(f"eye{shape}Right" for shape in _EYE),
    *("jawForward", "jawLeft", "jawRight", "jawOpen"),
    *("mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight"),
    *(f"mouth{shape}{side}" for shape in _MOUTH_SIDED for side in ("Left", "Right")),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *(f"mouth{shape}{side}" for shape in _MOUTH_SIDED_LATE for side in ("Left", "Right")),
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut"),
)

NUM_ARKIT = len(ARKIT_NAMES)

ARKIT_INDEX: dict[str, int] = {name: index for index, name in enumerate(ARKIT_NAMES)}


def mirrored_name(name: str) -> str:
    """The name of the same movement on the other side; a movement of both sides is its own mirror."""
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    if name.endswith("Right"):
        return name.removesuffix("Right") + "Left"
    return name


MIRRORED_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (name, mirrored_name(name)) for name in ARKIT_NAMES if name.endswith("Left")
)

MIRROR_PERMUTATION: np.ndarray = np.array([ARKIT_INDEX[mirrored_name(name)] for name in ARKIT_NAMES])
"""`coefficients[..., MIRROR_PERMUTATION]` is the same expression seen in a mirror."""


def _starting_with(*prefixes: str) -> tuple[str, ...]:
    return tuple(name for name in ARKIT_NAMES if name.startswith(prefixes))


ARKIT_GROUPS: dict[str, tuple[str, ...]] = {
    "jaw": _starting_with("jaw"),
    "mouth": _starting_with("mouth"),
    "tongue": _starting_with("tongue"),
    "eye": _starting_with("eye"),
    "blink": _starting_with("eyeBlink"),
    "gaze": _starting_with("eyeLook"),
    "brow": _starting_with("brow"),
    "cheek": _starting_with("cheek"),
    "nose": _starting_with("nose"),
    "lower_face": _starting_with("jaw", "mouth", "tongue", "cheekPuff"),
    "upper_face": _starting_with("eye", "brow", "cheekSquint", "nose"),
}


def arkit_indices(names: Iterable[str]) -> np.ndarray:
    """Indices [len(names)] int64 into the ARKit order. Raises `KeyError` naming an unknown name and the nearest known ones."""
    indices = []
    for name in names:
        if name not in ARKIT_INDEX:
            near = [known for known in ARKIT_NAMES if known.lower().startswith(name[:4].lower())]
            raise KeyError(f"{name!r} is not an ARKit blend shape; expected one of {near or list(ARKIT_NAMES)}")
        indices.append(ARKIT_INDEX[name])
    return np.array(indices, dtype=np.int64)


def arkit_vector(**weights: float) -> np.ndarray:
    """Coefficients [52] float32, zero but for the named ones, e.g. `arkit_vector(jawOpen=0.5)`."""
    vector = np.zeros(NUM_ARKIT, dtype=np.float32)
    vector[arkit_indices(weights)] = list(weights.values())
    return vector

"""Ten identity shapes of the procedural head: displacements in cm for a coefficient of 1, meant to be drawn within about +-2."""

from __future__ import annotations

import numpy as np

from faces.procedural_fields import RestFields, smoothstep
from faces.procedural_surface import EYE_CENTRE

IDENTITY_NAMES = (
    *("face_width", "face_length", "jaw_width", "nose_length", "nose_width"),
    *("eye_spacing", "lip_thickness", "cheek_fullness", "brow_height", "chin_length"),
)


def identity_shapes(fields: RestFields) -> np.ndarray:
    """Displacements [10,V,3] in cm, in the order of `IDENTITY_NAMES`; each is its own mirror image."""
    f = fields
    zero, sign = np.zeros_like(f.x), np.sign(f.x)
    head = smoothstep(f.y + 0.35 * f.z, -12.0, -7.0)
    front = smoothstep(f.z, -1.0, 5.0)
    below_eyes = np.minimum(f.y - EYE_CENTRE[1], 0.0)
    stretch = np.where(f.y > EYE_CENTRE[1], 0.0, 0.05 * np.maximum(below_eyes, -11.5)) * head
    jaw = np.exp(-(((f.y + 4.5) / 2.6) ** 2)) * smoothstep(np.abs(f.x), 1.5, 5.0) * smoothstep(f.z, -3.0, 2.5) * f.soft
    nose = f.gaussian(0, 0.4, 1.5, 1.6) * smoothstep(f.z, 8.5, 10.5)
    wings = f.gaussian(0, 0.0, 1.9, 1.2) * smoothstep(f.z, 8.0, 10.0)
    eye = _eye_region(f)
    lips = f.mouth * np.exp(-((np.clip(np.abs(f.above_lips) - 0.8, 0, None) / 0.9) ** 2))
    cheek = f.gaussian(3.9, -1.8, 2.0, 2.3) + f.gaussian(-3.9, -1.8, 2.0, 2.3)
    brow = f.brow(2.8, 2.4) + f.brow(-2.8, 2.4)
    chin = f.gaussian(0, -7.2, 2.2, 1.9)
    shapes = {
        "face_width": (0.04 * f.x * head, zero, zero),
        "face_length": (zero, stretch, zero),
        "jaw_width": (0.42 * sign * jaw, zero, zero),
        "nose_length": (zero, -0.22 * nose, 0.22 * nose),
        "nose_width": (0.16 * f.x * wings, zero, zero),
        "eye_spacing": (0.16 * sign * eye, zero, zero),
        "lip_thickness": (zero, 0.14 * f.above_lips * lips, 0.07 * lips * f.parting),
        "cheek_fullness": (0.28 * sign * cheek, zero, 0.22 * cheek),
        "brow_height": (zero, 0.25 * brow, 0.08 * brow),
        "chin_length": (zero, -0.32 * chin, 0.18 * chin * front),
    }
    return np.stack([np.stack(shapes[name], -1) for name in IDENTITY_NAMES])


def _eye_region(f: RestFields) -> np.ndarray:
    """1 on eyeball and lids, which must move together, fading into the face around them."""
    distance = np.hypot(np.abs(f.x) - EYE_CENTRE[0], f.y - EYE_CENTRE[1])
    skin = f.soft * (1 - smoothstep(distance, 1.8, 3.1)) * smoothstep(f.z, 1.0, 5.0)
    return np.where(f.mesh.is_part("eyeball", "eyelid_margin"), 1.0, skin)

"""How a face looks in every backend: colours per vertex, gloss per material, and the three soft lights of a portrait."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faces.face_model import FaceModel, Material

BACKGROUND_RGB = (0.925, 0.933, 0.941)


@dataclass(frozen=True)
class Finish:
    """Factors of the Phong reflection model (Phong 1975): colour = ambient + diffuse (n.l) + specular (r.v)^power."""

    ambient: float
    diffuse: float
    specular: float
    specular_power: float


@dataclass(frozen=True)
class Light:
    """A light from far away; `direction` points from the face towards it, `rgb` includes its strength."""

    direction: tuple[float, float, float]
    rgb: tuple[float, float, float]


# Warm key from the upper left, cool fill from the right, and a rim from above and behind that lifts the head off the background.
LIGHTS = (
    Light((-0.55, 0.65, 0.95), (0.72, 0.69, 0.65)),
    Light((0.9, 0.15, 0.75), (0.25, 0.27, 0.31)),
    Light((0.25, 0.8, -0.75), (0.36, 0.36, 0.38)),
)

_FINISHES = {
    "skin": Finish(ambient=0.34, diffuse=0.86, specular=0.10, specular_power=14.0),
    "eyes": Finish(ambient=0.45, diffuse=0.70, specular=0.60, specular_power=70.0),
    "teeth": Finish(ambient=0.36, diffuse=0.78, specular=0.22, specular_power=35.0),
    "mouth": Finish(ambient=0.30, diffuse=0.70, specular=0.12, specular_power=25.0),
    "cloth": Finish(ambient=0.36, diffuse=0.80, specular=0.0, specular_power=1.0),
}
_FINISH_WORDS = {
    "eyes": ("eye_white", "eyeball", "sclera", "iris", "pupil", "cornea"),
    "teeth": ("teeth", "tooth"),
    "mouth": ("gum", "tongue", "interior", "cavity", "inner"),
    "cloth": ("shirt", "cloth"),
}
# Light falls off towards the throat: half of it is gone this far behind the front of the lips.
_MOUTH_HALF_LIGHT_METRES = 0.022


@dataclass(frozen=True)
class SurfaceLayer:
    """Triangles [F,3] int64 that share a finish, with the colour of every vertex of the model, float32 [V,3] in 0..1."""

    name: str
    finish: Finish
    triangles: np.ndarray
    vertex_rgb: np.ndarray


def finish_name(material: Material) -> str:
    """Which finish a material gets, by the words in its name; what is not of the eyes, the mouth or a cloth is skin."""
    for name, words in _FINISH_WORDS.items():
        if any(word in material.name.lower() for word in words):
            return name
    return "skin"


def surface_layers(face_model: FaceModel, neutral: np.ndarray) -> list[SurfaceLayer]:
    """The model's triangles in layers: one for skin with lips, brows and hair, and one for each other material.

    Colours are averaged over the triangles around a vertex within a layer: brows and lips get soft borders, irises and collars crisp ones.
    In the mouth they darken with the depth behind the lips at rest (`neutral` [V,3] metres), in place of the shadow that would fall there.
    """
    triangles = face_model.triangles.cpu().numpy()
    materials = face_model.triangle_material.cpu().numpy()
    rgb = np.array([material.rgb for material in face_model.materials], np.float32)
    finishes = [finish_name(material) for material in face_model.materials]
    layer_names = np.array(
        [
            "skin" if finish == "skin" else material.name
            for material, finish in zip(face_model.materials, finishes, strict=True)
        ]
    )
    depth = neutral[face_model.regions["lips"].cpu().numpy(), 2].max() - neutral[:, 2]
    mouth_light = 0.5 ** (np.clip(depth, 0, None) / _MOUTH_HALF_LIGHT_METRES)
    layers = []
    for name in dict.fromkeys(layer_names.tolist()):
        chosen = (layer_names == name)[materials]
        if not chosen.any():
            continue
        finish = finishes[int(np.flatnonzero(layer_names == name)[0])]
        colours = _mean_around_vertices(triangles[chosen], rgb[materials[chosen]], len(neutral))
        if finish in ("teeth", "mouth"):
            colours *= mouth_light[:, None]
        layers.append(SurfaceLayer(name, _FINISHES[finish], triangles[chosen], colours.astype(np.float32)))
    return layers


def _mean_around_vertices(triangles: np.ndarray, values: np.ndarray, num_vertices: int) -> np.ndarray:
    """Mean [V,K] over the triangles at each vertex of values [F,K]; zero where there is none."""
    total = np.zeros((num_vertices, values.shape[1]))
    np.add.at(total, triangles.ravel(), np.repeat(values, 3, axis=0))
    count = np.bincount(triangles.ravel(), minlength=num_vertices)
    return total / np.maximum(count, 1)[:, None]

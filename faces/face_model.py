"""The interface of every face model, and the base class of those that are linear in their coefficients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faces.rotations import rotate_points

# From the joint of the skull down to where the chest bends, metres.
_TORSO_BELOW_NECK = (0.0, -0.25, -0.03)
REGION_NAMES = ("lips", "mouth", "jaw", "upper_face", "eyes", "brows", "neck")


class FaceModelError(ValueError):
    """A face model cannot be built or was given input that does not fit it."""


@dataclass(frozen=True)
class Material:
    """A surface colour for rendering; `rgb` are three numbers from 0 to 1."""

    name: str
    rgb: tuple[float, float, float]


class FaceModel(nn.Module, ABC):
    """Coefficients in, mesh vertices out: metres, x right, y up, z towards the viewer.

    Attributes: `name`; `space` (expression space); `num_identity`, `num_expression`, `num_vertices`; `triangles` [F,3] int64,
    counter-clockwise seen from outside; `regions`: vertex ids by name, at least `REGION_NAMES`; `triangle_material` [F] int64
    into `materials`; `torso_pivot` [3] is what the whole turns about where the head's rotation is split (`faces.neck_split`), None for a model
    without a bust; `landmarks` [N] are the ids of the vertices that a landmark detector would find, None for a model that names none.
    """

    name: str
    space: str
    num_identity: int
    num_expression: int
    num_vertices: int
    triangles: Tensor
    regions: dict[str, Tensor]
    triangle_material: Tensor
    materials: list[Material]
    torso_pivot: Tensor | None
    landmarks: Tensor | None = None

    @abstractmethod
    def forward(
        self,
        identity: Tensor | None,
        expression: Tensor,
        jaw: Tensor | None = None,
        head: Tensor | None = None,
        vertex_ids: Tensor | None = None,
    ) -> Tensor:
        """Vertices [...,V,3], or [...,len(vertex_ids),3], of the broadcast leading dimensions of the inputs.

        `identity` [...,I] (None: the mean face), `expression` [...,E], `jaw` and `head` [...,3] axis-angle in radians (None: no rotation).
        """


class LinearFaceModel(FaceModel):
    """Blend shapes, then a rotation of the head that fades out down the neck.


    V = neutral + sum_i a_i identity_i + sum_j w_j expression_j. A vertex of head weight w then turns by w times the head's axis-angle
    about `neck_pivot`: rigidly where w is 1 (the head), not at all where w is 0 (the bust), bending in between (the neck).
    The jaw moves by blend shapes alone, so `jaw` is accepted and ignored, as the arkit space defines it.

    neutral [V,3], identity_basis [I,V,3], expression_basis [E,V,3] metres; head_weight [V] in 0..1; neck_pivot [3] metres.
    Raises `FaceModelError` for parts whose sizes disagree or regions that are missing or empty.
    """

    neutral: Tensor
    identity_basis: Tensor
    expression_basis: Tensor
    head_weight: Tensor
    neck_pivot: Tensor
    torso_pivot: Tensor | None

    def __init__(
        self,
        *,
        name: str,
        space: str,
        neutral: Tensor,
        identity_basis: Tensor,
        expression_basis: Tensor,
        triangles: Tensor,
        triangle_material: Tensor,
        materials: Sequence[Material],
        regions: Mapping[str, Tensor],
        head_weight: Tensor,
        neck_pivot: Tensor,
    ) -> None:
        super().__init__()
        self.name = name
        self.space = space
        self.num_vertices = len(neutral)
        self.num_identity = len(identity_basis)
        self.num_expression = len(expression_basis)
        self.materials = list(materials)
        self.regions = {key: ids.long() for key, ids in regions.items()}
        parts = {
            "neutral": neutral.float(),
            "identity_basis": identity_basis.float(),
            "expression_basis": expression_basis.float(),
            "head_weight": head_weight.float(),
            "neck_pivot": neck_pivot.float(),
            "triangles": triangles.long(),
            "triangle_material": triangle_material.long(),
        }
        # Constants of the model's definition: kept out of checkpoints, which name the model instead.
        for key, values in parts.items():
            self.register_buffer(key, values, persistent=False)
        self._check_parts()
        has_bust = bool((head_weight == 0).any())
        pivot = neck_pivot.float() + torch.tensor(_TORSO_BELOW_NECK) if has_bust else None
        self.register_buffer("torso_pivot", pivot, persistent=False)

    def _check_parts(self) -> None:
        vertices = self.num_vertices
        expected = {
            "neutral": (vertices, 3),
            "identity_basis": (self.num_identity, vertices, 3),
            "expression_basis": (self.num_expression, vertices, 3),
            "head_weight": (vertices,),
            "neck_pivot": (3,),
            "triangles": (len(self.triangles), 3),
            "triangle_material": (len(self.triangles),),
        }
        for key, shape in expected.items():
            if tuple(getattr(self, key).shape) != shape:
                raise FaceModelError(
                    f"{self.name}: {key} has shape {tuple(getattr(self, key).shape)}; expected {shape}"
                )
        missing = [key for key in REGION_NAMES if not len(self.regions.get(key, ()))]
        if missing:
            raise FaceModelError(
                f"{self.name}: regions {missing} are missing or empty; every model names {REGION_NAMES}"
            )

    def forward(
        self,
        identity: Tensor | None,
        expression: Tensor,
        jaw: Tensor | None = None,
        head: Tensor | None = None,
        vertex_ids: Tensor | None = None,
    ) -> Tensor:
        """See `FaceModel.forward`; raises `FaceModelError` where a last dimension does not fit."""
        self._check_last_dimension("expression", expression, self.num_expression)
        neutral, head_weight = self.neutral, self.head_weight
        expression_basis, identity_basis = self.expression_basis, self.identity_basis
        if vertex_ids is not None:
            neutral, head_weight = neutral[vertex_ids], head_weight[vertex_ids]
            expression_basis, identity_basis = expression_basis[:, vertex_ids], identity_basis[:, vertex_ids]
        vertices = neutral + _blend(expression, expression_basis)
        if identity is not None:
            self._check_last_dimension("identity", identity, self.num_identity)
            vertices = vertices + _blend(identity, identity_basis)
        if head is not None:
            self._check_last_dimension("head", head, 3)
            vertex_rotation = head_weight[:, None] * head.unsqueeze(-2)
            vertices = self.neck_pivot + rotate_points(vertices - self.neck_pivot, vertex_rotation)
        return vertices

    def _check_last_dimension(self, field: str, values: Tensor, expected: int) -> None:
        if values.shape[-1] != expected:
            raise FaceModelError(
                f"{field} has shape {tuple(values.shape)}; the {self.name} face takes [..., {expected}]"
            )


def _blend(coefficients: Tensor, basis: Tensor) -> Tensor:
    """[...,K] coefficients times [K,V,3] basis -> [...,V,3]."""
    return (coefficients @ basis.flatten(1)).unflatten(-1, basis.shape[1:])


def smoothstep(values: Tensor, low: float, high: float) -> Tensor:
    """0 below `low`, 1 above `high`, and the cubic 3t^2 - 2t^3 between them."""
    t = ((values - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)

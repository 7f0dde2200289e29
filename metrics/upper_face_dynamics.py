"""Upper-face dynamics deviation (FDD): whether brows, lids and forehead move as much as the person's, wherever they are.

`[B, T, V, 3]` are metres with head rotation zero, masks `[B, T]`. u is a vertex' displacement from the face at rest; std is over time.

| name | definition, each clip | average | who computes it |
| --- | --- | --- | --- |
| `fdd_signed_m2`, `fdd_codetalker_biwi` | mean over vertices of std ‖u‖², truth less prediction | clips | CodeTalker, AdaMesh, DiffSpeaker, StreamingTalker; ProbTalk3D with FLAME's zero pose as rest |
| `fdd_absolute_m2` | its absolute value | clips | FaceDiffuser, ScanTalk, beside the signed one |
| `fdd_norm_signed_mm` | as the signed one with std ‖u‖, the wording of CodeTalker's paper | clips | nobody's script |
| `fdd_artalk` | 100 times the mean over vertices of abs(std (x+y+z) of prediction less truth), mm, n - 1 | clips | ARTalk |

The signed form cancels: a model too still in one half of the clips and too lively in the other scores zero. Read it beside the absolute one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metrics.checks import check_curve, check_pair
from metrics.distances import length, squared_length
from metrics.masked import clip_deviation
from metrics.weighted_mean import ClipMean

MM_PER_M = 1000.0


def upper_face_dynamics(vertices: Tensor, neutral: Tensor, mask: Tensor) -> Tensor:
    """How much the region moves in each clip `[B]`, square metres; `neutral` `[V, 3]` or `[B, V, 3]` is the face at rest.

    Mean over vertices of the standard deviation over time of the squared displacement from rest (CodeTalker, Xing et al.,
    2023, section 4.2). NaN under two frames, as all forms.
    """
    rest = neutral.expand(vertices.shape[0], *neutral.shape[-2:]).unsqueeze(1)
    return _squared_dynamics(vertices - rest, mask)


def upper_face_dynamics_deviation(prediction: Tensor, target: Tensor, neutral: Tensor, mask: Tensor) -> Tensor:
    """Dynamics of the truth minus those of the prediction (FDD), each clip `[B]`, square metres; positive = too still."""
    check_pair(prediction, target, mask, "B T V 3")
    return upper_face_dynamics(target, neutral, mask) - upper_face_dynamics(prediction, neutral, mask)


def fdd_signed_m2(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The same from displacements `[B, T, V, 3]` (vertices minus the face at rest), each clip `[B]`, square metres."""
    check_pair(prediction, target, mask, "B T V 3")
    return _squared_dynamics(target, mask) - _squared_dynamics(prediction, mask)


def fdd_absolute_m2(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Absolute value of `fdd_signed_m2`, each clip `[B]`, square metres; displacements `[B, T, V, 3]`."""
    return fdd_signed_m2(prediction, target, mask).abs()


def fdd_norm_signed_mm(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over vertices of the deviation over time of ‖u‖, truth less prediction, each clip `[B]`, mm; displacements `[B, T, V, 3]`."""
    check_pair(prediction, target, mask, "B T V 3")
    ours, theirs = (clip_deviation(length(u), mask).mean(-1) for u in (prediction, target))
    return (MM_PER_M * (theirs - ours)).float()


def fdd_artalk(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """ARTalk's form, each clip `[B]`, hundredths of mm: no rest face, the three coordinates summed before the deviation.

    Vertices `[B, T, V, 3]`. Its script counts 57 of its upper-face vertices twice; repeat their ids to reproduce that. NaN under two frames.
    """
    check_pair(prediction, target, mask, "B T V 3")
    ours, theirs = (clip_deviation(_coordinate_sum(MM_PER_M * v), mask, unbiased=True) for v in (prediction, target))
    return (100 * (ours - theirs).abs().mean(-1)).float()


def _coordinate_sum(vertices: Tensor) -> Tensor:
    x, y, z = vertices.unbind(-1)
    return x.double() + y + z


def _squared_dynamics(displacement: Tensor, mask: Tensor) -> Tensor:
    check_curve(displacement, mask, "B T V 3")
    return clip_deviation(squared_length(displacement), mask).mean(-1).float()


class UpperFaceDynamicsDeviation(ClipMean):
    """`fdd_signed_m2`; every clip of two or more frames weighs the same. Zero is best, so neither direction is.

    With `neutral` `[V, 3]` it takes vertices, without it displacements from rest (each clip may have its own rest face).
    """

    function = staticmethod(fdd_signed_m2)
    average = "clips"
    shortest = 2

    def __init__(self, neutral: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("neutral", torch.zeros(()) if neutral is None else neutral.detach(), persistent=False)

    neutral: Tensor

    def update(  # type: ignore[override]
        self, prediction: Tensor, target: Tensor, mask: Tensor, keys: Sequence[str] | None = None
    ) -> None:
        """Vertices (or displacements) of the upper face `[B, T, V, 3]` in metres and their mask `[B, T]`."""
        super().update(prediction - self.neutral, target - self.neutral, mask, keys=keys)


class UpperFaceDynamicsAbsolute(ClipMean):
    """`fdd_absolute_m2` of displacements; every clip of two or more frames weighs the same."""

    higher_is_better = False
    function = staticmethod(fdd_absolute_m2)
    average = "clips"
    shortest = 2


class UpperFaceDynamicsNorm(ClipMean):
    """`fdd_norm_signed_mm` of displacements; every clip of two or more frames weighs the same. Zero is best."""

    function = staticmethod(fdd_norm_signed_mm)
    average = "clips"
    shortest = 2


class UpperFaceDynamicsArtalk(ClipMean):
    """`fdd_artalk` of vertices; every clip of two or more frames weighs the same (ARTalk averages equal windows)."""

    higher_is_better = False
    function = staticmethod(fdd_artalk)
    average = "clips"
    shortest = 2

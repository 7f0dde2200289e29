"""Lip vertex error and its published variants, on a face whose head does not turn.

Vertices `[B, T, V, 3]` of the lips are metres, masks `[B, T]`. Published tables mix at least six definitions under one name;
each is here under a name that says which. d is the distance of a lip vertex from the truth:

| name | definition | average | who computes it |
| --- | --- | --- | --- |
| `lip_vertex_error_mm` | mean over frames of max d | frames | FaceFormer's text; UniTalker prints it beside the square |
| `lve_squared_m2`, `lve_codetalker_biwi` | mean over frames of max d² | frames | CodeTalker, AdaMesh, FaceDiffuser, ProbTalk3D, torchmetrics |
| `lve_streamingtalker_m2` | the same per clip, then the mean of clips | clips | StreamingTalker |
| `lve_imitator_mm` | mean over frames of max d, then the mean of clips | clips | Imitator's loss; its script averages running means, see below |
| `lve_artalk_mm` | root of the mean over frames of max d² | frames | ARTalk, UniLS |
| `lve_demeaned_mm` | max d after subtracting each frame's mean lip position from both | frames | MeshTalk |
| `lip_mean_vertex_error_mm` | mean over frames and lip vertices of d | frames | forks that keep the name LVE |

Imitator's test script appends each clip's error to one list, stores the mean of the list so far as the clip's result, and averages these stored
means. Clip i of N then weighs (1/i + ... + 1/N) / N: the first clip most, and the number depends on the order of the clips. `lve_imitator_mm` is the plain mean
of clips, which the script's number is near to only where clips are alike.

Tables headed "mm" that hold values near 4 hold `lve_squared_m2` in 1e-5 m²: 4.3 of it is 6.6 mm.
"""

from __future__ import annotations

from torch import Tensor

from faces.face_model import FaceModel
from metrics.checks import check_pair
from metrics.distances import frame_errors, largest, mean_distance
from metrics.masked import clip_mean
from metrics.weighted_mean import ClipMean, RootClipMean

MM_PER_M = 1000.0


def lip_vertices(face_model: FaceModel, expression: Tensor, jaw: Tensor, identity: Tensor | None = None) -> Tensor:
    """Lip vertices `[B, T, V, 3]` (metres, head rotation zero) of expression `[B, T, E]`, jaw `[B, T, 3]`, identity `[B, I]`."""
    if identity is not None:
        identity = identity.unsqueeze(1)
    return face_model(identity, expression, jaw, vertex_ids=face_model.regions["lips"])


def largest_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Largest squared distance over vertices, per frame: `[B, T]`, square metres."""
    return frame_errors(prediction, target, largest)


def lip_vertex_error(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Lip vertex error of each clip `[B]` in mm: mean over valid frames of max d; NaN for a clip without one."""
    check_pair(prediction, target, mask, "B T V 3")
    return clip_means(MM_PER_M * largest_squared_error(prediction, target).sqrt(), mask)


def lve_squared_m2(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames of max d², each clip `[B]`, square metres; published tables give it in units of 1e-5."""
    check_pair(prediction, target, mask, "B T V 3")
    return clip_means(largest_squared_error(prediction, target), mask)


def lve_artalk_mm(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Root of the mean over valid frames of max d², each clip `[B]`, mm; never under `lip_vertex_error` (Jensen's inequality)."""
    return MM_PER_M * lve_squared_m2(prediction, target, mask).sqrt()


def lve_demeaned_mm(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """`lip_vertex_error` of the shape alone, each clip `[B]`, mm: a lip moved as a whole has none (MeshTalk, Richard et al. 2021)."""
    check_pair(prediction, target, mask, "B T V 3")
    return lip_vertex_error(prediction - prediction.mean(2, True), target - target.mean(2, True), mask)


def lip_mean_vertex_error_mm(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid frames and lip vertices of d, each clip `[B]`, mm."""
    check_pair(prediction, target, mask, "B T V 3")
    return clip_means(MM_PER_M * frame_errors(prediction, target, mean_distance), mask)


def lip_vertex_error_mm(
    face_model: FaceModel,
    expression: Tensor,
    jaw: Tensor,
    true_expression: Tensor,
    true_jaw: Tensor,
    mask: Tensor,
    identity: Tensor | None = None,
) -> Tensor:
    """`lip_vertex_error` `[B]` in mm from raw coefficients, on the lips of `face_model` with head rotation zero."""
    prediction = lip_vertices(face_model, expression, jaw, identity)
    return lip_vertex_error(prediction, lip_vertices(face_model, true_expression, true_jaw, identity), mask)


def clip_means(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `[B, T]` over each clip's valid frames `[B]`; NaN for a clip without one."""
    return clip_mean(values, mask).float()


class LipVertexError(ClipMean):
    """`lip_vertex_error` in mm over everything seen; every valid frame weighs the same."""

    higher_is_better = False
    function = staticmethod(lip_vertex_error)


class LipVertexErrorSquared(ClipMean):
    """`lve_squared_m2` over everything seen; every valid frame weighs the same."""

    higher_is_better = False
    function = staticmethod(lve_squared_m2)


class LipVertexErrorClips(ClipMean):
    """`lip_vertex_error` in mm; every clip weighs the same (Imitator's loss a clip; its script averages running means of clips)."""

    higher_is_better = False
    function = staticmethod(lip_vertex_error)
    average = "clips"


class LipVertexErrorSquaredClips(ClipMean):
    """`lve_squared_m2`; every clip weighs the same (StreamingTalker's script, whose weighting by length is overwritten)."""

    higher_is_better = False
    function = staticmethod(lve_squared_m2)
    average = "clips"


class LipVertexErrorArtalk(RootClipMean):
    """`lve_artalk_mm` over everything seen: one root over all valid frames (ARTalk takes one root a batch)."""

    higher_is_better = False
    function = staticmethod(lve_artalk_mm)


class LipVertexErrorDemeaned(ClipMean):
    """`lve_demeaned_mm` over everything seen; every valid frame weighs the same."""

    higher_is_better = False
    function = staticmethod(lve_demeaned_mm)


class LipMeanVertexError(ClipMean):
    """`lip_mean_vertex_error_mm` over everything seen; every valid frame weighs the same."""

    higher_is_better = False
    function = staticmethod(lip_mean_vertex_error_mm)

"""When the lips close: opening of the mouth over time, and how well the closures of two curves agree in time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.signal import find_peaks
from torch import Tensor

from faces.arkit import ARKIT_NAMES
from faces.face_model import FaceModel
from metrics.checks import MetricError, check_pair
from metrics.weighted_mean import WeightedMean

PROMINENCE = 0.25
TOLERANCE_FRAMES = 2
MS_PER_FRAME = 40.0


class ClosureAgreement(NamedTuple):
    """`f1` of closures matched within the tolerance (NaN without any), `offset_ms` their mean distance (NaN without match)."""

    f1: float
    offset_ms: float
    num_closures: int


def inner_lip_pairs(face_model: FaceModel, num_pairs: int = 5, like: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Vertex ids of the upper and lower lip facing each other in the middle half of the mouth, `num_pairs` of each.

    The lower lip is what `jawOpen` moves; in each of `num_pairs` strips across the mouth its highest vertex faces the lowest
    vertex of the upper lip. The model runs in the type and on the device of `like`. Raises MetricError for a face outside the `arkit` space.
    """
    if face_model.space != "arkit":
        raise MetricError(
            f"face {face_model.name} is in the {face_model.space} space; lip pairs are found by arkit's jawOpen"
        )
    lips = face_model.regions["lips"]
    rest = (torch.zeros(0) if like is None else like).new_zeros(face_model.num_expression)
    opened = rest.clone()
    opened[ARKIT_NAMES.index("jawOpen")] = 1.0
    neutral = face_model(None, rest, vertex_ids=lips)
    drop = (neutral - face_model(None, opened, vertex_ids=lips))[:, 1]
    is_lower = drop > drop.max() / 2
    x, y = neutral[:, 0] - neutral[:, 0].mean(), neutral[:, 1]
    half = x.abs().max() / 2
    upper, lower = [], []
    edges = torch.linspace(-1, 1, num_pairs + 1) * half
    for low, high in pairwise(edges):
        strip = (x >= low) & (x <= high)
        if not (strip & is_lower).any() or not (strip & ~is_lower).any():
            raise MetricError(
                f"face {face_model.name} has no facing lip vertices in one of {num_pairs} strips; take fewer"
            )
        upper.append(lips[torch.where(strip & ~is_lower, y, torch.inf).argmin()])
        lower.append(lips[torch.where(strip & is_lower, y, -torch.inf).argmax()])
    return torch.stack(upper), torch.stack(lower)


def mouth_opening_mm(upper: Tensor, lower: Tensor) -> Tensor:
    """Mean distance of facing lip vertices `[..., T, P, 3]` (metres) at each frame: `[..., T]` in mm."""
    return 1000 * (upper - lower).norm(dim=-1).mean(-1)


def closure_frames(opening: np.ndarray) -> np.ndarray:
    """Frames at which the mouth is at its most closed between two openings, from its opening `[T]` in any unit.

    Local minima whose prominence is at least a quarter of the curve's range (5th to 95th percentile), so that the result does
    not depend on how widely a person opens the mouth. Raises MetricError for a curve that is not finite.
    """
    opening = np.asarray(opening, np.float64)
    if not np.isfinite(opening).all():
        raise MetricError("mouth opening holds NaN or infinite values; closures cannot be found")
    if len(opening) < 3:
        return np.zeros(0, np.int64)
    low, high = np.percentile(opening, [5, 95])
    if high - low < 1e-9:
        return np.zeros(0, np.int64)
    return find_peaks(-opening, prominence=PROMINENCE * (high - low))[0]


def closure_agreement(
    prediction: np.ndarray, target: np.ndarray, tolerance: int = TOLERANCE_FRAMES
) -> ClosureAgreement:
    """Match the closures of two opening curves `[T]` one to one within `tolerance` frames (80 ms)."""
    ours, theirs = closure_frames(prediction), closure_frames(target)
    count = len(ours) + len(theirs)
    distance = np.abs(ours[:, None] - theirs[None, :]).astype(float)
    # Beyond the tolerance a pair costs as much as leaving both alone, so the assignment has as many matches as possible.
    rows, columns = linear_sum_assignment(np.where(distance <= tolerance, distance, 1e6))
    matched = distance[rows, columns]
    matched = matched[matched <= tolerance]
    return ClosureAgreement(
        f1=2 * len(matched) / count if count else float("nan"),
        offset_ms=MS_PER_FRAME * float(matched.mean()) if len(matched) else float("nan"),
        num_closures=count,
    )


def lip_closure_f1(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """F1 of `closure_agreement` of mouth openings `[B, T]`, each clip `[B]`; NaN without closures and where a curve is not finite."""
    return _closures(prediction, target, mask)[0].float()


def _closures(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """F1 and number of closures of each clip, float64; a curve that is not finite gives NaN and counts as one."""
    check_pair(prediction, target, mask, "B T")
    rows = []
    for ours, theirs, valid in zip(prediction, target, mask, strict=True):
        ours, theirs = ours[valid].detach().cpu(), theirs[valid].detach().cpu()
        if torch.isfinite(ours).all() and torch.isfinite(theirs).all():
            agreement = closure_agreement(ours.numpy(), theirs.numpy())
            rows.append((agreement.f1, agreement.num_closures))
        else:
            rows.append((float("nan"), 1))
    table = torch.tensor(rows, dtype=torch.float64, device=prediction.device).reshape(-1, 2)
    return table[:, 0], table[:, 1]


class LipClosureAgreement(WeightedMean):
    """F1 of closures over all clips: twice the matched ones over all of prediction and truth. A NaN in a curve makes it NaN."""

    higher_is_better = True

    def update(  # type: ignore[override]
        self, prediction: Tensor, target: Tensor, mask: Tensor, keys: Sequence[str] | None = None
    ) -> None:
        """Mouth openings `[B, T]` of prediction and truth and their mask `[B, T]`."""
        super().update(*_closures(prediction, target, mask), keys)

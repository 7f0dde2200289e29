"""Whether a prediction moves in the style of a reference: another recording of the person, so frames cannot be compared.

Coefficients are z-scored with the training corpus: prediction `[B, T, C]` with mask `[B, T]`, reference `[B, R, C]` with mask `[B, R]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from metrics.checks import MetricError, check_curve
from metrics.motion_statistics import MotionEmbedder, motion_statistics
from metrics.weighted_mean import WeightedMean


def style_statistics_distance(prediction: Tensor, reference: Tensor, mask: Tensor, reference_mask: Tensor) -> Tensor:
    """Root of the mean squared difference of `motion_statistics`, each clip `[B]`, in standard deviations of the corpus.

    Own definition: means tell the resting face, deviations how much, mean steps how fast. Never zero for two recordings of a person; the
    distance between two of their true clips is the mark to reach.
    """
    _check_channels(prediction, reference)
    difference = motion_statistics(prediction, mask) - motion_statistics(reference, reference_mask)
    return difference.square().mean(-1).sqrt().float()


def style_embedding_distance(
    prediction: Tensor, reference: Tensor, mask: Tensor, reference_mask: Tensor, embedder: MotionEmbedder
) -> Tensor:
    """1 less the cosine of the two embeddings, each clip `[B]`, 0 to 2.

    Meant for the embedding of a trained style or speaker classifier; the number means nothing without the embedder's fingerprint.
    """
    _check_channels(prediction, reference)
    check_curve(prediction, mask, "B T C")
    check_curve(reference, reference_mask, "B T C")
    ours, theirs = embedder(prediction, mask).double(), embedder(reference, reference_mask).double()
    # Not cosine_similarity, whose epsilon would call two zero vectors orthogonal rather than say that they have no direction.
    cosine = (ours * theirs).sum(-1) / (ours.norm(dim=-1) * theirs.norm(dim=-1))
    return (1 - cosine.clamp(-1, 1)).float()


def _check_channels(prediction: Tensor, reference: Tensor) -> None:
    if prediction.shape[0] != reference.shape[0] or prediction.shape[-1] != reference.shape[-1]:
        raise MetricError(
            f"the prediction has shape {list(prediction.shape)} and the reference {list(reference.shape)}; expected the same clips and coefficients"
        )


class StyleStatisticsDistance(WeightedMean):
    """`style_statistics_distance`; every clip of two or more frames weighs the same."""

    def update(  # type: ignore[override]
        self,
        prediction: Tensor,
        reference: Tensor,
        mask: Tensor,
        reference_mask: Tensor | None = None,
        keys: Sequence[str] | None = None,
    ) -> None:
        """Prediction `[B, T, C]`, reference `[B, R, C]` and their masks; without a second mask the first serves both."""
        reference_mask = mask if reference_mask is None else reference_mask
        values = style_statistics_distance(prediction, reference, mask, reference_mask)
        super().update(values, (mask.sum(1) >= 2) & (reference_mask.sum(1) >= 2), keys)


class StyleEmbeddingDistance(WeightedMean):
    """`style_embedding_distance` with one embedder; every clip with frames on both sides weighs the same."""

    def __init__(self, embedder: MotionEmbedder) -> None:
        super().__init__()
        self.embedder = embedder

    @property
    def fingerprint(self) -> str:
        """Report it with the number."""
        return self.embedder.fingerprint

    @property
    def facts(self) -> dict[str, Any]:
        return {"fingerprint": self.fingerprint}

    def update(  # type: ignore[override]
        self,
        prediction: Tensor,
        reference: Tensor,
        mask: Tensor,
        reference_mask: Tensor | None = None,
        keys: Sequence[str] | None = None,
    ) -> None:
        """Prediction `[B, T, C]`, reference `[B, R, C]` and their masks; without a second mask the first serves both."""
        reference_mask = mask if reference_mask is None else reference_mask
        values = style_embedding_distance(prediction, reference, mask, reference_mask, self.embedder)
        super().update(values, mask.any(1) & reference_mask.any(1), keys)

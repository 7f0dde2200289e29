"""How much the heads of a prediction move within a clip, beside the truth's: a frozen head scores zero however it is tilted."""

from __future__ import annotations

from typing import Any

from callbacks.validation_metric import ValidationMetric, meaning_of
from metrics.pose_diversity import PoseDiversity


class PoseDiversityCallback(ValidationMetric):
    """Logs `val/pose_diversity_within_deg` of the prediction and `val/pose_diversity_within_truth_deg`, in degrees.

    For modules whose prediction has `head` `[B, T, 3]`, axis-angle in radians.
    """

    def __init__(self) -> None:
        super().__init__(
            {"pose_diversity_within_deg": PoseDiversity(), "pose_diversity_within_truth_deg": PoseDiversity()}
        )

    def meaning(self, name: str) -> dict[str, str]:
        return meaning_of("pose_diversity_within_deg", "truth" if "truth" in name else "prediction")

    def update(self, batch: Any, prediction: Any, module: Any) -> None:
        self.metrics["pose_diversity_within_deg"].update(prediction.head, batch.mask, keys=batch.keys)
        self.metrics["pose_diversity_within_truth_deg"].update(batch.head, batch.mask, keys=batch.keys)

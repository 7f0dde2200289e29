"""How far reconstructed heads are from the true ones, and whether they tremble more."""

from __future__ import annotations

import math
from typing import Any

import torch
from torchmetrics import Metric

from callbacks.validation_metric import ValidationMetric
from faces.rotations import axis_angle_to_matrix, geodesic_distance
from metrics.motion_error import HeadJerkRatio, head_jerk_deg_per_s3
from metrics.weighted_mean import WeightedMean

DEGREES = 180 / math.pi
ANGLE = {
    "metric": "head_error_deg", "unit": "deg", "vertices": "head rotation", "average": "frames", "best": "lower", "source": "own: geodesic distance"
}  # fmt: skip
JERK = {
    "metric": "head_jerk_deg_per_s3", "unit": "deg/s^3", "vertices": "head rotation", "average": "frames", "best": "truth", "source": "own"
}  # fmt: skip
MEANINGS = {
    "head_error_deg": ANGLE | {"of": "prediction"},
    "head_error_mean_head_deg": ANGLE | {"of": "training corpus' mean head"},
    "head_jerk_deg_per_s3": JERK | {"of": "prediction"},
    "head_jerk_truth_deg_per_s3": JERK | {"of": "truth"},
}
# A third difference takes four frames.
JERK_FRAMES = 4


class PoseReconstructionCallback(ValidationMetric):
    """Logs `val/head_error_deg`, the mean angle between reconstructed and true rotation, every valid frame weighing the
    same, beside `val/head_error_mean_head_deg`, that of the training corpus' mean head; and the jerk after and before,
    `val/head_jerk_deg_per_s3` and `val/head_jerk_truth_deg_per_s3`, with their ratio `val/head_jerk_ratio` (over 1 =
    jittery, under 1 = smoothed).

    For modules whose network has a `representation` and whose prediction has `head` `[B, T, 3]`, axis-angle in radians.
    """

    def __init__(self) -> None:
        means = ("head_error_deg", "head_error_mean_head_deg", "head_jerk_deg_per_s3", "head_jerk_truth_deg_per_s3")
        metrics: dict[str, Metric] = {name: WeightedMean() for name in means}
        super().__init__(metrics | {"head_jerk_ratio": HeadJerkRatio()})

    def meaning(self, name: str) -> dict[str, str]:
        return MEANINGS[name] if name in MEANINGS else super().meaning(name)

    def update(self, batch: Any, prediction: Any, module: Any) -> None:
        mask, truth = batch.mask, axis_angle_to_matrix(batch.head)
        mean_head = module.net.representation.inverse(torch.zeros(6, device=batch.head.device))
        for name, head in {"head_error_deg": prediction.head, "head_error_mean_head_deg": mean_head}.items():
            angle = DEGREES * geodesic_distance(axis_angle_to_matrix(head), truth)
            self.metrics[name].update(angle, mask)
        counted = (mask.sum(1) - (JERK_FRAMES - 1)).clamp(min=0)
        for name, head in {"head_jerk_deg_per_s3": prediction.head, "head_jerk_truth_deg_per_s3": batch.head}.items():
            self.metrics[name].update(head_jerk_deg_per_s3(head, mask), counted)
        self.metrics["head_jerk_ratio"].update(prediction.head, batch.head, mask)

"""The accumulator that every metric class here derives from: a sum and a weight, divided once at the end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class WeightedMean(Metric):
    """Mean of values by weight: NaN without any weight, NaN as soon as one counted value is NaN.

    Not torchmetrics' MeanMetric: version 1.9 drops the weights when it is told to let NaN through. States are float64 sums,
    added over processes (`compute` is collective under DDP), so neither order nor number of processes changes the result.
    """

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor, weights: Tensor | float = 1.0) -> None:
        """Count `values` of any shape with `weights` that broadcast to it; values of weight zero may be anything."""
        values = values.detach().double()
        weights = torch.as_tensor(weights, dtype=torch.float64, device=values.device).expand_as(values)
        self.total += torch.where(weights > 0, values * weights, 0.0).sum()
        self.weight += weights.sum()

    def compute(self) -> Tensor:
        return self.total / self.weight

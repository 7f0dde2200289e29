"""Whether validation predictions move as much as the people do."""

from __future__ import annotations

from typing import Any

from callbacks.validation_metric import ValidationMetric
from metrics.expression_richness import ExpressionRichnessRatio


class ExpressionRichnessCallback(ValidationMetric):
    """Logs `val/expression_richness_ratio`: within-clip spread of the z-scored prediction over the truth's; 1 = as rich, below = too flat."""

    def __init__(self) -> None:
        super().__init__({"expression_richness_ratio": ExpressionRichnessRatio()})

    def update(self, batch: Any, prediction: Any, module: Any) -> None:
        predicted = module.net.normalise(prediction.expression, prediction.jaw)
        self.metrics["expression_richness_ratio"].update(
            predicted, module.net.normalise(batch.expression, batch.jaw), batch.mask, keys=batch.keys
        )

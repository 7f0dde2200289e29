"""What the metric callbacks share: a torchmetrics metric fed with predictions, computed once a validation and logged."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytorch_lightning as pl
from torchmetrics import Metric

from metrics.registry import find_metric

NAMED_CLIPS = 5


class ValidationMetric(pl.Callback):
    """Updates `metrics` (logged name -> Metric) on every validation batch and logs `val/<name>` at the end.

    Metrics accumulate sums and counts and reduce over ranks in `compute`, so the value does not depend on ranks or batch size.
    Subclasses implement `update(batch, prediction, module)`, with `prediction` as the module's `StepOutput.prediction`, and hand on
    `keys=batch.keys`: where a value is not finite, the clips that spoiled it are named on stderr. Where a logged name is not that of the registry's
    row, `meaning` says what it is.
    """

    def __init__(self, metrics: dict[str, Metric]) -> None:
        self.metrics = metrics

    def update(self, batch: Any, prediction: Any, module: Any) -> None:
        raise TypeError(f"{type(self).__name__} must implement update(batch, prediction, module)")

    def meaning(self, name: str) -> dict[str, str]:
        """Metric, whose motion it is of, unit, vertices, averaging, direction and source of the logged `name`."""
        return meaning_of(name)

    def metadata(self) -> dict[str, dict[str, str]]:
        """`meaning` of every `val/<name>`, for `callbacks.metric_metadata`."""
        return {f"val/{name}": self.meaning(name) for name in self.metrics}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for metric in self.metrics.values():
            metric.to(pl_module.device).reset()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.update(batch, outputs.prediction, pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name, metric in self.metrics.items():
            value = metric.compute()
            if trainer.is_global_zero and not math.isfinite(float(value)):
                print(f"step {trainer.global_step}: {_why_not_finite(name, float(value), metric)}", file=sys.stderr)
            if not trainer.sanity_checking:
                pl_module.log(f"val/{name}", value, batch_size=1, rank_zero_only=False)


def meaning_of(metric: str, of: str = "prediction", **changed: str) -> dict[str, str]:
    """What the registry says of `metric`, with whose motion was measured; `changed` fields go before it."""
    return {"metric": metric, "of": of, **find_metric(metric).metadata, **changed}


def _why_not_finite(name: str, value: float, metric: Metric) -> str:
    clips = getattr(metric, "bad_clips", [])
    if not clips:
        return f"val/{name} is {value}: no clip could be measured"
    more = f" and {len(clips) - NAMED_CLIPS} more" if len(clips) > NAMED_CLIPS else ""
    return f"val/{name} is {value} because of {', '.join(clips[:NAMED_CLIPS])}{more}"

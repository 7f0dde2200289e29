"""How much of the codebooks validation uses: collapse shows here first."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from callbacks.validation_metric import ValidationMetric, meaning_of
from metrics.code_usage import CodePerplexity, CodeUsage


class CodeUsageCallback(ValidationMetric):
    """Logs `val/code_usage` (share of codes that occur, 0 to 1) and `val/code_perplexity`, over all validation clips.

    For modules whose network has a `quantizer` and whose prediction has `codes` `[B, S, Q]` and `code_mask` `[B, S]`. Of
    several codebooks the second is `val/code_usage_2`, and so on. Usage grows with the amount of validation data.
    """

    def __init__(self) -> None:
        super().__init__({})

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        quantizer = pl_module.net.quantizer
        for number in range(quantizer.codes_per_step):
            self.metrics[_named("code_usage", number)] = CodeUsage(quantizer.num_codes)
            self.metrics[_named("code_perplexity", number)] = CodePerplexity(quantizer.num_codes)

    def meaning(self, name: str) -> dict[str, str]:
        metric = "code_usage" if name.startswith("code_usage") else "code_perplexity"
        return meaning_of(metric, f"codebook {name.removeprefix(metric).lstrip('_') or 1}")

    def update(self, batch: Any, prediction: Any, module: Any) -> None:
        for number in range(prediction.codes.shape[-1]):
            for name in ("code_usage", "code_perplexity"):
                self.metrics[_named(name, number)].update(prediction.codes[..., number], prediction.code_mask)


def _named(name: str, number: int) -> str:
    return name if number == 0 else f"{name}_{number + 1}"

"""Runs of baselines in closed form: fitted before the first step, validated, scored and compared like trained ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_modules.expression_pretraining import ExpressionPretraining
from losses.expression_loss import ExpressionLoss
from networks.expression_adapter import AdapterOutput
from networks.fitted_baselines import FittedBaseline
from networks.speech_front_end import speech_of


class FittedBaselineRun(ExpressionPretraining):
    """`net` is fitted on the training clips when its statistics are taken; steps then change nothing, and one is enough.

    Raises ValueError on several ranks, which would fit on different clips.
    """

    net: Any

    def __init__(self, net: FittedBaseline, loss: ExpressionLoss) -> None:
        super().__init__(net, loss, optimizer=torch.optim.SGD)  # type: ignore[arg-type]
        # Lightning counts steps of an optimiser, and one must hold something.
        self.unused = torch.nn.Parameter(torch.zeros(()), requires_grad=False)

    def take_statistics(self, data: Any) -> None:
        self.net.set_statistics(*data.statistics)
        validation = data.evaluation_dataloader("val") if data.chosen["val"] else None
        self.net.fit(data.evaluation_dataloader("train"), validation)

    def setup(self, stage: str) -> None:
        if self.trainer.world_size > 1:
            raise ValueError(
                f"a baseline in closed form is fitted by one process, got {self.trainer.world_size} ranks; set trainer.devices=1"
            )

    @torch.no_grad()
    def _output(self, batch: Any, reference: Tensor) -> AdapterOutput:
        style = self.net.style_of(reference, batch.reference_num_frames)
        output = self.net.speak(speech_of(self.net.front_end, batch), batch.num_frames, style)
        return AdapterOutput(output, output)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:  # type: ignore[override]
        return None

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([self.unused], lr=0.0)

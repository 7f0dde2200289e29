"""Pre-training of the expression adapter: speech and a reference clip in, the coefficients of the speaker out."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_modules.logged_numbers import described_loss
from lightning_modules.optimization import MakeOptimizer, MakeScheduler, optimizer_and_schedule
from losses.expression_loss import ExpressionLoss
from metrics.weighted_mean import WeightedMean
from networks.expression_adapter import AdapterOutput, ExpressionAdapter
from networks.speech_front_end import speech_of


class Prediction(NamedTuple):
    """Raw units, detached: `expression` `[B, T, E]`, `jaw` `[B, T, 3]` (axis-angle, radians)."""

    expression: Tensor
    jaw: Tensor


class StepOutput(NamedTuple):
    """What training, validation and test steps share; callbacks compute their metrics from `prediction`."""

    loss: Tensor
    terms: dict[str, Tensor]
    prediction: Prediction


class ExpressionPretraining(pl.LightningModule):
    """Joins network, loss and optimiser; holds no layers of its own.

    `optimizer` makes an optimiser from parameter groups, `scheduler` a schedule from (optimiser, max_steps). `metrics`
    (name -> Metric) are updated with (predicted expression, true expression, mask) in validation and logged as
    `val/<name>`. Batches are `SpeechFaceBatch`es. Logs `train/loss` and `train/loss_<term>` (of the first rank's share of a batch) and
    `val/loss`, the mean over clips whatever the ranks and batch sizes. Raises ValueError for an optimiser that refuses its settings.
    """

    def __init__(
        self,
        net: ExpressionAdapter,
        loss: ExpressionLoss,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
        metrics: dict[str, Metric] | None = None,
    ) -> None:
        super().__init__()
        _require_optimizer(optimizer)
        self.net = net
        self.loss = loss
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.validation_loss = WeightedMean()
        self.metrics = torch.nn.ModuleDict(metrics or {})

    def take_statistics(self, data: Any) -> None:
        """Give the network mean and deviation of the coefficients that a datamodule trains on."""
        self.net.set_statistics(*data.statistics)

    def _step(self, batch: Any) -> StepOutput:
        net = self.net
        target = net.normalise(batch.expression, batch.jaw)
        output = self._output(batch, net.normalise(batch.reference_expression, batch.reference_jaw))
        loss, terms = self.loss(output.mid, output.final, target, batch.mask, std=net.std)
        return StepOutput(loss, terms, Prediction(*net.raw_output(output.final.detach())))

    def _output(self, batch: Any, reference: Tensor) -> AdapterOutput:
        return self.net(
            speech_of(self.net.front_end, batch),
            batch.num_frames,
            reference,
            batch.reference_num_frames,
            batch.identity,
            batch.identity_known,
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step = self._step(batch)
        values = {"train/loss": step.loss} | {f"train/loss_{name}": term for name, term in step.terms.items()}
        self.log_dict(values, batch_size=len(batch.num_frames), on_step=True, on_epoch=False)
        return step.loss

    # Lightning hands the returned value to callbacks as it is; its type hints are narrower than that.
    def validation_step(self, batch: Any, batch_idx: int) -> StepOutput:  # type: ignore[override]
        return self._evaluation_step(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> StepOutput:  # type: ignore[override]
        return self._evaluation_step(batch, "test")

    def metadata(self) -> dict[str, dict[str, str]]:
        return described_loss("frames" if self.loss.reduction == "frame_sum" else "clips")

    def _evaluation_step(self, batch: Any, split: str) -> StepOutput:
        step = self._step(batch)
        size = len(batch.num_frames)
        self.validation_loss.update(step.loss, self.loss.weight(batch.mask))
        self.log(f"{split}/loss", self.validation_loss, batch_size=size, on_step=False, on_epoch=True)
        for name, module in self.metrics.items():
            metric = cast(Metric, module)
            metric.update(step.prediction.expression, batch.expression, batch.mask)
            self.log(f"{split}/{name}", metric, batch_size=size, on_step=False, on_epoch=True)
        return step

    def predict_step(self, batch: Any, batch_idx: int = 0) -> Prediction:
        return self.predict(batch)

    @torch.no_grad()
    def predict(self, batch: Any, guidance: float = 1.0) -> Prediction:
        """Raw expression and jaw for a batch's speech, in the style of its references and with its identities."""
        reference = torch.cat([batch.reference_expression, batch.reference_jaw], dim=-1)
        return Prediction(
            *self.net.generate(
                speech_of(self.net.front_end, batch),
                batch.num_frames,
                reference,
                batch.reference_num_frames,
                batch.identity,
                batch.identity_known,
                guidance=guidance,
            )
        )

    def configure_optimizers(self) -> Any:
        return optimizer_and_schedule(self.net, self.make_optimizer, self.make_scheduler, self.trainer.max_steps)


def _require_optimizer(make_optimizer: MakeOptimizer) -> None:
    """A learning rate that cannot be is told before a run has a folder, not when its training begins."""
    try:
        make_optimizer([{"params": [torch.zeros(1, requires_grad=True)]}])
    except ValueError as error:
        raise ValueError(f"the optimiser refuses its settings ({error}); give a learning rate of at least 0") from error

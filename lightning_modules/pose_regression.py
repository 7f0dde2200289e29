"""Training of the regression from speech to head motion, the baseline of the pose adapter."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytorch_lightning as pl
from torch import Tensor

from lightning_modules.logged_numbers import described_loss
from lightning_modules.optimization import MakeOptimizer, MakeScheduler, optimizer_and_schedule
from losses.masked import masked_l1, masked_velocity_l1
from metrics.weighted_mean import WeightedMean
from networks.pose_baselines import HeadRegression


class PredictedHead(NamedTuple):
    """Head rotations `[B, T, 3]` (axis-angle, radians), detached."""

    head: Tensor


class PoseRegressionStep(NamedTuple):
    """What validation hands to callbacks."""

    loss: Tensor
    prediction: PredictedHead


class PoseRegressionTraining(pl.LightningModule):
    """Joins network and optimiser; holds no layers of its own.

    The loss is L1 of the head's channels and `velocity` times L1 of their differences, clips weighing the same. Batches
    are `SpeechFaceBatch`es with references. Logs `train/loss` and `val/loss`.
    """

    def __init__(
        self,
        net: HeadRegression,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
        velocity: float = 10.0,
    ) -> None:
        super().__init__()
        self.net = net
        self.velocity = velocity
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.validation_loss = WeightedMean()

    def take_statistics(self, data: Any) -> None:
        """Give the network mean and deviation of the head rotations that a datamodule trains on."""
        head = data.motion_statistics.head
        self.net.set_statistics(head.mean, head.std)

    def _step(self, batch: Any) -> tuple[Tensor, Tensor]:
        channels = self.net(batch.audio, batch.num_frames, batch.reference_head, batch.reference_num_frames)
        target = self.net.representation(batch.head)
        loss = masked_l1(channels, target, batch.mask)
        return loss + self.velocity * masked_velocity_l1(channels, target, batch.mask), channels

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss, _ = self._step(batch)
        self.log("train/loss", loss, batch_size=len(batch.num_frames), on_step=True, on_epoch=False)
        return loss

    # Lightning hands the returned value to callbacks as it is; its type hints are narrower than that.
    def validation_step(self, batch: Any, batch_idx: int) -> PoseRegressionStep:  # type: ignore[override]
        loss, channels = self._step(batch)
        size = len(batch.num_frames)
        self.validation_loss.update(loss, size)
        self.log("val/loss", self.validation_loss, batch_size=size, on_step=False, on_epoch=True)
        head = self.net.representation.inverse(channels.detach().float())
        return PoseRegressionStep(loss, PredictedHead(head.masked_fill(~batch.mask.unsqueeze(-1), 0.0)))

    def metadata(self) -> dict[str, dict[str, str]]:
        return described_loss()

    def configure_optimizers(self) -> Any:
        return optimizer_and_schedule(self.net, self.make_optimizer, self.make_scheduler, self.trainer.max_steps)

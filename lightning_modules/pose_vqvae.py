"""Training of the pose VQ-VAE: head rotations to codes and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytorch_lightning as pl
from torch import Tensor

from lightning_modules.optimization import MakeOptimizer, MakeScheduler, optimizer_and_schedule
from losses.pose_reconstruction_loss import PoseReconstructionLoss
from metrics.weighted_mean import WeightedMean
from networks.conformer import valid_frames
from networks.pose_vqvae import PoseVQVAE


class PoseReconstructed(NamedTuple):
    """Detached: `head` `[B, T, 3]` (axis-angle, radians), `codes` `[B, S, Q]` and which of them are valid, `code_mask`
    `[B, S]`.
    """

    head: Tensor
    codes: Tensor
    code_mask: Tensor


class PoseVQVAEStep(NamedTuple):
    """What training and validation steps share; callbacks compute their metrics from `prediction`."""

    loss: Tensor
    terms: dict[str, Tensor]
    prediction: PoseReconstructed


class PoseVQVAETraining(pl.LightningModule):
    """Joins network, loss and optimiser; holds no layers of its own.

    `optimizer` makes an optimiser from parameter groups, `scheduler` a schedule from (optimiser, max_steps). Batches are
    `SpeechFaceBatch`es, of which `head` and `num_frames` are read. Codebooks learn in the forward pass of training, and
    are buffers of the network: checkpoints hold them whole. Logs `train/loss`, `train/loss_<term>` and
    `train/code_perplexity` (of the first codebook and the first rank's share of a batch), and `val/loss`, the mean over clips.
    """

    def __init__(
        self,
        net: PoseVQVAE,
        loss: PoseReconstructionLoss,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.loss = loss
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.validation_loss = WeightedMean()

    def take_statistics(self, data: Any) -> None:
        """Give the network mean and deviation of the head rotations that a datamodule trains on."""
        head = data.motion_statistics.head
        self.net.set_statistics(head.mean, head.std)

    def _step(self, batch: Any) -> tuple[PoseVQVAEStep, Tensor]:
        result = self.net(batch.head, batch.num_frames)
        loss, terms = self.loss(result.channels, result.target, batch.mask, result.quantized.losses)
        head = self.net.representation.inverse(result.channels.detach().float())
        codes = result.quantized.codes
        steps = valid_frames(self.net.num_steps(batch.num_frames), codes.shape[1])
        prediction = PoseReconstructed(head.masked_fill(~batch.mask.unsqueeze(-1), 0.0), codes, steps)
        return PoseVQVAEStep(loss, terms, prediction), result.quantized.usage.perplexity[0]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step, perplexity = self._step(batch)
        values = {"train/loss": step.loss, "train/code_perplexity": perplexity}
        values |= {f"train/loss_{name}": term for name, term in step.terms.items()}
        self.log_dict(values, batch_size=len(batch.num_frames), on_step=True, on_epoch=False)
        return step.loss

    # Lightning hands the returned value to callbacks as it is; its type hints are narrower than that.
    def validation_step(self, batch: Any, batch_idx: int) -> PoseVQVAEStep:  # type: ignore[override]
        step, _ = self._step(batch)
        size = len(batch.num_frames)
        self.validation_loss.update(step.loss, size)
        self.log("val/loss", self.validation_loss, batch_size=size, on_step=False, on_epoch=True)
        return step

    def configure_optimizers(self) -> Any:
        return optimizer_and_schedule(self.net, self.make_optimizer, self.make_scheduler, self.trainer.max_steps)

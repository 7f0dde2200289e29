"""What the trainings of all discrete autoencoders share: the pose VQ-VAE and CodeTalker's motion prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import pytorch_lightning as pl
from torch import Tensor

from lightning_modules.logged_numbers import described_loss
from lightning_modules.optimization import MakeOptimizer, MakeScheduler, optimizer_and_schedule
from metrics.weighted_mean import WeightedMean


class CodeAutoencoderStep(NamedTuple):
    """What training and validation steps share; callbacks compute their metrics from `prediction`."""

    loss: Tensor
    terms: dict[str, Tensor]
    prediction: Any


class CodeAutoencoderTraining(pl.LightningModule, ABC):
    """Joins network and optimiser; holds no layers of its own. A subclass says what a step means.

    `optimizer` makes an optimiser from parameter groups, `scheduler` a schedule from (optimiser, max_steps). Codebooks learn in the forward
    pass of training, and are buffers of the network: checkpoints hold them whole. Logs `train/loss`, `train/loss_<term>` and
    `train/code_perplexity` (of the first codebook and the first rank's share of a batch), and `val/loss`, the mean over clips.
    """

    net: Any

    def __init__(self, net: Any, optimizer: MakeOptimizer, scheduler: MakeScheduler | None = None) -> None:
        super().__init__()
        self.net = net
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.validation_loss = WeightedMean()

    @abstractmethod
    def _step(self, batch: Any) -> tuple[CodeAutoencoderStep, Tensor]:
        """Loss, its terms and the reconstruction of a batch, and the perplexity of its codes."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step, perplexity = self._step(batch)
        values = {"train/loss": step.loss, "train/code_perplexity": perplexity}
        values |= {f"train/loss_{name}": term for name, term in step.terms.items()}
        self.log_dict(values, batch_size=len(batch.num_frames), on_step=True, on_epoch=False)
        return step.loss

    # Lightning hands the returned value to callbacks as it is; its type hints are narrower than that.
    def validation_step(self, batch: Any, batch_idx: int) -> CodeAutoencoderStep:  # type: ignore[override]
        step, _ = self._step(batch)
        size = len(batch.num_frames)
        self.validation_loss.update(step.loss, size)
        self.log("val/loss", self.validation_loss, batch_size=size, on_step=False, on_epoch=True)
        return step

    def metadata(self) -> dict[str, dict[str, str]]:
        return described_loss()

    def configure_optimizers(self) -> Any:
        return optimizer_and_schedule(self.net, self.make_optimizer, self.make_scheduler, self.trainer.max_steps)

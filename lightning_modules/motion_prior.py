"""Training of CodeTalker's motion prior: displacements from the resting face to codes and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytorch_lightning as pl
from torch import Tensor

from lightning_modules.expression_pretraining import Prediction
from lightning_modules.optimization import MakeOptimizer, MakeScheduler, optimizer_and_schedule
from losses.masked import masked_l1
from metrics.weighted_mean import WeightedMean
from networks.codetalker_prior import MotionPrior


class MotionReconstructed(NamedTuple):
    """Detached, raw units: `expression` `[B, T, E]`, `jaw` `[B, T, 3]`; `codes` `[B, T, H]` as one column `[B, T * H, 1]`, `code_mask`."""

    expression: Tensor
    jaw: Tensor
    codes: Tensor
    code_mask: Tensor


class MotionPriorStep(NamedTuple):
    """What training and validation share; callbacks compute their metrics from `prediction`."""

    loss: Tensor
    terms: dict[str, Tensor]
    prediction: MotionReconstructed


class MotionPriorTraining(pl.LightningModule):
    """L1 of the reconstructed displacements, clips weighing the same, plus `commitment` times the quantiser's losses (as in the paper; the
    codebook follows the features by moving averages). The resting face is the mean of each clip's reference.

    Logs `train/loss`, `train/loss_<term>`, `train/code_perplexity` (of the first rank's share of a batch) and `val/loss`, the mean over clips.
    """

    def __init__(
        self,
        net: MotionPrior,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
        commitment: float = 0.25,
    ) -> None:
        super().__init__()
        self.net, self.commitment = net, commitment
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.validation_loss = WeightedMean()

    def take_statistics(self, data: Any) -> None:
        """Give the network mean and deviation of the coefficients that a datamodule trains on."""
        self.net.set_statistics(*data.statistics)

    def _step(self, batch: Any) -> tuple[MotionPriorStep, Tensor]:
        net = self.net
        reference = net.normalise(batch.reference_expression, batch.reference_jaw)
        resting = net.resting(reference, batch.reference_num_frames).unsqueeze(1)
        motion = net.normalise(batch.expression, batch.jaw) - resting
        found = net(motion, batch.num_frames)
        terms = {"motion": masked_l1(found.motion, motion, batch.mask)} | found.quantized.losses
        loss = terms["motion"] + sum(self.commitment * term for term in found.quantized.losses.values())
        codes = found.quantized.codes.flatten(1).unsqueeze(-1)
        mask = batch.mask.repeat_interleave(net.components, dim=1)
        raw = Prediction(*net.raw_output(found.motion.detach() + resting))
        step = MotionPriorStep(
            loss, {name: term.detach() for name, term in terms.items()}, MotionReconstructed(*raw, codes, mask)
        )
        return step, found.quantized.usage.perplexity[0]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step, perplexity = self._step(batch)
        values = {"train/loss": step.loss, "train/code_perplexity": perplexity}
        values |= {f"train/loss_{name}": term for name, term in step.terms.items()}
        self.log_dict(values, batch_size=len(batch.num_frames), on_step=True, on_epoch=False)
        return step.loss

    # Lightning hands the returned value to callbacks as it is; its type hints are narrower than that.
    def validation_step(self, batch: Any, batch_idx: int) -> MotionPriorStep:  # type: ignore[override]
        step, _ = self._step(batch)
        size = len(batch.num_frames)
        self.validation_loss.update(step.loss, size)
        self.log("val/loss", self.validation_loss, batch_size=size, on_step=False, on_epoch=True)
        return step

    def configure_optimizers(self) -> Any:
        return optimizer_and_schedule(self.net, self.make_optimizer, self.make_scheduler, self.trainer.max_steps)

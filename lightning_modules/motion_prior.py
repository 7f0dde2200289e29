"""Training of CodeTalker's motion prior: displacements from the resting face to codes and back."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from lightning_modules.code_autoencoder import CodeAutoencoderStep, CodeAutoencoderTraining
from lightning_modules.expression_pretraining import Prediction
from lightning_modules.optimization import MakeOptimizer, MakeScheduler
from losses.masked import masked_l1
from networks.codetalker_prior import MotionPrior


class MotionReconstructed(NamedTuple):
    """Detached, raw units: `expression` `[B, T, E]`, `jaw` `[B, T, 3]`; `codes` `[B, T, H]` as one column `[B, T * H, 1]`, `code_mask`."""

    expression: Tensor
    jaw: Tensor
    codes: Tensor
    code_mask: Tensor


class MotionPriorTraining(CodeAutoencoderTraining):
    """See `CodeAutoencoderTraining`. The loss is L1 of the reconstructed displacements, clips weighing the same, plus `commitment` times the
    quantiser's losses (as in the paper; the codebook follows the features by moving averages). The resting face is the mean of each clip's reference.
    """

    net: MotionPrior

    def __init__(
        self,
        net: MotionPrior,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
        commitment: float = 0.25,
    ) -> None:
        super().__init__(net, optimizer, scheduler)
        self.commitment = commitment

    def take_statistics(self, data: Any) -> None:
        """Give the network mean and deviation of the coefficients that a datamodule trains on."""
        self.net.set_statistics(*data.statistics)

    def _step(self, batch: Any) -> tuple[CodeAutoencoderStep, Tensor]:
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
        step = CodeAutoencoderStep(
            loss, {name: term.detach() for name, term in terms.items()}, MotionReconstructed(*raw, codes, mask)
        )
        return step, found.quantized.usage.perplexity[0]

"""Training of networks that know their speakers by name: FaceFormer, and the second stage of CodeTalker."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_modules.expression_pretraining import ExpressionPretraining, Prediction, StepOutput
from lightning_modules.optimization import MakeOptimizer, MakeScheduler
from losses.expression_loss import ExpressionLoss
from losses.masked import masked_l2
from losses.motion_mse import MotionMSE
from networks.codetalker import CodeTalker
from networks.expression_adapter import AdapterOutput
from networks.faceformer import FaceFormer
from networks.speech_front_end import speech_of


class FaceFormerTraining(ExpressionPretraining):
    """As `ExpressionPretraining`; the one output of the network counts as the one before and the one after the post-net.

    Training and validation are the same: autoregressive. Speakers that were not trained on get the mean of all styles.
    """

    net: Any

    def __init__(
        self,
        net: FaceFormer,
        loss: ExpressionLoss | MotionMSE,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
    ) -> None:
        super().__init__(net, loss, optimizer, scheduler)  # type: ignore[arg-type]

    def _output(self, batch: Any, reference: Tensor) -> AdapterOutput:
        style = self.net.style_of(reference, batch.reference_num_frames, batch.speakers)
        output = self.net(speech_of(self.net.front_end, batch), batch.num_frames, style)
        return AdapterOutput(output, output)


class CodeTalkerTraining(ExpressionPretraining):
    """As `ExpressionPretraining`, given the true past (teacher forcing, as the paper), with a frozen motion prior.

    The loss is that of the decoded motion plus `regularity` times the mean squared distance of the predicted features from the true motion's
    codes (both weigh 1 in the paper). Validation measures what the network generates by itself; `val/loss` is given the true past.
    """

    net: Any

    def __init__(
        self,
        net: CodeTalker,
        loss: ExpressionLoss | MotionMSE,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
        regularity: float = 1.0,
    ) -> None:
        super().__init__(net, loss, optimizer, scheduler)  # type: ignore[arg-type]
        self.regularity = regularity

    def _step(self, batch: Any) -> StepOutput:
        net, speech = self.net, speech_of(self.net.front_end, batch)
        target = net.normalise(batch.expression, batch.jaw)
        reference = net.normalise(batch.reference_expression, batch.reference_jaw)
        style = net.style_of(reference, batch.reference_num_frames, batch.speakers)
        output = net(speech, batch.num_frames, style, target)
        loss, terms = self.loss(output.coefficients, output.coefficients, target, batch.mask, std=net.std)
        regularity = masked_l2(output.features, output.true_codes, batch.mask)
        found = output.coefficients.detach() if self.training else net.speak(speech, batch.num_frames, style)
        terms = {**terms, "regularity": regularity.detach()}
        return StepOutput(loss + self.regularity * regularity, terms, Prediction(*net.raw_output(found)))

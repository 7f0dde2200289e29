"""Training of the pose VQ-VAE: head rotations to codes and back."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from lightning_modules.code_autoencoder import CodeAutoencoderStep, CodeAutoencoderTraining
from lightning_modules.optimization import MakeOptimizer, MakeScheduler
from losses.pose_reconstruction_loss import PoseReconstructionLoss
from networks.conformer import valid_frames
from networks.pose_vqvae import PoseVQVAE


class PoseReconstructed(NamedTuple):
    """Detached: `head` `[B, T, 3]` (axis-angle, radians), `codes` `[B, S, Q]` and which of them are valid, `code_mask`
    `[B, S]`.
    """

    head: Tensor
    codes: Tensor
    code_mask: Tensor


class PoseVQVAETraining(CodeAutoencoderTraining):
    """See `CodeAutoencoderTraining`. Batches are `SpeechFaceBatch`es, of which `head` and `num_frames` are read."""

    net: PoseVQVAE

    def __init__(
        self,
        net: PoseVQVAE,
        loss: PoseReconstructionLoss,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
    ) -> None:
        super().__init__(net, optimizer, scheduler)
        self.loss = loss

    def take_statistics(self, data: Any) -> None:
        """Give the network mean and deviation of the head rotations that a datamodule trains on."""
        head = data.motion_statistics.head
        self.net.set_statistics(head.mean, head.std)

    def _step(self, batch: Any) -> tuple[CodeAutoencoderStep, Tensor]:
        result = self.net(batch.head, batch.num_frames)
        loss, terms = self.loss(result.channels, result.target, batch.mask, result.quantized.losses)
        head = self.net.representation.inverse(result.channels.detach().float())
        codes = result.quantized.codes
        steps = valid_frames(self.net.num_steps(batch.num_frames), codes.shape[1])
        prediction = PoseReconstructed(head.masked_fill(~batch.mask.unsqueeze(-1), 0.0), codes, steps)
        return CodeAutoencoderStep(loss, terms, prediction), result.quantized.usage.perplexity[0]

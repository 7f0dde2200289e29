"""The training loss of FaceFormer and CodeTalker, over coefficients in place of vertices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from losses.expression_loss import LossOutput
from losses.masked import masked_l2


class MotionMSE(nn.Module):
    """Mean squared error of normalised coefficients over valid frames, as in both papers, clips weighing the same.

    Has the interface of `ExpressionLoss`, of whose two predictions only `final` is read.
    """

    def forward(
        self, mid: Tensor, final: Tensor, target: Tensor, mask: Tensor, std: Tensor | None = None
    ) -> LossOutput:
        """`final` and `target` `[B, T, E + 3]` normalised, mask `[B, T]`."""
        total = masked_l2(final, target, mask)
        return LossOutput(total, {"final": total.detach()})

    def weight(self, mask: Tensor) -> Tensor:
        """What the loss of a batch counts in a mean over batches: its clips."""
        return torch.tensor(len(mask), device=mask.device)

"""Random changes of voice and channel on log-mel frames, so that a network cannot tell training speakers by their sound."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WARP = 0.15
TILT = 0.5
GAIN = 0.4
MASKED_MELS = 12


class VoiceAugmentation(nn.Module):
    """In training, another voice for each clip of log-mel `[B, K, F]`; in evaluation nothing. Draws: torch's global generator.

    The mel axis is stretched by up to 15 % (vocal tract length perturbation, Jaitly and Hinton, 2013), a random gain and
    tilt change level and channel, and one band of up to 12 filters is set to the clip's level (SpecAugment, Park et al.,
    2019). Nothing changes over time, so the lips stay in place.
    """

    def forward(self, mel: Tensor) -> Tensor:
        if not self.training:
            return mel
        batch, _, mels = mel.shape
        position = torch.arange(mels, device=mel.device, dtype=mel.dtype)
        mel = mel @ self._stretch(batch, position)
        slope = (position / (mels - 1) - 0.5) * (4 * TILT * (torch.rand(batch, 1, device=mel.device) - 0.5))
        gain = 2 * GAIN * (torch.rand(batch, 1, device=mel.device) - 0.5)
        mel = mel + (gain + slope).unsqueeze(1)
        return torch.where(self._band(batch, position).unsqueeze(1), mel.mean(2, keepdim=True), mel)

    def _stretch(self, batch: int, position: Tensor) -> Tensor:
        """Linear interpolation at stretched positions as matrices `[B, F, F]`; beyond the last filter it is repeated."""
        factor = 1 + WARP * (2 * torch.rand(batch, 1, device=position.device) - 1)
        source = (position * factor).clamp(max=len(position) - 1)
        return (1 - (position[:, None] - source.unsqueeze(1)).abs()).clamp(min=0)

    def _band(self, batch: int, position: Tensor) -> Tensor:
        width = (MASKED_MELS + 1) * torch.rand(batch, 1, device=position.device)
        start = (len(position) - width) * torch.rand(batch, 1, device=position.device)
        return (position >= start) & (position < start + width.floor())

"""Style of a reference expression sequence as one vector, as in AdaMesh's style encoder; sizes are this project's own."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from networks.conformer import Conformer, ConformerSettings, valid_frames

SPAN_FRAMES = (10, 25)


class Style(NamedTuple):
    """`embedding` `[B, width]`, and what needs no learning: `resting` and `spread` `[B, C]`, the mean and the standard deviation
    of the reference's coefficients in normalised units. The null style rests at 0 and spreads by 1, the corpus' average.
    """

    embedding: Tensor
    resting: Tensor
    spread: Tensor


class StyleEncoder(nn.Module):
    """Normalised reference `[B, R, C]` with `num_frames` [B] -> `Style`.

    In training, spans of 10 to 25 frames are replaced by a learned vector until `hidden_share` of the valid frames is hidden, so
    that the style cannot copy the course of the reference; and with probability `null_probability` the whole style is
    replaced by a learned null vector, which makes guidance possible (Ho and Salimans, 2022). A reference of no frames
    gives the null style. Draws come from torch's global generator.
    """

    def __init__(
        self,
        num_channels: int,
        settings: ConformerSettings,
        num_blocks: int = 2,
        null_probability: float = 0.1,
        hidden_share: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0 <= null_probability <= 1 or not 0 <= hidden_share < 1:
            raise ValueError(
                f"null_probability={null_probability}, hidden_share={hidden_share}; expected a probability and a share under 1"
            )
        self.hidden_share = hidden_share
        self.null_probability = null_probability
        self.input = nn.Linear(num_channels, settings.width)
        self.mask_embedding = nn.Parameter(0.02 * torch.randn(settings.width))
        self.null_embedding = nn.Parameter(0.02 * torch.randn(settings.width))
        self.conformer = Conformer(settings, num_blocks)
        self.pooling_score = nn.Linear(settings.width, 1)
        self.output = nn.Linear(settings.width, settings.width)

    def forward(self, reference: Tensor, num_frames: Tensor) -> Style:
        null = self.null_style(len(num_frames))
        if reference.shape[1] == 0:
            return null
        mask = valid_frames(num_frames, reference.shape[1])
        reference = reference.masked_fill(~mask.unsqueeze(-1), 0.0)
        x = self.input(reference)
        is_null, visible = num_frames <= 0, mask
        if self.training:
            hidden = draw_hidden_frames(num_frames, reference.shape[1], self.hidden_share)
            x = torch.where(hidden.unsqueeze(-1), self.mask_embedding, x)
            visible = mask & ~hidden
            is_null = is_null | (torch.rand(len(num_frames), device=mask.device) < self.null_probability)
        embedding = self.output(self._pool(self.conformer(x, mask), mask))
        style = Style(embedding, *mean_and_deviation(reference, visible))
        return Style(*(torch.where(is_null.unsqueeze(-1), n, s) for n, s in zip(null, style, strict=True)))

    def null_style(self, batch: int) -> Style:
        average = self.null_embedding.new_zeros(batch, self.input.in_features)
        return Style(self.null_embedding.expand(batch, -1), average, average + 1)

    def _pool(self, x: Tensor, mask: Tensor) -> Tensor:
        """Mean over valid frames, weighted by a softmax of learned scores."""
        # A finite value: over a reference without frames the softmax must not become NaN.
        scores = self.pooling_score(x).float().masked_fill(~mask.unsqueeze(-1), -1e4)
        return (torch.softmax(scores, dim=1).to(x.dtype) * x).sum(dim=1)


def mean_and_deviation(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation `[B, C]` over the masked frames of `[B, R, C]`; (0, 0) where there are none."""
    weight = mask.unsqueeze(-1).to(values.dtype)
    count = weight.sum(1).clamp(min=1)
    mean = (weight * values).sum(1) / count
    variance = (weight * (values - mean.unsqueeze(1)).square()).sum(1) / count
    return mean, (variance + 1e-8).sqrt()


def draw_hidden_frames(num_frames: Tensor, length: int, share: float = 0.5) -> Tensor:
    """Random mask `[B, length]` (True = hidden): spans of 10 to 25 frames until `share` of the valid frames is covered.

    In short references a span is at most half of the valid frames.
    """
    device, batch = num_frames.device, len(num_frames)
    shortest, longest = SPAN_FRAMES
    # Random spans overlap: covering half needs about length * ln 2 / shortest of them; three times as many always do.
    count = max(2, 3 * length // shortest)
    valid = num_frames.clamp(min=0)[:, None]
    spans = torch.randint(shortest, longest + 1, (batch, count), device=device).minimum(valid // 2)
    starts = (torch.rand(batch, count, device=device) * (valid - spans + 1)).long()
    position = torch.arange(length, device=device)
    covers = (position >= starts[..., None]) & (position < (starts + spans)[..., None])
    covered = covers.cummax(dim=1).values
    before = torch.cat([torch.zeros_like(covered[:, :1]), covered[:, :-1]], dim=1).sum(-1)
    is_needed = before < share * valid
    return (covers & is_needed[..., None]).any(dim=1)

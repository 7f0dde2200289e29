"""Conformer blocks (Gulati et al., 2020) for padded batches: what lies behind a clip's end never changes its frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

ROTARY_BASE = 10_000.0


@dataclass(frozen=True)
class ConformerSettings:
    """Sizes and options shared by the blocks of one network.

    `attention_span`: frames to each side that attention sees, None for the whole clip. A limited span makes the output
    independent of how long the clip is, so that a network trained on short windows holds on long speech.
    `released`: the options of the released AdaMesh code: batch norm in the convolution module, relative positions with
    learned biases (Dai et al., 2019) in place of rotary ones, dropout drawn for each frame.
    """

    width: int = 128
    num_heads: int = 4
    feed_forward: int = 512
    kernel_size: int = 15
    dropout: float = 0.1
    attention_span: int | None = None
    released: bool = False

    def __post_init__(self) -> None:
        if self.width % self.num_heads or (self.width // self.num_heads) % 2:
            raise ValueError(f"width {self.width} must split into {self.num_heads} heads of even size")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}; it must be odd, so that frames stay in place")


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the valid frames of `[B, T, C]` only; padded frames become zero."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        result = torch.zeros_like(x)
        result[mask] = super().forward(x[mask]).to(x.dtype)
        return result


class MaskedLayerNorm(nn.LayerNorm):
    """Layer norm with the interface of `MaskedBatchNorm`; it looks at one frame at a time and needs no mask."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


def masked_norm(channels: int, batch_norm: bool) -> nn.Module:
    return MaskedBatchNorm(channels) if batch_norm else MaskedLayerNorm(channels)


class MaskedConv1d(nn.Conv1d):
    """Same-length convolution over time of `[B, T, C]`; padded frames count as zeros, as beyond the ends of a clip."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, groups=groups)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        x = x.masked_fill(~mask.unsqueeze(-1), 0.0)
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class SequenceDropout(nn.Module):
    """Dropout of whole channels of `[B, T, C]` for a clip, the same at all its frames (Gal and Ghahramani, 2016).

    It regularises a network over time at least as well as independent draws, and on a CPU drawing a number for every
    frame was a quarter of a training step.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        keep = functional.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), self.probability)
        return x * keep


def dropout_layer(settings: ConformerSettings) -> nn.Module:
    return nn.Dropout(settings.dropout) if settings.released else SequenceDropout(settings.dropout)


class FeedForward(nn.Sequential):
    def __init__(self, settings: ConformerSettings) -> None:
        super().__init__(
            nn.LayerNorm(settings.width),
            nn.Linear(settings.width, settings.feed_forward),
            nn.SiLU(),
            dropout_layer(settings),
            nn.Linear(settings.feed_forward, settings.width),
            dropout_layer(settings),
        )


class ConvolutionModule(nn.Module):
    """Pointwise convolution and gate, depthwise convolution over time, norm, SiLU, pointwise convolution."""

    def __init__(self, settings: ConformerSettings) -> None:
        super().__init__()
        width = settings.width
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.depthwise = MaskedConv1d(width, width, settings.kernel_size, groups=width)
        self.depthwise_norm = masked_norm(width, settings.released)
        self.project = nn.Linear(width, width)
        self.dropout = dropout_layer(settings)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = functional.glu(self.expand(self.norm(x)))
        x = self.depthwise_norm(self.depthwise(x, mask), mask)
        return self.dropout(self.project(functional.silu(x)))


class SelfAttention(nn.Module):
    """Multi-head self-attention that knows only how far frames lie apart, by rotary or learned relative positions."""

    def __init__(self, settings: ConformerSettings) -> None:
        super().__init__()
        self.num_heads = settings.num_heads
        self.head_width = settings.width // settings.num_heads
        self.norm = nn.LayerNorm(settings.width)
        self.query_key_value = nn.Linear(settings.width, 3 * settings.width)
        self.output = nn.Linear(settings.width, settings.width)
        self.dropout = dropout_layer(settings)
        self.relative_position = RelativePositionBias(settings) if settings.released else None

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        batch, frames, width = x.shape
        heads = self.query_key_value(self.norm(x)).view(batch, frames, 3, self.num_heads, self.head_width)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        bias: Tensor = attention_mask
        if self.relative_position is None:
            query, key = rotate_by_position(query), rotate_by_position(key)
        else:
            query, position_scores = self.relative_position(query)
            bias = position_scores.masked_fill(~attention_mask, -math.inf)
        x = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.dropout(self.output(x.transpose(1, 2).reshape(batch, frames, width)))


def rotate_by_position(x: Tensor) -> Tensor:
    """Rotary position embedding (Su et al., 2021) of `[..., T, D]` with even D."""
    frames, width = x.shape[-2:]
    rates = ROTARY_BASE ** (-torch.arange(0, width, 2, device=x.device, dtype=torch.float32) / width)
    angles = torch.arange(frames, device=x.device, dtype=torch.float32)[:, None] * rates
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class RelativePositionBias(nn.Module):
    """Scores of relative positions as in Transformer-XL (Dai et al., 2019, eq. 9), with its two learned biases."""

    def __init__(self, settings: ConformerSettings) -> None:
        super().__init__()
        self.num_heads, self.width = settings.num_heads, settings.width
        self.head_width = settings.width // settings.num_heads
        self.position = nn.Linear(settings.width, settings.width, bias=False)
        self.content_bias = nn.Parameter(torch.empty(settings.num_heads, 1, self.head_width))
        self.position_bias = nn.Parameter(torch.empty(settings.num_heads, 1, self.head_width))
        nn.init.xavier_uniform_(self.content_bias)
        nn.init.xavier_uniform_(self.position_bias)

    def forward(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, H, T, D]` -> the query for content, and scaled scores of positions `[B, H, T, T]`."""
        frames = query.shape[2]
        distances = torch.arange(frames - 1, -frames, -1, device=query.device, dtype=torch.float32)
        # One row for the whole batch, or one for each clip where a weight adapter gives people positions of their own.
        table = self.position(sinusoids(distances, self.width).to(query.dtype).unsqueeze(0))
        table = table.view(-1, 2 * frames - 1, self.num_heads, self.head_width).transpose(1, 2)
        scores = (query + self.position_bias) @ table.transpose(2, 3)
        return query + self.content_bias, _shift(scores) / math.sqrt(self.head_width)


def _shift(scores: Tensor) -> Tensor:
    """Scores by distance T-1 .. -(T-1) `[..., T, 2T - 1]` -> scores by key `[..., T, T]`; a reshape instead of a gather."""
    *leading, frames, distances = scores.shape
    padded = functional.pad(scores, (1, 0)).reshape(*leading, distances + 1, frames)
    return padded[..., 1:, :].reshape(*leading, frames, distances)[..., :frames]


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Sine and cosine of `positions` [P] at geometric rates: `[P, width]` (Vaswani et al., 2017)."""
    rates = torch.exp(torch.arange(0, width, 2, device=positions.device) * (-math.log(10_000.0) / width))
    angles = positions[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class ConformerBlock(nn.Module):
    """Half feed-forward, self-attention, convolution, half feed-forward, each added to its input; layer norm at the end."""

    def __init__(self, settings: ConformerSettings) -> None:
        super().__init__()
        self.feed_forward_in = FeedForward(settings)
        self.attention = SelfAttention(settings)
        self.convolution = ConvolutionModule(settings)
        self.feed_forward_out = FeedForward(settings)
        self.norm = nn.LayerNorm(settings.width)

    def forward(self, x: Tensor, mask: Tensor, attention_mask: Tensor) -> Tensor:
        x = x + 0.5 * self.feed_forward_in(x)
        x = x + self.attention(x, attention_mask)
        x = x + self.convolution(x, mask)
        x = x + 0.5 * self.feed_forward_out(x)
        return self.norm(x)


class Conformer(nn.Module):
    """A stack of blocks and a final layer norm: `[B, T, width]` and mask `[B, T]` (True = valid) -> `[B, T, width]`.

    Padded frames of the result are zero.
    """

    def __init__(self, settings: ConformerSettings, num_blocks: int) -> None:
        super().__init__()
        self.attention_span = settings.attention_span
        self.blocks = nn.ModuleList(ConformerBlock(settings) for _ in range(num_blocks))
        self.norm = nn.LayerNorm(settings.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        attention_mask = visible_keys(mask, self.attention_span)
        for block in self.blocks:
            x = block(x, mask, attention_mask)
        return self.norm(x).masked_fill(~mask.unsqueeze(-1), 0.0)


def visible_keys(mask: Tensor, span: int | None) -> Tensor:
    """Which keys each query may see, `[B, 1, T, T]`: valid frames within `span`; itself in any case."""
    frames = mask.shape[1]
    position = torch.arange(frames, device=mask.device)
    distance = (position[:, None] - position).abs()
    visible = mask[:, None, None, :].expand(-1, 1, frames, -1)
    if span is not None:
        visible = visible & (distance <= span)
    # A padded query must see something: a softmax over nothing is NaN, and its gradient spreads.
    return visible | (distance == 0)


def valid_frames(num_frames: Tensor, length: int) -> Tensor:
    """Mask `[B, length]` of the first `num_frames` [B] frames."""
    return torch.arange(length, device=num_frames.device) < num_frames[:, None]

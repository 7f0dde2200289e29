"""The autoregressive decoder of FaceFormer (Fan et al., CVPR 2022) that CodeTalker (Xing et al., CVPR 2023) also uses.

Self-attention that sees the past with a penalty for every whole period, attention to speech that sees only the speech of the
frame itself, and positions that repeat with the period.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.conformer import sinusoids

# One second of motion, as in the papers, whose recordings have 25 or 30 frames a second.
PERIOD = 25


def periodic_positions(frames: int, width: int, period: int = PERIOD) -> Tensor:
    """Position encoding `[T, width]` of `t mod period`: sines, then cosines, at geometric rates."""
    return sinusoids((torch.arange(frames) % period).float(), width)


def head_slopes(num_heads: int) -> Tensor:
    """`2 ** (-8 h / H)` for head h = 1 ... H (ALiBi; Press et al., 2022)."""
    return 2.0 ** (-8.0 * torch.arange(1, num_heads + 1) / num_heads)


def causal_bias(frames: int, num_heads: int, period: int = PERIOD) -> Tensor:
    """What FaceFormer adds to self-attention scores `[H, T, T]`: `-slope * floor((i - j) / period)` for keys
    j <= i, minus infinity for the future.
    """
    position = torch.arange(frames)
    distance = position[:, None] - position
    bias = -head_slopes(num_heads)[:, None, None] * distance.div(period, rounding_mode="floor")
    return bias.masked_fill(distance < 0, -math.inf)


class DecoderCache:
    """Keys and values `[B, H, t, D]` of the frames so far, for each layer."""

    def __init__(self, layers: int) -> None:
        self.past: list[tuple[Tensor, Tensor] | None] = [None] * layers

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        before = self.past[layer]
        if before is not None:
            key, value = torch.cat([before[0], key], dim=2), torch.cat([before[1], value], dim=2)
        self.past[layer] = (key, value)
        return key, value


class BiasedDecoderLayer(nn.Module):
    """Self-attention, attention to speech, feed-forward; each added to its input and normalised after (Vaswani et al., 2017).

    Attention to speech sees the k vectors of the frame itself alone (FaceFormer's alignment bias). The front ends give exactly one (k = 1),
    so its softmax is over one key and its result the value of that: queries and keys would have no effect and are left out.
    """

    def __init__(self, width: int, num_heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width {width} does not split into {num_heads} heads; choose a divisor")
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.speech_value = nn.Linear(width, width)
        self.speech_output = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feed_forward, width)
        )
        self.attention_norm, self.speech_norm, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def hear(self, speech: Tensor) -> Tensor:
        """What attention to speech `[B, T, width]` adds at each frame; it does not depend on the motion."""
        return self.speech_output(self.speech_value(speech))

    def forward(
        self, x: Tensor, heard: Tensor, bias: Tensor, cache: DecoderCache | None = None, layer: int = 0
    ) -> Tensor:
        """`x` and `heard` `[B, T, width]`, `bias` `[H, T, keys]`; with a cache, x holds the frames that follow those in it."""
        query, key, value = self.query_key_value(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.extend(layer, key, value)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        x = self.attention_norm(x + self.dropout(self.attention_output(attended.transpose(1, 2).flatten(2))))
        x = self.speech_norm(x + self.dropout(heard))
        return self.norm(x + self.dropout(self.feed_forward(x)))


class BiasedDecoder(nn.Module):
    """A stack of `BiasedDecoderLayer`s: all frames at once, or one after the other with a cache, with the same result.

    In training mode the two differ in their dropout.
    """

    slopes: Tensor
    positions: Tensor

    def __init__(
        self, width: int, layers: int, num_heads: int, feed_forward: int, dropout: float, period: int = PERIOD
    ) -> None:
        super().__init__()
        if min(layers, period) < 1:
            raise ValueError(
                f"got {layers} decoder layers and a period of {period} frames; expected at least 1 of each"
            )
        self.width, self.period, self.num_heads = width, period, num_heads
        self.layers = nn.ModuleList(BiasedDecoderLayer(width, num_heads, feed_forward, dropout) for _ in range(layers))
        self.register_buffer("slopes", head_slopes(num_heads), persistent=False)
        self.register_buffer("positions", periodic_positions(period, width, period), persistent=False)

    def forward(self, motion: Tensor, speech: Tensor) -> Tensor:
        """Embedded past motion and speech `[B, T, width]` to `[B, T, width]`; frame t sees motion and speech up to t."""
        frames = motion.shape[1]
        x = motion + periodic_positions(frames, self.width, self.period).to(motion)
        bias = causal_bias(frames, self.num_heads, self.period).to(motion)
        for layer, heard in zip(self.layers, self.hear(speech), strict=True):
            x = layer(x, heard, bias)
        return x

    def hear(self, speech: Tensor) -> list[Tensor]:
        """For `step`: what each layer hears of speech `[B, T, width]`."""
        return [cast(BiasedDecoderLayer, layer).hear(speech) for layer in self.layers]

    def step(self, motion: Tensor, heard: list[Tensor], frame: int, cache: DecoderCache) -> Tensor:
        """Frame number `frame` from its embedded past motion `[B, width]` to `[B, width]`; the cache holds the frames before it."""
        distance = torch.arange(frame, -1, -1, device=motion.device)
        bias = -self.slopes[:, None, None] * distance.div(self.period, rounding_mode="floor")
        x = (motion + self.positions[frame % self.period]).unsqueeze(1)
        for number, layer in enumerate(self.layers):
            x = layer(x, heard[number][:, frame : frame + 1], bias, cache, number)
        return x.squeeze(1)

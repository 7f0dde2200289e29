"""A clip as a few numbers: the embedders that style consistency and the Frechet distance plug in.

An embedder maps curves `[B, T, C]` and their mask to features, has `num_features(channels)` and a `fingerprint` that changes whenever
its values would, so that numbers of different embedders are never taken for each other.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import torch
from torch import Tensor, nn

from metrics.checks import MetricError, check_curve
from metrics.masked import clip_deviation, clip_mean, frame_differences


class MotionEmbedder(Protocol):
    """Curves `[B, T, C]` and mask `[B, T]` to one feature vector a clip `[B, D]`."""

    @property
    def fingerprint(self) -> str: ...

    def num_features(self, channels: int) -> int: ...

    def __call__(self, values: Tensor, mask: Tensor) -> Tensor: ...


def motion_statistics(values: Tensor, mask: Tensor) -> Tensor:
    """Mean, standard deviation and mean absolute step of each coefficient over time: `[B, T, C]` -> `[B, 3 C]`; NaN under two frames."""
    check_curve(values, mask, "B T C")
    steps, pairs = frame_differences(values, mask)
    parts = [clip_mean(values, mask), clip_deviation(values, mask), clip_mean(steps.abs(), pairs)]
    return torch.cat(parts, dim=-1)


class MotionStatistics:
    """`motion_statistics` as an embedder."""

    fingerprint = "motion_statistics/1"

    def num_features(self, channels: int) -> int:
        return 3 * channels

    def __call__(self, values: Tensor, mask: Tensor) -> Tensor:
        return motion_statistics(values, mask)


class NetworkEmbedder:
    """A trained network `(values, mask) -> [B, D]` as an embedder; its fingerprint is a hash of class, weights and buffers."""

    def __init__(self, network: nn.Module, num_features: int) -> None:
        self.network = network.eval()
        self.width = num_features

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(type(self.network).__qualname__.encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return f"{type(self.network).__name__}/{digest.hexdigest()[:16]}"

    def num_features(self, channels: int) -> int:
        return self.width

    @torch.no_grad()
    def __call__(self, values: Tensor, mask: Tensor) -> Tensor:
        features = self.network(torch.where(mask.unsqueeze(-1), values, 0.0), mask)
        if features.shape != (len(values), self.width):
            raise MetricError(
                f"the embedder gave features {list(features.shape)} for {len(values)} clips; expected [{len(values)}, {self.width}]"
            )
        return features


def windows(values: Tensor, mask: Tensor, length: int, hop: int) -> tuple[Tensor, Tensor]:
    """Whole windows inside the valid frames: `[N, length, C]` and the clip of each `[N]`; frames must be valid from the start on."""
    if values.shape[1] < length:
        return values.new_zeros(0, length, values.shape[2]), torch.zeros(0, dtype=torch.long, device=values.device)
    cut = values.unfold(1, length, hop).transpose(2, 3)
    ends = torch.arange(cut.shape[1], device=values.device) * hop + length
    clip, window = (ends[None] <= mask.sum(1, keepdim=True)).nonzero(as_tuple=True)
    return cut[clip, window], clip

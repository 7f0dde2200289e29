"""Lengths and distances of points in three dimensions, fast: by coordinate, and in blocks of frames that stay in the cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metrics.checks import check_pair

# Vertices a block: 32 frames of a whole face. Larger blocks cost up to four times as much, by memory traffic alone.
_BLOCK = 400_000


def squared_length(vectors: Tensor) -> Tensor:
    """`[..., 3]` -> `[...]`. Reductions over a last dimension of three are several times slower in torch."""
    x, y, z = vectors.unbind(-1)
    return x * x + y * y + z * z


def length(vectors: Tensor) -> Tensor:
    """`[..., 3]` -> `[...]`."""
    return squared_length(vectors).sqrt()


def frame_errors(prediction: Tensor, target: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """`reduce` `[n, V] -> [n]` of the squared distances of vertices `[B, T, V, 3]`, for every frame: `[B, T]`."""
    check_pair(prediction, target, None, "B T V 3")
    ours, theirs = prediction.detach().flatten(0, 1), target.detach().flatten(0, 1)
    step = max(1, _BLOCK // max(1, ours.shape[1]))
    blocks = [
        reduce(squared_length(ours[start : start + step] - theirs[start : start + step]))
        for start in range(0, len(ours), step)
    ]
    return torch.cat(blocks).unflatten(0, prediction.shape[:2]) if blocks else ours.new_zeros(prediction.shape[:2])


def mean_distance(squared: Tensor) -> Tensor:
    """A `reduce`: mean over vertices of the distance."""
    return squared.sqrt().mean(-1)


def largest(squared: Tensor) -> Tensor:
    """A `reduce`: largest squared distance of a frame."""
    return squared.amax(-1)


def mean_square(squared: Tensor) -> Tensor:
    """A `reduce`: mean over vertices of the squared distance."""
    return squared.mean(-1)

"""How much the label of a frame tells about another label of it, as the speech's unit about the pose code, in nats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metrics.checks import MetricError

_LEAST_TURN = 25  # frames: a second


class Information(NamedTuple):
    """`plug_in`: mutual information of the counts; `corrected`: less the bias of Miller and Madow; `rotated`: mean plug-in with the first labels
    of each clip turned round in time, with its standard deviation over draws; `excess`: plug-in less rotated; `entropy` of the second labels.
    """

    plug_in: float
    corrected: float
    rotated: float
    rotated_deviation: float
    excess: float
    entropy: float


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Plug-in mutual information of paired labels [N], nats.

    Sum over pairs of n_ij / N log(n_ij N / (n_i n_j)). It is too large by about (cells - rows - columns + 1) / 2 N: with many labels and few frames
    nearly all of it is bias.
    """
    joint, rows, columns = _counts(first, second)
    return _entropy(rows) + _entropy(columns) - _entropy(joint)


def miller_madow(first: np.ndarray, second: np.ndarray) -> float:
    """`mutual_information` less its first-order bias, (cells - rows - columns + 1) / 2 N over what occurs (Miller 1955); may be negative."""
    joint, rows, columns = _counts(first, second)
    bias = (len(joint) - len(rows) - len(columns) + 1) / (2 * len(first))
    return _entropy(rows) + _entropy(columns) - _entropy(joint) - bias


def information_about(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], draws: int = 20, seed: int = 0
) -> Information:
    """What the first labels tell about the second, over clips of paired labels [T] each, with the first labels turned round in time as control.

    A clip's labels begin anywhere but within a second of where they did (shorter than 2 s: anywhere else). That keeps which labels a clip has and how
    long they stay, so a control already holds what comes of person, posture and slowness: `excess` is what alignment in time adds, with the bias of
    many labels taken off as far as the control has it too. Labels shuffled one by one are too weak a control: heads that move to other speech then
    have an excess, too. Raises MetricError for clips that do not fit.
    """
    if not first or len(first) != len(second) or any(len(a) != len(b) for a, b in zip(first, second, strict=True)):
        raise MetricError(
            f"received {len(first)} and {len(second)} clips; expected as many of both, equally long, and at least one"
        )
    generator = np.random.default_rng(seed)
    ours, theirs = np.concatenate(first), np.concatenate(second)
    controls = [
        mutual_information(np.concatenate([_rotated(clip, generator) for clip in first]), theirs) for _ in range(draws)
    ]
    plug_in = mutual_information(ours, theirs)
    rotated = float(np.mean(controls))
    return Information(
        plug_in,
        miller_madow(ours, theirs),
        rotated,
        float(np.std(controls, ddof=1)) if draws > 1 else float("nan"),
        plug_in - rotated,
        _entropy(_counts(theirs, theirs)[1]),
    )


def _rotated(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    apart = _LEAST_TURN if len(labels) > 2 * _LEAST_TURN else 1
    return np.roll(labels, generator.integers(apart, max(len(labels) - apart, apart) + 1))


def _counts(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Occurring cells, rows and columns of the table of two labels."""
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise MetricError(f"labels have shapes {first.shape} and {second.shape}; expected [N] of both, N > 0")
    (_, rows), (_, columns) = (
        np.unique(labels, return_inverse=True, return_counts=True)[1:] for labels in (first, second)
    )
    pairs = np.unique(first, return_inverse=True)[1].astype(np.int64) * len(columns)
    joint = np.unique(pairs + np.unique(second, return_inverse=True)[1], return_counts=True)[1]
    return joint, rows, columns


def _entropy(counts: np.ndarray) -> float:
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())

"""Means with intervals over people: speakers are drawn, not frames, because frames of one speaker are not independent.

Intervals are *expanded* percentile intervals (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.3): the plain
percentile interval of few speakers is too narrow, for a normal mean by sqrt((n - 1) / n) and by a normal quantile in place of Student's. Taking
quantiles further out, by that much, keeps the shape that the statistic itself has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from metrics.checks import MetricError

# Of fewer no quantile of resamples covers what it says: the range of four speakers holds the mean in 87 of 100 cases.
LEAST_SPEAKERS = 5
# Resamples beyond each end of the interval; the further out the quantile lies, the more are drawn in all.
BEYOND_EACH_END = 200
# Indices that are held at a time.
INDICES_AT_ONCE = 2_000_000


class Interval(NamedTuple):
    """Mean over speakers (each weighs the same) and its bootstrap interval; `low`/`high` are NaN for fewer than five speakers."""

    mean: float
    low: float
    high: float
    speakers: int


def too_few_speakers(speakers: int) -> str:
    """Why so many speakers have no interval; empty where they have one."""
    return (
        ""
        if speakers >= LEAST_SPEAKERS
        else f"an interval needs at least {LEAST_SPEAKERS} speakers, here are {speakers}"
    )


def speaker_means(values: Sequence[float], speakers: Sequence[str]) -> dict[str, float]:
    """Mean of `values` (one a clip) for each speaker; NaN stays NaN."""
    if len(values) != len(speakers) or not values:
        raise MetricError(
            f"received {len(values)} values for {len(speakers)} clips; expected one value a clip and at least one"
        )
    return {
        s: float(np.mean([v for v, who in zip(values, speakers, strict=True) if who == s]))
        for s in sorted(set(speakers))
    }


def speaker_bootstrap(
    values: Sequence[float], speakers: Sequence[str], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Mean of speaker means and its expanded percentile bootstrap interval over speakers."""
    means = np.array(list(speaker_means(values, speakers).values()))
    low, high = bootstrap_interval(len(means), lambda drawn: means[drawn].mean(axis=1), confidence, seed)
    return Interval(float(means.mean()), low, high, len(means))


def paired_reduction(
    model: Sequence[float], control: Sequence[float], speakers: Sequence[str], seed: int = 0
) -> Interval:
    """How far the model's error lies below the control's, as a share of the control's (0.4 = 40 % lower), over the same drawn speakers."""
    a = np.array(list(speaker_means(model, speakers).values()))
    b = np.array(list(speaker_means(control, speakers).values()))
    low, high = bootstrap_interval(len(a), lambda drawn: 1 - a[drawn].mean(axis=1) / b[drawn].mean(axis=1), seed=seed)
    return Interval(float(1 - a.mean() / b.mean()), low, high, len(a))


def bootstrap_interval(
    num_speakers: int,
    statistic: Callable[[np.ndarray], np.ndarray],
    confidence: float = 0.95,
    seed: int = 0,
    method: str = "linear",
) -> tuple[float, float]:
    """Expanded percentile interval of any statistic of n speakers; NaN for both ends for fewer than five.

    `statistic` maps numbers of drawn speakers `[D, n]` to one value a draw, and may leave out draws that have none. `method` is numpy's for quantiles:
    values that can be infinite need one that does not interpolate.
    """
    if num_speakers < LEAST_SPEAKERS:
        return math.nan, math.nan
    level = expanded_level(num_speakers, confidence)
    draws = math.ceil(BEYOND_EACH_END / level)
    generator, at_once = np.random.default_rng(seed), max(1, INDICES_AT_ONCE // num_speakers)
    parts = [
        statistic(generator.integers(0, num_speakers, size=(min(at_once, draws - start), num_speakers)))
        for start in range(0, draws, at_once)
    ]
    values = np.concatenate(parts)
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [level, 1 - level], method=method)  # type: ignore[call-overload]
    return float(low), float(high)


def expanded_level(num_speakers: int, confidence: float = 0.95) -> float:
    """Share of resamples beyond each end: Phi(-sqrt(n / (n - 1)) t), t the quantile of Student's distribution with n - 1 degrees of freedom."""
    n = num_speakers
    return float(norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf((1 + confidence) / 2, n - 1)))

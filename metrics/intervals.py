"""Means with intervals over people: speakers are drawn, not frames, because frames of one speaker are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metrics.checks import MetricError


class Interval(NamedTuple):
    """Mean over speakers (each weighs the same) and its percentile bootstrap interval; `low`/`high` are NaN for one speaker."""

    mean: float
    low: float
    high: float
    speakers: int


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
    values: Sequence[float], speakers: Sequence[str], confidence: float = 0.95, draws: int = 5000, seed: int = 0
) -> Interval:
    """Percentile bootstrap over speakers of the mean of speaker means (Efron & Tibshirani 1993, chapter 13)."""
    means = np.array(list(speaker_means(values, speakers).values()))
    if len(means) == 1:
        return Interval(float(means[0]), float("nan"), float("nan"), 1)
    drawn = np.random.default_rng(seed).choice(means, size=(draws, len(means))).mean(axis=1)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(means.mean()), float(low), float(high), len(means))


def paired_reduction(
    model: Sequence[float], control: Sequence[float], speakers: Sequence[str], draws: int = 5000, seed: int = 0
) -> Interval:
    """How far the model's error lies below the control's, as a share of the control's (0.4 = 40 % lower), over the same drawn speakers."""
    a = np.array(list(speaker_means(model, speakers).values()))
    b = np.array(list(speaker_means(control, speakers).values()))
    reduction = float(1 - a.mean() / b.mean())
    if len(a) == 1:
        return Interval(reduction, float("nan"), float("nan"), 1)
    chosen = np.random.default_rng(seed).integers(0, len(a), size=(draws, len(a)))
    low, high = np.quantile(1 - a[chosen].mean(axis=1) / b[chosen].mean(axis=1), [0.025, 0.975])
    return Interval(reduction, float(low), float(high), len(a))

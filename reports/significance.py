"""Whether a difference between two methods on the same clips could be chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Up to so many units every pattern of signs is tried; beyond, patterns are drawn.
EXACT_UNITS = 14
DRAWS = 20_000
DRAWS_AT_ONCE = 500


def sign_flip_p(contributions: Sequence[float], draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p of the sum of `contributions` under the hypothesis that each could as well have the other sign.

    Exact up to 14 units, otherwise (1 + as extreme) / (1 + draws), so never 0 (Good 2005, chapter 3; Phipson & Smyth 2010). One unit gives 1.
    """
    values = np.asarray(contributions, dtype=np.float64)
    if not len(values) or not values.any():
        return 1.0
    # A pattern that ties with what was seen must count, whatever the rounding of its sum.
    bar = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if len(values) <= EXACT_UNITS:
        patterns = (np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ values) >= bar))
    generator = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, draws, DRAWS_AT_ONCE):
        patterns = generator.integers(0, 2, size=(min(DRAWS_AT_ONCE, draws - start), len(values)), dtype=np.int8)
        extreme += int((np.abs((1 - 2 * patterns) @ values) >= bar).sum())
    return (1 + extreme) / (1 + draws)


def smallest_p(units: int) -> float:
    """The smallest `sign_flip_p` that so many units can have: all differ to one side."""
    return min(1.0, 2.0 ** (1 - units)) if units <= EXACT_UNITS else 1 / (1 + DRAWS)


def clip_contributions(differences: Sequence[float], speakers: Sequence[str]) -> np.ndarray:
    """What each clip adds to the mean over speakers of the mean difference of a speaker's clips; their sum is that mean."""
    names, counts = np.unique(list(speakers), return_counts=True)
    of_speaker = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return np.array([d / (len(names) * of_speaker[s]) for d, s in zip(differences, speakers, strict=True)])


def speaker_contributions(differences: Sequence[float], speakers: Sequence[str]) -> np.ndarray:
    """The same, added up for each speaker: all clips of a speaker keep or change their sign together."""
    parts = clip_contributions(differences, speakers)
    return np.array([parts[[who == s for who in speakers]].sum() for s in sorted(set(speakers))])


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values in the given order; rejecting those under a level keeps the chance of any false rejection under it (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted

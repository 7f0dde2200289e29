"""Mean, deviation and Student's interval of a few numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Summary(NamedTuple):
    """`deviation` is the sample standard deviation (n - 1); `low` and `high` bound Student's t interval of the mean. None below n = 2."""

    n: int
    mean: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


def summarise(values: Sequence[float], confidence: float = 0.95) -> Summary:
    """Mean with its interval; values that are not finite make the mean NaN, as they should."""
    n = len(values)
    if n == 0:
        return Summary(0)
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean)
    from scipy.special import stdtrit

    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * deviation / math.sqrt(n)
    return Summary(n, mean, deviation, mean - half, mean + half)

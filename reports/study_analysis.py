"""Results of a user study: means with intervals over raters and clips, tests against the baseline, Holm's correction over all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import binomtest

from metrics.intervals import LEAST_SPEAKERS, expanded_level
from reports.errors import ReportError
from reports.scoring import TRUTH
from reports.significance import holm, sign_flip_p
from reports.study_answers import Answer, Rater

LEVEL = 0.05
DRAWS = 20_000  # of five raters 0.3 % lie beyond each end of an interval


@dataclass(frozen=True)
class Rated:
    """Mean opinion score of a method, 1 to 5, with its 95 % interval over raters and clips."""

    question: str
    method: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Tested:
    """The baseline beside another method. For ratings `effect` is baseline less other, in points; for choices the share of choices that fell on the
    baseline. `p_raters` and `p_clips`: sign flips of raters' and of clips' means; `holm` adjusts the larger of the two for all tests of the study.
    For choices only: the exact binomial interval and p of all choices, as if they were independent, and the share of choices of the left video.
    """

    question: str
    baseline: str
    other: str
    effect: float
    low: float
    high: float
    p_raters: float
    p_clips: float
    holm: float = math.nan
    choices: int = 0
    binomial_low: float = math.nan
    binomial_high: float = math.nan
    binomial_p: float = math.nan
    left: float = math.nan

    @property
    def verdict(self) -> str:
        if not self.holm < LEVEL:
            return "no difference shown"
        middle = 0.5 if self.choices else 0.0
        return f"{self.baseline if self.effect > middle else self.other} is preferred"


@dataclass(frozen=True)
class StudyResult:
    raters: list[Rater]
    ratings: list[Rated]
    tests: list[Tested]

    @property
    def counted(self) -> list[Rater]:
        return [rater for rater in self.raters if not rater.left_out]


def analyse(key: dict[str, Any], raters: Sequence[Rater], seed: int = 0) -> StudyResult:
    """Raises ReportError where nobody is left whose answers count."""
    counted = [rater for rater in raters if not rater.left_out]
    if not counted:
        reasons = "; ".join(f"rater {rater.number} {rater.left_out}" for rater in raters)
        raise ReportError(f"no rater is left whose answers count ({reasons or 'no file was given'}); ask more people")
    ratings, tests = [], []
    for question in key["questions"]:
        baseline = key.get("baselines", {}).get(question, key["baseline"])  # older keys have one of all questions
        tables = _tables(counted, question, baseline)
        rated = {shown[0]: table for shown, table in tables.items() if len(shown) == 1}
        for method, table in rated.items():
            ratings.append(Rated(question, method, *crossed_interval(table, seed)))
        for method, table in rated.items():
            if baseline in rated and method != baseline:
                tests.append(_compared(question, baseline, method, rated[baseline] - table, 0.0, seed))
        for shown, table in tables.items():
            if len(shown) == 2:
                test = _compared(question, shown[0], shown[1], table, 0.5, seed)
                tests.append(replace(test, **_binomial(table), left=_left_share(counted, question)))
    adjusted = holm([max(test.p_raters, test.p_clips) for test in tests])
    return StudyResult(list(raters), ratings, [replace(t, holm=p) for t, p in zip(tests, adjusted, strict=True)])


def crossed_interval(table: np.ndarray, seed: int = 0, draws: int = DRAWS) -> tuple[float, float, float]:
    """Mean of `table` `[raters, clips]` and its 95 % interval, raters and clips both drawn anew and independently (Owen 2007).

    Wide rather than narrow: the noise of single answers counts with both, and quantiles are as far out as so many raters, or clips where
    they are fewer, ask for (`metrics.intervals`). NaN bounds for fewer than five of either.
    """
    fewest = min(table.shape)
    if fewest < LEAST_SPEAKERS:
        return float(table.mean()), math.nan, math.nan
    generator = np.random.default_rng(seed)
    rows = generator.multinomial(table.shape[0], np.full(table.shape[0], 1 / table.shape[0]), size=draws)
    columns = generator.multinomial(table.shape[1], np.full(table.shape[1], 1 / table.shape[1]), size=draws)
    means = np.einsum("dr,rc,dc->d", rows, table, columns, optimize=True) / table.size
    level = expanded_level(fewest)
    low, high = np.quantile(means, [level, 1 - level])
    return float(table.mean()), float(low), float(high)


def _compared(question: str, baseline: str, other: str, table: np.ndarray, null: float, seed: int) -> Tested:
    return Tested(question, baseline, other, *crossed_interval(table, seed), *sign_flips(table - null))


def sign_flips(table: np.ndarray) -> tuple[float, float]:
    """p of the mean of `[raters, clips]` over raters (other raters, these clips) and over clips (other clips, these raters)."""
    return sign_flip_p(table.mean(1).tolist()), sign_flip_p(table.mean(0).tolist())


def _tables(raters: Sequence[Rater], question: str, baseline: str) -> dict[tuple[str, ...], np.ndarray]:
    """For every method, or pair with the baseline first, `[raters, clips]`: ratings, or 1 where the first of the pair was chosen."""
    found: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for rater in raters:
        of_rater: dict[tuple[str, ...], dict[str, float]] = {}
        for answer in rater.answers:
            if answer.question == question and not answer.is_catch:
                shown, value = _unturned(answer, baseline)
                of_rater.setdefault(shown, {})[answer.clip] = value
        for shown, values in of_rater.items():
            found.setdefault(shown, []).append(values)
    return {
        shown: np.array([[values[clip] for clip in sorted(values)] for values in rows])
        for shown, rows in sorted(found.items(), key=lambda item: (TRUTH in item[0], item[0]))
    }


def _unturned(answer: Answer, baseline: str) -> tuple[tuple[str, ...], float]:
    """The pair with the baseline first, whichever side it was shown on."""
    if len(answer.shown) == 1:
        return answer.shown, float(answer.value)
    turned = answer.shown[0] != baseline
    return (answer.shown[::-1] if turned else answer.shown), float((answer.value == 1) == turned)


def _binomial(table: np.ndarray) -> dict[str, Any]:
    test = binomtest(int(table.sum()), table.size, 0.5)
    interval = test.proportion_ci(0.95, method="exact")
    return {
        "choices": table.size,
        "binomial_low": float(interval.low),
        "binomial_high": float(interval.high),
        "binomial_p": float(test.pvalue),
    }


def _left_share(raters: Sequence[Rater], question: str) -> float:
    chosen = [a.value == 0 for r in raters for a in r.answers if a.question == question and not a.is_catch]
    return float(np.mean(chosen))

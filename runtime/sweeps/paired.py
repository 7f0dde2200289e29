"""Paired numbers of a sweep's cells: against another metric of the same trials, and against the row of a baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from runtime.sweeps.definition import Sweep
from runtime.sweeps.summary import Summary, summarise

Trial = dict[str, Any]  # as results.json holds it


def reduction(trials: Sequence[Trial], sweep: Sweep) -> Summary:
    """By how many percent of `report.against`'s mean the deciding metric's mean is better in the same trials.

    Means are over independent units u, as a summary's. The interval is Student's t of the ratio estimator R = mean(a) / mean(b): of
    1 - R - (a_u - R b_u) / mean(b), whose mean is 1 - R (Cochran 1977, Sampling Techniques, chapter 6, Ratio Estimators).
    """
    metric, against = sweep.metric.name, sweep.report.against
    both = [trial for trial in trials if trial["values"][metric] is not None and trial["values"][against] is not None]
    ours, theirs = (unit_means([(t, t["values"][name]) for t in both], sweep.report.over) for name in (metric, against))
    mean = math.fsum(theirs) / len(theirs) if theirs else 0.0
    if not mean:
        return Summary(0)
    ratio = math.fsum(ours) / len(ours) / mean
    sign = 100.0 if sweep.metric.direction == "min" else -100.0
    return summarise([sign * (1 - ratio - (a - ratio * b) / mean) for a, b in zip(ours, theirs, strict=True)])


def difference(trials: Sequence[Trial], baseline: Sequence[Trial], sweep: Sweep) -> Summary:
    """The deciding metric of `trials` minus that of the trials of `baseline` that are alike in all that the table does not show, seeds included."""
    shown = (*sweep.report.rows, *sweep.report.columns)

    def rest(trial: Trial) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((name, label) for name, label in trial["levels"].items() if name not in shown))

    name = sweep.metric.name
    values = {rest(t): t["values"][name] for t in baseline if t["values"][name] is not None}
    pairs = [(t, values[rest(t)]) for t in trials if t["values"][name] is not None and rest(t) in values]
    return summarise(unit_means([(t, t["values"][name] - value) for t, value in pairs], sweep.report.over))


def unit_means(values: Sequence[tuple[Trial, float]], over: str) -> list[float]:
    """One value an independent unit: a trial's, or the mean of all trials of one level of `over`."""
    units: dict[str, list[float]] = {}
    for trial, value in values:
        units.setdefault(trial["levels"][over] if over else trial["trial"], []).append(value)
    return [math.fsum(of) / len(of) for of in units.values()]

"""From clip values to means with intervals over speakers, and the comparison with the controls in the headline metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from metrics.intervals import Interval, paired_reduction, speaker_bootstrap
from metrics.registry import MetricInfo
from reports.metric_choice import HEADLINE
from reports.scoring import TRUTH, Scored

MODEL = "model"
AVERAGING = "clips of a speaker, then speakers; `value` is the registry's own average over all clips"


def summarise(scored: Scored, metrics: Sequence[MetricInfo]) -> dict[str, dict[str, dict[str, Any]]]:
    """`{method: {metric: {mean, low, high, speakers, clips, value}}}`; `clips` counts those that have a value.

    A value that is not finite though its clip could be measured makes the mean NaN and is named in `bad_clips`. Errors of controls also
    have `reduction_by_model`: how far the model's lies below, as a share, over the clips that both have. Frechet distances have `fingerprint`
    (embedder and windows) and `num_samples`.
    """
    return {
        method: {info.name: _summary(scored, method, info) for info in metrics if info.name in of}
        for method, of in scored.values.items()
    }


def _summary(scored: Scored, method: str, info: MetricInfo) -> dict[str, Any]:
    found: dict[str, Any] = {
        "value": scored.values[method][info.name],
        **scored.facts.get(method, {}).get(info.name, {}),
    }
    bad = scored.bad_clips[method].get(info.name, [])
    if bad:
        found["bad_clips"] = bad
    if not info.per_clip:
        return found
    rows = [row for row in scored.clips if row["key"] in bad or math.isfinite(row["scores"][method][info.name])]
    found |= interval_of([row["scores"][method][info.name] for row in rows], [row["speaker"] for row in rows])._asdict()
    found["clips"] = len(rows)
    if info.best == "lower" and MODEL in scored.values and method not in (MODEL, TRUTH):
        found["reduction_by_model"] = _reduction(scored, method, info.name)._asdict()
    return found


def _reduction(scored: Scored, method: str, metric: str) -> Interval:
    both = [
        (row["scores"][MODEL][metric], row["scores"][method][metric], row["speaker"])
        for row in scored.clips
        if math.isfinite(row["scores"][MODEL].get(metric, math.nan)) and math.isfinite(row["scores"][method][metric])
    ]
    if not both or not any(theirs for _, theirs, _ in both):
        return Interval(math.nan, math.nan, math.nan, 0)
    ours, theirs, speakers = zip(*both, strict=True)
    return paired_reduction(ours, theirs, speakers)


def interval_of(values: Sequence[float], speakers: Sequence[str]) -> Interval:
    """Mean over speakers with its bootstrap interval; NaN of zero speakers where there is no value."""
    return speaker_bootstrap(values, speakers) if values else Interval(math.nan, math.nan, math.nan, 0)


def headline(scored: Scored, scores: dict[str, dict[str, dict[str, Any]]], metric: str = HEADLINE) -> dict[str, Any]:
    """The short form: one metric of the model and its controls, the best control, and how many clips had to be their own reference."""
    rows = {method: of[metric] for method, of in scores.items() if method != TRUTH}
    controls = [method for method in rows if method != MODEL]
    return rows | {
        "best_control": min(controls, key=lambda method: rows[method]["mean"]),
        "num_clips": len(scored.clips),
        "own_reference": sum(row["reference"] == row["key"] for row in scored.clips),
    }

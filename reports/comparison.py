"""Methods beside each other on the clips that all were scored on: intervals, paired differences and their significance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metrics.intervals import Interval
from reports.comparison_notes import notes_on
from reports.entrants import Entrant, Method
from reports.errors import ReportError
from reports.paired_tests import PairedTest, adjusted, badness, paired_test
from reports.same_truth import check_faces, shared_clips
from reports.score_summary import MODEL, interval_of
from reports.scoring import TRUTH
from reports.shared_metrics import SharedMetric, shared_metrics

# In the order of the page's columns; others that the files hold come after them, the truth is last.
CONTROLS = (
    *("base", "reference_mean_face", "mean_face", "shuffled_speech", "ridge"),
    *("sampled", "greedy", "random_style", "unknown_style", "template_copy", "random_retrieval", "still"),
)


@dataclass(frozen=True)
class Control:
    """What was scored beside a method's model, as its shuffled speech, under the name of the score files; `of` is the method."""

    of: str
    intervals: dict[str, Interval]
    defined: dict[str, float]


@dataclass
class Comparison:
    """`clips`: facts of the shared clips; `values[method][metric]`: one number a clip, the mean over the method's seeds; `distances` the same of
    how far each seed's number is from what the metric aims at (`badness`), of metrics that are tested.

    `intervals[method][metric]` over speakers; of a metric that only sets of clips have the value alone, of no speakers. `defined[method][metric]` is
    the average that the metric's definition says, over all clips of a run, then over seeds; NaN where not all runs have the same clips. `controls` are
    those of the baseline, and of another method where the baseline has none of that name.
    """

    split: str
    face: str
    synthetic: bool
    methods: list[Method]
    baseline: str
    metrics: dict[str, SharedMetric]
    clips: list[dict[str, Any]]
    values: dict[str, dict[str, list[float]]]
    distances: dict[str, dict[str, list[float]]]
    intervals: dict[str, dict[str, Interval]]
    defined: dict[str, dict[str, float]]
    controls: dict[str, Control]
    tests: list[PairedTest]
    notes: list[str] = field(default_factory=list)


def compare(methods: list[Method], split: str, metrics: Sequence[str] | None = None, baseline: str = "") -> Comparison:
    """Compare `methods` with `baseline` (a name or folder; the first by default) in `metrics` (all that they share by default).

    Raises ReportError unless there are two methods on one face with shared clips, metrics and such a baseline.
    """
    if len(methods) < 2:
        raise ReportError(
            f"there is one method to compare ({methods[0].name}, {len(methods[0].entrants)} seeds); give runs whose settings differ"
        )
    check_faces(methods)
    base = _find(methods, baseline)
    keys = shared_clips(methods)
    scores = [entrant.scores for method in methods for entrant in method.entrants]
    clips = [row for row in base.entrants[0].scores["clips"] if row["key"] in keys]
    all_clips = all(len(each["clips"]) == len(keys) for each in scores)
    chosen, notes = shared_metrics(methods, metrics, all_clips)
    distances = {method.name: _distances(method, chosen, clips) for method in methods}
    return Comparison(
        split,
        scores[0]["face"],
        any(each["synthetic"] for each in scores),
        methods,
        base.name,
        chosen,
        clips,
        {method.name: _clip_values(method, MODEL, chosen, clips) for method in methods},
        distances,
        {method.name: _intervals(method, MODEL, chosen, clips) for method in methods},
        {method.name: _defined(method, MODEL, chosen, all_clips) for method in methods},
        _controls([base, *(method for method in methods if method is not base)], chosen, clips, all_clips),
        _tests(methods, base, distances, clips),
        notes_on(methods, clips) + notes,
    )


def _distances(
    method: Method, metrics: Mapping[str, SharedMetric], clips: list[dict[str, Any]]
) -> dict[str, list[float]]:
    """Of every metric that says where better lies: each seed's `badness` on each clip, then the mean over seeds. The other way round
    seeds that err to both sides would count as right.
    """

    def of_seed(entrant: Entrant, metric: SharedMetric) -> list[float]:
        alone = Method("", [entrant])
        ours, truths = (_values(alone, of, metric.name, clips) for of in (MODEL, TRUTH))
        return badness(ours, truths, metric.best)

    return {
        name: [sum(seeds) / len(seeds) for seeds in zip(*(of_seed(e, metric) for e in method.entrants), strict=True)]
        for name, metric in metrics.items()
        if not metric.untested
    }


def _tests(
    methods: Sequence[Method],
    base: Method,
    distances: Mapping[str, Mapping[str, list[float]]],
    clips: list[dict[str, Any]],
) -> list[PairedTest]:
    """Every method against the baseline in every metric that has distances."""
    speakers = [row["speaker"] for row in clips]
    others = [method.name for method in methods if method is not base]
    tests = [
        paired_test(metric, other, distances[other][metric], theirs, speakers)
        for metric, theirs in distances[base.name].items()
        for other in others
    ]
    return adjusted([test for test in tests if test is not None])


def _controls(
    methods: Sequence[Method], metrics: Mapping[str, SharedMetric], clips: list[dict[str, Any]], all_clips: bool
) -> dict[str, Control]:
    """All that the files hold beside the models, each of the first of `methods` that has it."""
    owners: dict[str, Method] = {}
    for method in methods:
        for name in method.entrants[0].scores["scores"]:
            owners.setdefault(name, method)
    known = [name for name in CONTROLS if name in owners]
    names = [*known, *(name for name in owners if name not in (*CONTROLS, MODEL, TRUTH)), TRUTH]
    found = {
        name: Control(
            owners[name].name,
            _intervals(owners[name], name, metrics, clips),
            _defined(owners[name], name, metrics, all_clips),
        )
        for name in names
        if name in owners
    }
    return {name: control for name, control in found.items() if control.intervals}


def _find(methods: Sequence[Method], name: str) -> Method:
    """The method called `name`, or with a run of that name or folder; the first if it is empty."""
    if not name:
        return methods[0]
    exact = [method for method in methods if method.name == name]
    path = Path(name).resolve()
    by_folder = [method for method in methods if any(entrant.folder.resolve() == path for entrant in method.entrants)]
    by_run = [method for method in methods if any(entrant.name == name for entrant in method.entrants)]
    found = exact or by_folder or by_run
    if len(found) == 1:
        return found[0]
    told = ", ".join(method.name for method in found or methods)
    if found:
        raise ReportError(f"the baseline {name!r} may be any of {told}; give its folder")
    raise ReportError(f"the baseline {name!r} is not among what is compared: {told}")


def _clip_values(
    method: Method, of: str, metrics: Mapping[str, SharedMetric], clips: list[dict[str, Any]]
) -> dict[str, list[float]]:
    return {name: _values(method, of, name, clips) for name, metric in metrics.items() if metric.per_clip}


def _values(method: Method, of: str, metric: str, clips: list[dict[str, Any]]) -> list[float]:
    """One number a clip: the mean over the method's seeds, NaN where any has none; all NaN where a prediction was not finite."""
    if any(entrant.scores["scores"].get(of, {}).get(metric, {}).get("bad_clips") for entrant in method.entrants):
        return [math.nan] * len(clips)
    tables = [{row["key"]: row["scores"].get(of, {}) for row in entrant.scores["clips"]} for entrant in method.entrants]
    return [sum(table[row["key"]].get(metric, math.nan) for table in tables) / len(tables) for row in clips]


def _intervals(
    method: Method, of: str, metrics: Mapping[str, SharedMetric], clips: list[dict[str, Any]]
) -> dict[str, Interval]:
    """Of every metric that `of` was scored with."""
    having = {
        name: metric for name, metric in metrics.items() if name in method.entrants[0].scores["scores"].get(of, {})
    }
    values, speakers = _clip_values(method, of, having, clips), [row["speaker"] for row in clips]
    return {name: _interval(values[name], speakers) if name in values else _of_set(method, of, name) for name in having}


def _of_set(method: Method, of: str, metric: str) -> Interval:
    """A number of all clips together, which no speakers have."""
    return Interval(_defined_value(method, of, metric), math.nan, math.nan, 0)


def _defined(method: Method, of: str, metrics: Mapping[str, SharedMetric], all_clips: bool) -> dict[str, float]:
    """The metrics' own averages; NaN unless they are over the clips that are compared."""
    return {name: _defined_value(method, of, name) if all_clips else math.nan for name in metrics}


def _defined_value(method: Method, of: str, metric: str) -> float:
    """The mean over seeds; where one has none, NaN."""
    found = [entrant.scores["scores"].get(of, {}).get(metric, {}).get("value") for entrant in method.entrants]
    return sum(math.nan if value is None else value for value in found) / len(found)


def _interval(values: list[float], speakers: list[str]) -> Interval:
    finite = [(value, who) for value, who in zip(values, speakers, strict=True) if math.isfinite(value)]
    return interval_of([value for value, _ in finite], [who for _, who in finite])


def seed_means(comparison: Comparison, metric: str) -> dict[str, list[float]]:
    """For each method, the mean over speakers of every seed by itself."""

    def mean(entrant: Entrant) -> float:
        found = _intervals(Method("", [entrant]), MODEL, {metric: comparison.metrics[metric]}, comparison.clips)
        return found[metric].mean if found else math.nan

    return {method.name: [mean(entrant) for entrant in method.entrants] for method in comparison.methods}


def best_method(comparison: Comparison, metric: str) -> str:
    """The method whose clips are nearest to what the metric aims at, by the same distances as the tests, mean over speakers; empty without a test."""
    speakers = [row["speaker"] for row in comparison.clips]
    means = {name: _interval(of[metric], speakers).mean for name, of in comparison.distances.items() if metric in of}
    finite = {name: mean for name, mean in means.items() if math.isfinite(mean)}
    return min(finite, key=lambda name: finite[name]) if finite else ""


def headline_of(comparison: Comparison) -> str:
    """The metric that the scores are summed up by where it is among the compared, else the first that is tested."""
    headline = comparison.methods[0].entrants[0].scores["metric"]
    tested = [name for name, metric in comparison.metrics.items() if not metric.untested]
    return next(name for name in (headline, *tested, *comparison.metrics) if name in comparison.metrics)

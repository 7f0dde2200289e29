"""Methods beside each other on the clips that all were scored on: intervals, paired differences and their significance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metrics.intervals import Interval
from reports.entrants import Entrant, Method
from reports.errors import ReportError
from reports.paired_tests import PairedTest, adjusted, badness, paired_test
from reports.score_summary import MODEL, interval_of
from reports.scoring import TRUTH
from reports.shared_metrics import SharedMetric, shared_metrics

# In the order of the page's columns; others that the files hold come after them, the truth is last.
CONTROLS = (
    *("reference_mean_face", "mean_face", "shuffled_speech", "ridge"),
    *("sampled", "greedy", "random_style", "unknown_style", "template_copy", "random_retrieval", "still"),
)


@dataclass(frozen=True)
class Control:
    """What was scored beside a method's model, as its shuffled speech, under the name of the score files; `of` is the method."""

    of: str
    intervals: dict[str, Interval]


@dataclass
class Comparison:
    """`clips`: facts of the shared clips; `values[method][metric]`: one number a clip, the mean over the method's seeds.

    `intervals[method][metric]` over speakers; of a metric that only sets of clips have the value alone, of no speakers. `controls` are those of
    the baseline, and of another method where the baseline has none of that name.
    """

    split: str
    face: str
    synthetic: bool
    methods: list[Method]
    baseline: str
    metrics: dict[str, SharedMetric]
    clips: list[dict[str, Any]]
    values: dict[str, dict[str, list[float]]]
    intervals: dict[str, dict[str, Interval]]
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
    _check_faces(methods)
    base = _find(methods, baseline)
    keys = _shared_clips(methods)
    scores = [entrant.scores for method in methods for entrant in method.entrants]
    clips = [row for row in base.entrants[0].scores["clips"] if row["key"] in keys]
    chosen, notes = shared_metrics(methods, metrics, all(len(each["clips"]) == len(keys) for each in scores))
    values = {method.name: _clip_values(method, MODEL, chosen, clips) for method in methods}
    return Comparison(
        split,
        scores[0]["face"],
        any(each["synthetic"] for each in scores),
        methods,
        base.name,
        chosen,
        clips,
        values,
        {method.name: _intervals(method, MODEL, chosen, clips) for method in methods},
        _controls([base, *(method for method in methods if method is not base)], chosen, clips),
        _tests(methods, base, chosen, clips, values),
        _notes(methods, keys) + notes,
    )


def _tests(
    methods: Sequence[Method],
    base: Method,
    metrics: Mapping[str, SharedMetric],
    clips: list[dict[str, Any]],
    values: Mapping[str, Mapping[str, list[float]]],
) -> list[PairedTest]:
    """Every method against the baseline in every metric that says where better lies."""
    tested = {name: metric for name, metric in metrics.items() if not metric.untested}
    speakers = [row["speaker"] for row in clips]
    bad = {}
    for method in methods:
        truths = _clip_values(method, TRUTH, tested, clips)
        bad[method.name] = {
            name: badness(values[method.name][name], truths[name], metric.best) for name, metric in tested.items()
        }
    others = [method.name for method in methods if method is not base]
    tests = [
        paired_test(metric, other, bad[other][metric], bad[base.name][metric], speakers)
        for metric in tested
        for other in others
    ]
    return adjusted([test for test in tests if test is not None])


def _controls(
    methods: Sequence[Method], metrics: Mapping[str, SharedMetric], clips: list[dict[str, Any]]
) -> dict[str, Control]:
    """All that the files hold beside the models, each of the first of `methods` that has it."""
    owners: dict[str, Method] = {}
    for method in methods:
        for name in method.entrants[0].scores["scores"]:
            owners.setdefault(name, method)
    known = [name for name in CONTROLS if name in owners]
    names = [*known, *(name for name in owners if name not in (*CONTROLS, MODEL, TRUTH)), TRUTH]
    found = {
        name: Control(owners[name].name, _intervals(owners[name], name, metrics, clips))
        for name in names
        if name in owners
    }
    return {name: control for name, control in found.items() if control.intervals}


def _check_faces(methods: Sequence[Method]) -> None:
    """Scores from before faces had a hash are known by the face's name alone."""
    entrants = [entrant for method in methods for entrant in method.entrants]
    names = {entrant.scores["face"]: entrant.name for entrant in entrants}
    if len(names) > 1:
        (one, of_one), (other, of_other) = list(names.items())[:2]
        raise ReportError(
            f"{of_one} was scored on the {one} face, {of_other} on {other}; score both on the same (--face)"
        )
    hashes = {
        entrant.scores["face_sha256"]: entrant.folder for entrant in entrants if entrant.scores.get("face_sha256")
    }
    if len(hashes) > 1:
        (one, folder), (other, other_folder) = list(hashes.items())[:2]
        raise ReportError(
            f"{folder} and {other_folder} were scored on two faces that are both called {next(iter(names))} (sha256 {one} and {other}): their "
            "vertices or regions differ; score both with the same file of the face"
        )


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


def _shared_clips(methods: Sequence[Method]) -> set[str]:
    """Keys that every entrant scored against the same truth."""
    entrants = [entrant for method in methods for entrant in method.entrants]
    of = [{(row["key"], row["truth"]) for row in entrant.scores["clips"]} for entrant in entrants]
    shared = set.intersection(*of)
    if not shared:
        other = next((i for i in range(1, len(of)) if not of[0] & of[i]), 1)
        told = [
            f"{entrants[i].name} was scored on {len(of[i])} clips of {entrants[i].scores['data']['corpus']}"
            for i in (0, other)
        ]
        raise ReportError(f"{told[0]}, {told[1]}, and no clip is the same; score both on one split of one corpus")
    return {key for key, _ in shared}


def _notes(methods: Sequence[Method], keys: set[str]) -> list[str]:
    entrants = [entrant for method in methods for entrant in method.entrants]
    notes = []
    most = max(len(entrant.scores["clips"]) for entrant in entrants)
    if most > len(keys):
        notes.append(f"Only the {len(keys)} clips that all share are compared; the largest set has {most}.")
    references = [{r["key"]: r["reference"] for r in e.scores["clips"] if r["key"] in keys} for e in entrants]
    if any(each != references[0] for each in references):
        notes.append("The style reference of some clips is not the same in all runs.")
    if len({entrant.scores["source_hash"] for entrant in entrants}) > 1:
        notes.append("Not all runs were scored by the same version of the code; score them again to be sure.")
    bad = sorted(
        {f"{e.name}: {m}" for e in entrants for m, s in e.scores["scores"][MODEL].items() if s.get("bad_clips")}
    )
    if bad:
        notes.append(f"Predictions that are not finite, so without a number: {'; '.join(bad)}.")
    return notes


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
    """The mean over seeds of a number of all clips together; where one has none, NaN."""
    found = [entrant.scores["scores"].get(of, {}).get(metric, {}).get("value") for entrant in method.entrants]
    values = [math.nan if value is None else value for value in found]
    return Interval(sum(values) / len(values), math.nan, math.nan, 0)


def _interval(values: list[float], speakers: list[str]) -> Interval:
    finite = [(value, who) for value, who in zip(values, speakers, strict=True) if math.isfinite(value)]
    return interval_of([value for value, _ in finite], [who for _, who in finite])


def seed_means(comparison: Comparison, metric: str) -> dict[str, list[float]]:
    """For each method, the mean over speakers of every seed by itself."""

    def mean(entrant: Entrant) -> float:
        found = _intervals(Method("", [entrant]), MODEL, {metric: comparison.metrics[metric]}, comparison.clips)
        return found[metric].mean if found else math.nan

    return {method.name: [mean(entrant) for entrant in method.entrants] for method in comparison.methods}


def headline_of(comparison: Comparison) -> str:
    """The metric that the scores are summed up by where it is among the compared, else the first that is tested."""
    headline = comparison.methods[0].entrants[0].scores["metric"]
    tested = [name for name, metric in comparison.metrics.items() if not metric.untested]
    return next(name for name in (headline, *tested, *comparison.metrics) if name in comparison.metrics)

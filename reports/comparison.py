"""Methods beside each other on the clips that all were scored on: intervals, paired differences and their significance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from metrics.intervals import Interval, speaker_bootstrap
from metrics.registry import METRICS
from reports.entrants import Method
from reports.errors import ReportError
from reports.metric_choice import HEADLINE, reads_normalised
from reports.score_summary import MODEL, interval_of
from reports.scoring import TRUTH
from reports.significance import clip_contributions, holm, sign_flip_p, speaker_contributions

CONTROLS = ("reference_mean_face", "mean_face", "shuffled_speech", "ridge", TRUTH)
LEVEL = 0.05


@dataclass(frozen=True)
class PairedTest:
    """A method against the baseline in one metric: `difference` is of the distances to the metric's target, so below zero is better.

    `p_clips` flips the sign of every clip (new clips of these speakers), `p_speakers` of all clips of a speaker together (new speakers);
    `holm_*` are adjusted for all tests of the report.
    """

    metric: str
    method: str
    difference: Interval
    clips: int
    p_clips: float
    p_speakers: float
    holm_clips: float = math.nan
    holm_speakers: float = math.nan

    @property
    def verdict(self) -> str:
        """In words, by adjusted p under 0.05."""
        direction = "better" if self.difference.mean < 0 else "worse"
        if self.holm_speakers < LEVEL:
            return direction
        if self.holm_clips < LEVEL:
            return f"{direction} on these speakers"
        return "no difference shown"


@dataclass
class Comparison:
    """`clips`: facts of the shared clips; `values[method][metric]`: one number a clip, the mean over the method's seeds; `columns` adds controls."""

    split: str
    face: str
    synthetic: bool
    methods: list[Method]
    baseline: str
    metrics: list[str]
    clips: list[dict[str, Any]]
    values: dict[str, dict[str, list[float]]]
    intervals: dict[str, dict[str, Interval]]
    tests: list[PairedTest]
    notes: list[str] = field(default_factory=list)


def compare(methods: list[Method], split: str, metrics: Sequence[str] | None = None, baseline: str = "") -> Comparison:
    """Compare `methods` with `baseline` (a name; the first by default) in `metrics` (all that they share by default).

    Raises ReportError unless there are two methods on one face with shared clips, metrics and such a baseline.
    """
    if len(methods) < 2:
        raise ReportError(
            f"there is one method to compare ({methods[0].name}, {len(methods[0].entrants)} seeds); give runs whose settings differ"
        )
    faces = {entrant.scores["face"]: entrant.name for method in methods for entrant in method.entrants}
    if len(faces) > 1:
        (one, of_one), (other, of_other) = list(faces.items())[:2]
        raise ReportError(
            f"{of_one} was scored on the {one} face, {of_other} on {other}; score both on the same (--face)"
        )
    base = _find(methods, baseline)
    keys = _shared_clips(methods)
    first = base.entrants[0]
    clips = [row for row in first.scores["clips"] if row["key"] in keys]
    chosen, notes = _shared_metrics(methods, metrics)
    notes = _notes(methods, keys) + notes
    values = {method.name: {metric: _values(method, MODEL, metric, clips) for metric in chosen} for method in methods}
    truths = {metric: _values(base, TRUTH, metric, clips) for metric in chosen}
    speakers = [row["speaker"] for row in clips]
    intervals = {name: {m: _interval(v, speakers) for m, v in of.items()} for name, of in values.items()}
    for control in CONTROLS:
        found = {m: _interval(_values(base, control, m, clips), speakers) for m in chosen if _has(base, control, m)}
        if found:
            intervals[control] = found
    tests = [
        test
        for metric in chosen
        for method in methods
        if method is not base
        for test in [
            _test(metric, method.name, values[method.name][metric], values[base.name][metric], truths[metric], speakers)
        ]
        if test is not None
    ]
    return Comparison(
        split,
        first.scores["face"],
        any(entrant.scores["synthetic"] for method in methods for entrant in method.entrants),
        methods,
        base.name,
        chosen,
        clips,
        values,
        intervals,
        _adjusted(tests),
        notes,
    )


def badness(values: Sequence[float], truths: Sequence[float], best: str) -> list[float]:
    """Distance of each clip's value from what the metric aims at: 0, 1, the truth's own value, or as low or high as can be."""
    if best == "lower":
        return list(values)
    if best == "higher":
        return [-value for value in values]
    targets = truths if best == "truth" else [float(best == "one")] * len(values)
    return [abs(value - target) for value, target in zip(values, targets, strict=True)]


def _test(
    metric: str, method: str, ours: list[float], theirs: list[float], truths: list[float], speakers: list[str]
) -> PairedTest | None:
    best = METRICS[metric].best
    pairs = zip(badness(ours, truths, best), badness(theirs, truths, best), speakers, strict=True)
    both = [(a - b, who) for a, b, who in pairs if math.isfinite(a) and math.isfinite(b)]
    if not both:
        return None
    differences, of = [d for d, _ in both], [who for _, who in both]
    return PairedTest(
        metric,
        method,
        speaker_bootstrap(differences, of),
        len(both),
        sign_flip_p(clip_contributions(differences, of).tolist()),
        sign_flip_p(speaker_contributions(differences, of).tolist()),
    )


def _adjusted(tests: list[PairedTest]) -> list[PairedTest]:
    clips, speakers = holm([t.p_clips for t in tests]), holm([t.p_speakers for t in tests])
    return [replace(t, holm_clips=c, holm_speakers=s) for t, c, s in zip(tests, clips, speakers, strict=True)]


def _find(methods: list[Method], name: str) -> Method:
    for method in methods:
        if not name or name in (
            method.name,
            *(e.name for e in method.entrants),
            *(str(e.folder) for e in method.entrants),
        ):
            return method
    raise ReportError(f"the baseline {name!r} is not among what is compared: {', '.join(m.name for m in methods)}")


def _shared_clips(methods: list[Method]) -> set[str]:
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


def _shared_metrics(methods: list[Method], wanted: Sequence[str] | None) -> tuple[list[str], list[str]]:
    entrants = [entrant for method in methods for entrant in method.entrants]
    known = [name for name, info in entrants[0].scores["metrics"].items() if info["per_clip"] and name in METRICS]
    shared = [name for name in known if all(name in entrant.scores["metrics"] for entrant in entrants)]
    notes = []
    if len({entrant.scores["data"]["normalised_by"] for entrant in entrants}) > 1:
        dropped = [name for name in shared if reads_normalised(METRICS[name])]
        shared = [name for name in shared if name not in dropped]
        notes.append(
            f"Left out, because the runs z-score coefficients by different training data: {', '.join(dropped)}."
        )
    absent = [name for name in wanted or () if name not in shared]
    if absent or not shared:
        raise ReportError(
            f"not all runs were scored with {', '.join(absent) or 'a common metric'}; they share {', '.join(shared)}"
        )
    return list(dict.fromkeys(wanted)) if wanted else shared, notes


def _notes(methods: list[Method], keys: set[str]) -> list[str]:
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


def _has(method: Method, of: str, metric: str) -> bool:
    return metric in method.entrants[0].scores["scores"].get(of, {})


def _values(method: Method, of: str, metric: str, clips: list[dict[str, Any]]) -> list[float]:
    """One number a clip: the mean over the method's seeds, NaN where any has none; all NaN where a prediction was not finite."""
    if any(entrant.scores["scores"].get(of, {}).get(metric, {}).get("bad_clips") for entrant in method.entrants):
        return [math.nan] * len(clips)
    tables = [{row["key"]: row["scores"].get(of, {}) for row in entrant.scores["clips"]} for entrant in method.entrants]
    return [sum(table[row["key"]].get(metric, math.nan) for table in tables) / len(tables) for row in clips]


def _interval(values: list[float], speakers: list[str]) -> Interval:
    finite = [(value, who) for value, who in zip(values, speakers, strict=True) if math.isfinite(value)]
    return interval_of([value for value, _ in finite], [who for _, who in finite])


def seed_means(comparison: Comparison, metric: str) -> dict[str, list[float]]:
    """For each method, the mean over speakers of every seed by itself."""
    speakers = [row["speaker"] for row in comparison.clips]
    return {
        method.name: [
            _interval(_values(Method("", [entrant]), MODEL, metric, comparison.clips), speakers).mean
            for entrant in method.entrants
        ]
        for method in comparison.methods
    }


def headline_of(comparison: Comparison) -> str:
    return HEADLINE if HEADLINE in comparison.metrics else comparison.metrics[0]

"""Which metrics the methods of a comparison share, by what their score files say of them; what is left out or not tested is said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metrics.registry import METRICS
from reports.entrants import Entrant, Method
from reports.errors import ReportError
from reports.metric_choice import reads_normalised
from reports.score_summary import MODEL
from reports.scoring import TRUTH

DIRECTIONS = ("lower", "higher", "zero", "one", "truth")
# Where two runs differ in one of these, a name stands for two measures.
DEFINITION = ("unit", "vertices", "average", "per_clip")
CODE_LIKELIHOOD = "code_nll"


@dataclass(frozen=True)
class SharedMetric:
    """`average`: what its definition averages over; `best`: what it aims at, empty where the files (or the registry) disagree; `untested`: why there is no test, empty where there is one."""

    name: str
    unit: str
    average: str
    best: str
    per_clip: bool
    untested: str = ""


def shared_metrics(
    methods: Sequence[Method], wanted: Sequence[str] | None, all_clips: bool
) -> tuple[dict[str, SharedMetric], list[str]]:
    """The metrics that every run was scored with, or the `wanted` ones of them, and notes on what is not there or not tested.

    `all_clips`: whether every run was scored on the same clips; numbers of a set of clips are compared only then. Raises ReportError where
    nothing is left or something wanted is not.
    """
    reasons = _reasons_against(methods, all_clips)
    shared = [name for name in methods[0].entrants[0].scores["metrics"] if name not in reasons]
    absent = {name: reasons.get(name, "no run was scored with it") for name in wanted or () if name not in shared}
    if absent or not shared:
        told = "; ".join(f"{name}: {why}" for name, why in (absent or reasons).items())
        raise ReportError(f"not compared: {told}; the runs share {', '.join(shared) or 'no metric'}")
    names = list(dict.fromkeys(wanted)) if wanted else shared
    chosen = {name: _described(name, methods) for name in names}
    notes = [] if wanted else list(_grouped("Left out", reasons.items()))
    untested = ((name, metric.untested) for name, metric in chosen.items() if metric.untested)
    return chosen, [*notes, *_grouped("Shown without a test", untested)]


def _reasons_against(methods: Sequence[Method], all_clips: bool) -> dict[str, str]:
    """Why a metric that some run was scored with cannot be compared."""
    entrants = _entrants(methods)
    statistics = {entrant.scores["data"]["normalised_by"] for entrant in entrants}
    reasons = {}
    for name in dict.fromkeys(name for entrant in entrants for name in entrant.scores["metrics"]):
        without = [m.name for m in methods if any(name not in e.scores["metrics"] for e in m.entrants)]
        facts = [entrant.scores["metrics"].get(name, {}) for entrant in entrants]
        if without:
            reasons[name] = f"{_some(without)} not scored with it"
        elif any(each.get(key) != facts[0].get(key) for each in facts for key in DEFINITION):
            reasons[name] = "the runs were scored with different definitions of it; score them again"
        elif len(statistics) > 1 and name in METRICS and reads_normalised(METRICS[name]):
            reasons[name] = "the runs z-score coefficients by different training data"
        elif not facts[0]["per_clip"] and not all_clips:
            reasons[name] = "a number of all clips together, and the runs were not scored on the same clips"
        elif len({_fingerprint(entrant, name) for entrant in entrants}) > 1:
            reasons[name] = "measured with different embedders or windows; score the runs again"
    return reasons


def _fingerprint(entrant: Entrant, name: str) -> str:
    """Of the embedder and windows of a Frechet distance; other metrics have none."""
    return entrant.scores["scores"][MODEL].get(name, {}).get("fingerprint", "")


def _described(name: str, methods: Sequence[Method]) -> SharedMetric:
    entrants = _entrants(methods)
    facts = entrants[0].scores["metrics"][name]
    said = {entrant.scores["metrics"][name]["best"] for entrant in entrants}
    said |= {METRICS[name].best} if name in METRICS else set()
    best = facts["best"] if len(said) == 1 and facts["best"] in DIRECTIONS else ""
    untested = ""
    if not facts["per_clip"]:
        untested = "numbers of all clips together"
    elif not best:
        untested = "the score files and this version disagree on where better lies; score the runs again"
    elif name.startswith(f"{CODE_LIKELIHOOD}_"):
        untested = f"controls of {CODE_LIKELIHOOD}, of which less is not better"
    elif name == CODE_LIKELIHOOD and len({_pose_codes(method) for method in methods}) > 1:
        untested = "likelihoods of codes of different VQ-VAEs"
    elif best == "truth" and not _has_truth(name, methods):
        untested = "they aim at the truth's value, and the truth has none"
    return SharedMetric(name, facts["unit"], facts["average"], best, facts["per_clip"], untested)


def _pose_codes(method: Method) -> tuple[str, ...]:
    return tuple(sorted(entrant.pose_codes for entrant in method.entrants))


def _has_truth(name: str, methods: Sequence[Method]) -> bool:
    return all(name in entrant.scores["scores"].get(TRUTH, {}) for entrant in _entrants(methods))


def _entrants(methods: Sequence[Method]) -> list[Entrant]:
    return [entrant for method in methods for entrant in method.entrants]


def _some(names: Sequence[str]) -> str:
    told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{told} {'was' if len(names) == 1 else 'were'}"


def _grouped(what: str, reasons: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A sentence for each reason, with the names it is true of."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons:
        names.setdefault(reason, []).append(name)
    for reason, of in names.items():
        yield f"{what} ({reason}): {', '.join(of)}."

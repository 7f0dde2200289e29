"""Whether scores may stand beside each other: one face, and clips that were compared with the same truth."""

from __future__ import annotations

from collections.abc import Sequence

from metrics.registry import METRICS
from reports.entrants import Entrant, Method
from reports.errors import ReportError
from reports.metric_choice import needs_head
from reports.scoring import FACE


def check_faces(methods: Sequence[Method]) -> None:
    """Raises ReportError for faces that differ, and for a run of head motion beside one that has no number of the head.

    Scores of heads alone were measured on no face. Scores from before faces had a hash are known by the face's name alone.
    """
    entrants = _entrants(methods)
    heads = [entrant for entrant in entrants if _is_head_alone(entrant)]
    entrants = [entrant for entrant in entrants if not _is_head_alone(entrant)]
    headless = next((entrant for entrant in entrants if not _has_head_metrics(entrant)), None)
    if heads and headless is not None:
        raise ReportError(
            f"{heads[0].name} was scored in its head motion and {headless.name} in its face, which has no number of the head: nothing can be compared; a folder "
            "of motion files that say how the head turns can be compared with either"
        )
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


def shared_clips(methods: Sequence[Method]) -> set[str]:
    """Keys that every entrant scored against the same truth, in the parts of it that all have."""
    entrants = _entrants(methods)
    parts = set.intersection(*(set(row["truth"]) for entrant in entrants for row in entrant.scores["clips"]))
    of = [
        {(row["key"], *(row["truth"][part] for part in sorted(parts))) for row in entrant.scores["clips"]}
        for entrant in entrants
    ]
    shared = set.intersection(*of) if parts else set()
    if not shared:
        other = next((i for i in range(1, len(of)) if not of[0] & of[i]), 1)
        told = [
            f"{entrants[i].name} was scored on {len(of[i])} clips of {entrants[i].scores['data']['corpus']}"
            for i in (0, other)
        ]
        people = [entrants[i].settings.get("data.person") for i in (0, other) if "base.run" in entrants[i].settings]
        advice = "score both on one split of one corpus"
        if len(set(people)) > 1:
            advice = f"they adapted to {people[0]} and {people[1]}: give runs of one person; over people, python sweep.py table has a sweep's paired numbers"
        raise ReportError(f"{told[0]}, {told[1]}, and no clip is the same; {advice}")
    return {clip[0] for clip in shared}


def _entrants(methods: Sequence[Method]) -> list[Entrant]:
    return [entrant for method in methods for entrant in method.entrants]


def _is_head_alone(entrant: Entrant) -> bool:
    return all(FACE not in row["truth"] for row in entrant.scores["clips"])


def _has_head_metrics(entrant: Entrant) -> bool:
    return any(name in METRICS and needs_head(METRICS[name]) for name in entrant.scores["metrics"])

"""What a reader of a comparison must know beside its numbers: which clips, references, checkpoints and versions they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metrics.intervals import too_few_speakers
from reports.entrants import Method
from reports.score_summary import MODEL

BEST = "best.ckpt"


def notes_on(methods: Sequence[Method], clips: list[dict[str, Any]]) -> list[str]:
    """Sentences on `methods` and the clips that all were scored on; shared_metrics has those on metrics."""
    keys = {row["key"] for row in clips}
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
    checkpoints = {method.name: _kinds_of_checkpoint(method) for method in methods}
    if len({kind for kinds in checkpoints.values() for kind in kinds}) > 1:
        told = "; ".join(f"{method}: {' and '.join(kinds)}" for method, kinds in checkpoints.items() if kinds)
        notes.append(f"Runs were scored at different checkpoints ({told}); score them again with one --checkpoint.")
    too_few = too_few_speakers(len({row["speaker"] for row in clips}))
    if too_few:
        notes.append(f"No intervals: {too_few}.")
    bad = sorted(
        {f"{e.name}: {m}" for e in entrants for m, s in e.scores["scores"][MODEL].items() if s.get("bad_clips")}
    )
    if bad:
        notes.append(f"Predictions that are not finite, so without a number: {'; '.join(bad)}.")
    return notes


def checkpoints_of(method: Method) -> str:
    """Which checkpoint of its runs was scored, and at which steps; empty for motion files."""
    told = []
    for name in _checkpoint_names(method):
        of = [e.scores for e in method.entrants if e.scores.get("checkpoint") == name]
        steps = [str(scores["checkpoint_step"]) for scores in of if scores.get("checkpoint_step") is not None]
        told.append(f"{name} (step {', '.join(dict.fromkeys(steps))})" if steps else name)
    return "; ".join(told)


def _checkpoint_names(method: Method) -> list[str]:
    return list(dict.fromkeys(e.scores["checkpoint"] for e in method.entrants if e.scores.get("checkpoint")))


def _kinds_of_checkpoint(method: Method) -> list[str]:
    """The best by validation may be of any step; others are the same where their steps are."""
    of = [e.scores for e in method.entrants if e.scores.get("checkpoint")]
    return list(
        dict.fromkeys(
            BEST if scores["checkpoint"] == BEST else f"{scores['checkpoint']} of step {scores.get('checkpoint_step')}"
            for scores in of
        )
    )

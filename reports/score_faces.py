"""Scores of talking faces, a run's or motion files', beside their controls."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from metrics.registry import MetricInfo
from networks.coefficient_space import CONSTANT_BELOW
from networks.controls import SpeakerMeanFace, reference_mean_face
from networks.ridge_regression import fit_ridge
from reports.errors import ReportError
from reports.face_hash import face_hash
from reports.metric_choice import choose_metrics, headline_name, reads_normalised
from reports.score_files import FORMAT
from reports.score_summary import AVERAGING, headline, summarise
from reports.scoring import Predicted, Scored, score_clips, without_value
from reports.subjects import Subject
from runtime.code_version import source_hash

Normaliser = Callable[[Tensor, Tensor], Tensor]


def score_faces(
    subject: Subject,
    split: str,
    metrics: Sequence[str] | None,
    ridges: dict[str, Any],
    workers: int,
    command: Sequence[str],
) -> dict[str, Any]:
    """What score.py writes of `subject`. `ridges` remembers fitted ridge regressions by their data. Raises ReportError for metrics that it cannot
    have, and what its data raises for a split without clips.
    """
    chosen = choose_metrics(metrics, subject.gives_head, subject.face is not None)
    subject.data.indices(split)  # an empty split is told before anything is fitted
    normalise, statistics = _normaliser(subject.data)
    if normalise is None:
        chosen = _without_normalised(chosen)
    methods = subject.methods | controls_of(subject.data, split, ridges)
    scored = score_clips(subject.data.evaluation_dataloader(split), methods, subject.face, chosen, normalise, workers)
    return _described(subject, split, statistics, command) | _numbers(scored, chosen, subject.face is not None)


def _described(subject: Subject, split: str, statistics: str, command: Sequence[str]) -> dict[str, Any]:
    """What was scored, on what, how and by which code."""
    has_mesh = subject.face is not None
    return {
        "format": FORMAT,
        "run": subject.name,
        **subject.facts,
        "split": split,
        "metric": headline_name(has_mesh),
        "face": subject.face.name if has_mesh else "no (coefficients only)",
        "face_sha256": face_hash(subject.face) if has_mesh else "",
        "synthetic": bool(subject.data.synthetic),
        "averaging": AVERAGING,
        "data": {
            "corpus": subject.data.index.manifest.corpus,
            "fingerprint": subject.data.index.fingerprint,
            "normalised_by": statistics,
        },
        "command": shlex.join(["python", *command]) if command else "",
        "source_hash": source_hash(),
    }


def _numbers(scored: Scored, chosen: Sequence[MetricInfo], has_mesh: bool) -> dict[str, Any]:
    absent = without_value(scored, chosen)
    chosen = [info for info in chosen if info.name not in absent]
    scores = summarise(scored, chosen)
    return {
        "metrics": {info.name: info.metadata | {"per_clip": info.per_clip} for info in chosen},
        "left_out": dict.fromkeys(absent, "no clip of the split has what it reads"),
        "summary": headline(scored, scores, headline_name(has_mesh)),
        "scores": scores,
        "clips": scored.clips,
    }


def _without_normalised(chosen: Sequence[MetricInfo]) -> list[MetricInfo]:
    left = [info for info in chosen if not reads_normalised(info)]
    if reads_normalised(chosen[0]):
        raise ReportError(
            f"{chosen[0].name} needs coefficients z-scored over training clips, and the corpus has none; give one whose train split has clips"
        )
    return left


def controls_of(data: Any, split: str, ridges: dict[str, Any]) -> dict[str, Callable[[Any], Predicted]]:
    """What stands beside a method on `split`; a ridge regression that is not among `ridges` is fitted and put there."""
    mean_face = SpeakerMeanFace()
    for batch in data.evaluation_dataloader(split):
        mean_face.observe(batch)
    controls: dict[str, Any] = {"reference_mean_face": reference_mean_face, "mean_face": mean_face}
    if data.chosen["train"]:
        validation_clips = [data.index.entries[i] for i in data.chosen["val"]]
        # A person's tail may be of one clip and of another length: then what is trained on is, too.
        used = f"{data.fingerprint} {[(clip.key, clip.num_frames) for clip in validation_clips]}"
        if used not in ridges:
            validation = data.evaluation_dataloader("val") if data.chosen["val"] else None
            ridges[used] = fit_ridge(data.evaluation_dataloader("train"), validation)
        controls["ridge"] = ridges[used]

    def predictor(control: Any) -> Callable[[Any], Predicted]:
        return lambda batch: Predicted(*control(batch))

    return {name: predictor(control) for name, control in controls.items()}


def _normaliser(data: Any) -> tuple[Normaliser | None, str]:
    """Raw expression and jaw to coefficients z-scored over the corpus' training clips, and the hash of those statistics."""
    if not data.chosen["train"] or data.statistics is None:
        return None, ""
    mean, std = (torch.as_tensor(part, dtype=torch.float32) for part in data.statistics)
    inverse = torch.where(std < CONSTANT_BELOW, 0.0, 1 / std.clamp(min=CONSTANT_BELOW))
    digest = hashlib.sha256(mean.numpy().tobytes() + std.numpy().tobytes()).hexdigest()[:12]
    return lambda expression, jaw: (torch.cat([expression, jaw], -1) - mean) * inverse, digest

"""The scoring loop: every method on every clip, one clip at a time, so that no batch size or padding can change a number."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metrics.motion_pair import MotionPair
from metrics.registry import MetricInfo
from metrics.weighted_mean import NamedClips
from reports.errors import ReportError
from reports.metric_choice import accumulator_options, needs_head

TRUTH = "truth"


class Predicted(NamedTuple):
    """What a method makes of a batch, raw units: `expression` `[B, T, E]`, `jaw` `[B, T, 3]`, and `head` `[B, T, 3]` axis-angle if it has one."""

    expression: Tensor
    jaw: Tensor
    head: Tensor | None = None


Method = Callable[[Any], Predicted]


@dataclass
class Scored:
    """`clips`: rows `{key, speaker, frames, reference, truth, scores: {method: {metric: value}}}` in order of their keys; NaN where a clip
    has no value. `values[method][metric]` is the registry's own average over all clips, `bad_clips[method][metric]` the names of
    those that made it NaN."""

    clips: list[dict[str, Any]]
    values: dict[str, dict[str, float]]
    bad_clips: dict[str, dict[str, list[str]]]


def score_clips(
    batches: Iterable[Any],
    methods: dict[str, Method],
    face: Any,
    metrics: Sequence[MetricInfo],
    normalise: Callable[[Tensor, Tensor], Tensor] | None,
) -> Scored:
    """Score `methods` on batches of one clip each, on `face` with the head still; the truth is scored against itself as `truth`.

    `normalise` maps raw expression and jaw to z-scored coefficients; metrics that read them need it. A method without head rotation has no metrics of it.
    Raises ReportError for batches of more than one clip, MetricError where prediction and truth do not fit.
    """
    methods = {TRUTH: lambda batch: Predicted(batch.expression, batch.jaw, batch.head), **methods}
    accumulators: dict[str, dict[str, NamedClips]] = {name: {} for name in methods}
    rows = []
    with torch.no_grad():
        for batch in _progress(batches):
            if len(batch.keys) != 1:
                raise ReportError(
                    f"received {len(batch.keys)} clips in a batch; scoring takes one at a time (eval_batch=1)"
                )
            first: MotionPair | None = None
            scores = {}
            for name, method in methods.items():
                pair = _pair(face, batch, method(batch), normalise)
                if first is not None:
                    pair.take_truth_from(first)
                scores[name] = _score(pair, metrics, accumulators[name])
                first = first or pair
            rows.append(_facts(batch) | {"scores": scores})
    return Scored(
        sorted(rows, key=lambda row: row["key"]),
        {name: {metric: float(twin.compute()) for metric, twin in of.items()} for name, of in accumulators.items()},
        {
            name: {metric: twin.bad_clips for metric, twin in of.items() if twin.bad_clips}
            for name, of in accumulators.items()
        },
    )


def _score(pair: MotionPair, metrics: Sequence[MetricInfo], accumulators: dict[str, NamedClips]) -> dict[str, float]:
    scores = {}
    for info in metrics:
        if needs_head(info) and pair.optional["head"] is None:
            continue
        if info.name not in accumulators:
            width = sum(part.shape[-1] for part in pair.coefficients[""])
            accumulators[info.name] = info.make(**accumulator_options(info, width))
        info.update(accumulators[info.name], pair)
        if info.per_clip:
            scores[info.name] = float(info.clip_values(pair))
    return scores


def _pair(
    face: Any, batch: Any, predicted: Predicted, normalise: Callable[[Tensor, Tensor], Tensor] | None
) -> MotionPair:
    return MotionPair(
        face,
        predicted.expression,
        predicted.jaw,
        batch.expression,
        batch.jaw,
        batch.mask,
        head=predicted.head,
        true_head=batch.head,
        keys=batch.keys,
        normalise=normalise,
        reference_expression=batch.reference_expression,
        reference_jaw=batch.reference_jaw,
        reference_mask=batch.reference_mask,
        phonemes=[meta.get("extra", {}).get("phonemes", []) for meta in batch.metas],
        audio=batch.audio,
    )


def _facts(batch: Any) -> dict[str, Any]:
    return {
        "key": batch.keys[0],
        "speaker": batch.speakers[0],
        "frames": int(batch.num_frames[0]),
        "reference": batch.metas[0]["reference_key"],
        "truth": truth_hash(batch),
    }


def truth_hash(batch: Any) -> str:
    """Twelve hex digits of what a clip is compared with: scores of two runs may be compared where it agrees."""
    digest = hashlib.sha256()
    for values in (batch.expression, batch.jaw, batch.head):
        digest.update(values[0, : int(batch.num_frames[0])].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def without_value(scored: Scored, metrics: Sequence[MetricInfo]) -> list[str]:
    """Metrics that no method could be given on any clip, as closures at bilabials where no clip says its phonemes."""
    return [
        info.name
        for info in metrics
        if all(math.isnan(of.get(info.name, math.nan)) for of in scored.values.values())
        and not any(info.name in of for of in scored.bad_clips.values())
    ]


def _progress(batches: Iterable[Any]) -> Iterable[Any]:
    from rich.progress import track

    return track(batches, description="scoring", disable=not sys.stderr.isatty())

"""The scoring loop: every method on every clip, one clip at a time, so that no batch size or padding can change a number."""

from __future__ import annotations

import hashlib
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metrics.motion_pair import MotionPair
from metrics.registry import MetricInfo
from metrics.weighted_mean import NamedClips
from reports.errors import ReportError
from reports.metric_choice import accumulator_options, needs_head

TRUTH = "truth"
# The parts of a clip's truth; runs of head motion have the head alone.
FACE, HEAD = "face", "head"


class Predicted(NamedTuple):
    """What a method makes of a batch, raw units: `expression` `[B, T, E]`, `jaw` `[B, T, 3]`, and `head` `[B, T, 3]` axis-angle if it has one."""

    expression: Tensor
    jaw: Tensor
    head: Tensor | None = None


Method = Callable[[Any], Predicted]
# method -> metric -> what accumulates it
Twins = dict[str, dict[str, NamedClips]]


@dataclass
class Scored:
    """`clips`: rows `{key, speaker, frames, reference, truth: {part: hash}, scores: {method: {metric: value}}}` in order of their keys; NaN where a clip
    has no value. `values[method][metric]` is the registry's own average over all clips, `bad_clips[method][metric]` the names of
    those that made it NaN; `facts[method][metric]` is what a number cannot be compared without (embedder, number of samples)."""

    clips: list[dict[str, Any]]
    values: dict[str, dict[str, float]]
    bad_clips: dict[str, dict[str, list[str]]]
    facts: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)


def score_clips(
    batches: Iterable[Any],
    methods: dict[str, Method],
    face: Any,
    metrics: Sequence[MetricInfo],
    normalise: Callable[[Tensor, Tensor], Tensor] | None,
    workers: int = 1,
) -> Scored:
    """Score `methods` on batches of one clip each, on `face` with the head still; the truth is scored against itself as `truth`.

    `normalise` maps raw expression and jaw to z-scored coefficients; metrics that read them need it. A method without head rotation has no metrics of it, and
    without a `face` there are none of vertices. `workers` threads share out the clips; their number changes no digit, because a clip is computed on one thread and clips are added up in order of their
    keys. Raises ReportError for batches of more than one clip, MetricError where prediction and truth do not fit.
    """
    methods = {TRUTH: lambda batch: Predicted(batch.expression, batch.jaw, batch.head), **methods}
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        scored = _map_ahead(
            pool, lambda batch: _score_clip(batch, methods, face, metrics, normalise), batches, 2 * workers
        )
        clips = sorted(_progress(scored), key=lambda clip: clip[0]["key"])
    totals: dict[str, dict[str, NamedClips]] = {name: {} for name in methods}
    for _, twins in clips:
        for name, of in twins.items():
            for metric, twin in of.items():
                if metric in totals[name]:
                    totals[name][metric].merge_state(twin)
                else:
                    totals[name][metric] = twin
    return Scored(
        [row for row, _ in clips],
        {name: {metric: float(twin.compute()) for metric, twin in of.items()} for name, of in totals.items()},
        {
            name: {metric: twin.bad_clips for metric, twin in of.items() if twin.bad_clips}
            for name, of in totals.items()
        },
        {name: {metric: twin.facts for metric, twin in of.items() if twin.facts} for name, of in totals.items()},
    )


@torch.no_grad()
def _score_clip(
    batch: Any,
    methods: dict[str, Method],
    face: Any,
    metrics: Sequence[MetricInfo],
    normalise: Callable[[Tensor, Tensor], Tensor] | None,
) -> tuple[dict[str, Any], Twins]:
    """The row of one clip, and for each method the accumulators that saw it alone."""
    if len(batch.keys) != 1:
        raise ReportError(f"received {len(batch.keys)} clips in a batch; scoring takes one at a time (eval_batch=1)")
    first: MotionPair | None = None
    twins: Twins = {}
    for name, method in methods.items():
        pair = _pair(face, batch, method(batch), normalise)
        if first is not None:
            pair.take_truth_from(first)
        twins[name] = {info.name: _updated(info, pair) for info in metrics if _has_inputs(info, pair)}
        first = first or pair
    # An accumulator that saw one clip holds that clip's value: nothing is computed twice.
    scores = {
        name: {info.name: float(of[info.name].compute()) for info in metrics if info.per_clip and info.name in of}
        for name, of in twins.items()
    }
    return _facts(batch) | {"scores": scores}, twins


def _updated(info: MetricInfo, pair: MotionPair) -> NamedClips:
    width = sum(part.shape[-1] for part in pair.coefficients[""])
    twin = info.make(**accumulator_options(info, width))
    # It is computed for its clip, and again when other clips were merged into it.
    twin.compute_with_cache = False
    info.update(twin, pair)
    return twin


def _has_inputs(info: MetricInfo, pair: MotionPair) -> bool:
    return not needs_head(info) or pair.optional["head"] is not None


def _map_ahead(
    pool: ThreadPoolExecutor, function: Callable[[Any], Any], items: Iterable[Any], ahead: int
) -> Iterator[Any]:
    """`function` of every item, in order, with at most `ahead` items read but not done: a corpus need not fit into memory."""
    waiting: deque[Future[Any]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


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
        "truth": truth_hashes(batch),
    }


def truth_hashes(batch: Any) -> dict[str, str]:
    """Of what a clip is compared with, `face` (expression and jaw) and `head`: scores of two runs may be compared where the parts that both have agree."""
    expression, jaw, head = (part[0, : int(batch.num_frames[0])] for part in (batch.expression, batch.jaw, batch.head))
    return {FACE: truth_hash(expression, jaw), HEAD: truth_hash(head)}


def truth_hash(*parts: Tensor) -> str:
    """Twelve hex digits of the numbers in `parts`."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.cpu().contiguous().numpy().tobytes())
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

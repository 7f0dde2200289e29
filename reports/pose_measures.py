"""Heads of several methods on the same clips to numbers: one a clip where a metric has one, and one a set, with intervals over speakers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from faces.rotations import axis_angle_to_matrix, geodesic_distance
from metrics.beat_alignment import frame_energy
from metrics.code_repetition import code_repeat_rate
from metrics.motion_error import DEGREES
from metrics.registry import MetricInfo, find_metric
from metrics.weighted_mean import NamedClips, WeightedMean
from reports.metric_choice import accumulator_options
from reports.score_summary import interval_of

TRUTH = "truth"
PER_CLIP = (
    *("pose_diversity_within_deg", "pose_range_deg", "pose_speed_deg_per_s", "head_jerk_ratio"),
    *("beat_consistency", "beat_alignment"),
)
PER_SET = ("frechet_pose", "pose_diversity_adamesh")
SAMPLES = "pose_diversity_samples_deg"
# Beside the registry; name: unit, best, source
OWN = {
    "head_error_deg": ("deg", "lower", "own: mean angle to the true rotation; only of methods that may know it"),
    "posture_error_deg": ("deg", "lower", "own: angle between the clips' mean rotations"),
    "code_repeat_rate": ("share", "truth", "after Welleck et al. 2020, runs of 8 codes"),
    "code_nll": ("nats a code", "lower", "own"),
}


@dataclass
class Measured:
    """Of the clips `keys`: `rows[method]` has one `{metric: value}` a clip, NaN where the clip cannot have a value or its head is not finite;
    `twins[method][metric]` saw all clips.
    """

    keys: list[str]
    rows: dict[str, list[dict[str, float]]]
    twins: dict[str, dict[str, NamedClips]]

    def add(self, method: str, name: str, values: Sequence[float], can_have: Sequence[bool] | None = None) -> None:
        """A number of `OWN`, one a clip; every clip weighs the same. One that is not finite spoils the mean, unless its clip cannot have it."""
        weights = torch.tensor(can_have if can_have is not None else [True] * len(values))
        twin = WeightedMean()
        twin.update(torch.tensor(values, dtype=torch.float64), weights, self.keys)
        self._keep(method, name, twin, values)

    def add_samples(self, method: str, draws: Sequence[Sequence[Tensor]]) -> None:
        """`pose_diversity_samples_deg` of several draws of all clips."""
        inputs = [{"head_samples": torch.stack(list(samples))[None]} for samples in zip(*draws, strict=True)]
        self.add_registered(method, find_metric(SAMPLES), inputs)

    def add_registered(self, method: str, info: MetricInfo, inputs: Sequence[Mapping[str, Tensor]]) -> None:
        """A row of the registry from what it reads of each clip; masks are made here."""
        values: list[float] = []
        twins: list[NamedClips] = []
        for key, of in zip(self.keys, inputs, strict=True):
            mask = torch.ones(1, next(iter(of.values())).shape[-2], dtype=torch.bool)
            # As in reports.scoring: a twin that saw one clip holds its value, and the others are merged into the first.
            twin = info.make(**accumulator_options(info, 0))
            twin.compute_with_cache = False
            twin.update(*(mask if name == "mask" else of[name] for name in info.inputs), keys=[key])
            if info.per_clip:
                values.append(float(twin.compute()))
            twins.append(twin)
        for twin in twins[1:]:
            twins[0].merge_state(twin)
        self._keep(method, info.name, twins[0], values)

    def _keep(self, method: str, name: str, twin: NamedClips, values: Sequence[float]) -> None:
        self.twins.setdefault(method, {})[name] = twin
        for row, value in zip(self.rows.setdefault(method, [{} for _ in self.keys]), values, strict=bool(values)):
            row[name] = value if math.isfinite(value) else math.nan


def measure_heads(
    heads: Mapping[str, Sequence[Tensor]],
    truths: Sequence[Tensor],
    audios: Sequence[Tensor],
    keys: Sequence[str],
    codes: Mapping[str, Sequence[Tensor]],
) -> Measured:
    """Numbers of heads `[T, 3]` (radians, axis-angle) beside the true ones and their audio `[640 T]`, for the clips `keys`. `codes`
    `{method: [codes [S], ...]}` of a VQ-VAE may be empty.
    """
    measured = Measured(list(keys), {}, {})
    energies = [frame_energy(audio[None]) for audio in audios]
    for method, of in {TRUTH: truths, **heads}.items():
        inputs = [
            {"head": head[None], "true_head": truth[None], "energy": energy}
            for head, truth, energy in zip(of, truths, energies, strict=True)
        ]
        for name in (*PER_SET, *PER_CLIP):
            measured.add_registered(method, find_metric(name), inputs)
        errors = [_errors(head, truth) for head, truth in zip(of, truths, strict=True)]
        for name in errors[0]:
            measured.add(method, name, [error[name] for error in errors])
        if method in codes:
            rates = [
                _repeat_rate(of_clip) if is_finite(head) else math.nan
                for of_clip, head in zip(codes[method], of, strict=True)
            ]
            too_short = [is_finite(head) and math.isnan(rate) for head, rate in zip(of, rates, strict=True)]
            measured.add(method, "code_repeat_rate", rates, [not short for short in too_short])
    return measured


def is_finite(head: Tensor) -> bool:
    return bool(head.isfinite().all())


def summarise_heads(measured: Measured, speakers: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """`{method: {metric: {value, mean, low, high, speakers, clips, bad_clips}}}`, as `score_summary.summarise` has it for faces: `value` is the
    metric's own average, the others are means over speakers of clip values with 95 % bootstrap intervals. Sets have no more than `value` and what
    it cannot be compared without; what no clip has is left out.
    """
    return {
        method: {
            name: found
            for name, twin in twins.items()
            if (found := _summary(twin, name, measured.rows[method], measured.keys, speakers))
        }
        for method, twins in measured.twins.items()
    }


def _summary(
    twin: NamedClips, name: str, rows: Sequence[dict[str, float]], keys: Sequence[str], speakers: Sequence[str]
) -> dict[str, Any]:
    found: dict[str, Any] = {"value": float(twin.compute()), **twin.facts}
    bad = twin.bad_clips
    if bad:
        found |= {"value": math.nan, "bad_clips": bad}
    if name in PER_SET:
        return found
    counted = [
        (row[name], who)
        for row, key, who in zip(rows, keys, speakers, strict=True)
        if key in bad or math.isfinite(row[name])
    ]
    if not counted:
        return {}
    values, owners = zip(*counted, strict=True)
    return found | interval_of(values, owners)._asdict() | {"clips": len(counted)}


def metadata(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Unit, direction and source of each metric, as score files hold them."""
    return {name: _facts(name) for name in names}


def _facts(name: str) -> dict[str, Any]:
    base = "code_nll" if name.startswith("code_nll") else name
    if base in OWN:
        unit, best, source = OWN[base]
        facts = {"unit": unit, "vertices": "head rotation", "average": "clips", "best": best, "source": source}
        return facts | {"per_clip": True}
    info = find_metric(name)
    return info.metadata | {"per_clip": info.per_clip}


def _errors(head: Tensor, truth: Tensor) -> dict[str, float]:
    if not is_finite(head):
        return {"head_error_deg": math.nan, "posture_error_deg": math.nan}
    ours, theirs = axis_angle_to_matrix(head.double()), axis_angle_to_matrix(truth.double())
    return {
        "head_error_deg": float(DEGREES * geodesic_distance(ours, theirs).mean()),
        "posture_error_deg": float(DEGREES * geodesic_distance(_mean_rotation(ours), _mean_rotation(theirs))),
    }


def _mean_rotation(matrices: Tensor) -> Tensor:
    """The rotation nearest to the mean of `[T, 3, 3]` (the chordal mean)."""
    left, _, right = torch.linalg.svd(matrices.mean(0))
    sign = torch.det(left @ right)
    return left @ torch.diag(torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign])) @ right


def _repeat_rate(codes: Tensor) -> float:
    return float(code_repeat_rate(codes[None], torch.ones(1, len(codes), dtype=torch.bool)))

"""Heads of several methods on the same clips to numbers: one a clip where a metric has one, else one a set, with intervals over speakers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from faces.rotations import axis_angle_to_matrix, geodesic_distance
from metrics.beat_alignment import frame_energy
from metrics.code_repetition import code_repeat_rate
from metrics.intervals import speaker_bootstrap
from metrics.motion_error import DEGREES
from metrics.registry import MetricInfo, find_metric
from metrics.sample_diversity import pose_diversity_samples_deg

TRUTH = "truth"
PER_CLIP = (
    *("pose_diversity_within_deg", "pose_range_deg", "pose_speed_deg_per_s", "head_jerk_ratio"),
    *("beat_consistency", "beat_alignment"),
)
PER_SET = ("frechet_pose", "pose_diversity_adamesh")
# name: unit, best, source
OWN = {
    "head_error_deg": ("deg", "lower", "own: mean angle to the true rotation; only of methods that may know it"),
    "posture_error_deg": ("deg", "lower", "own: angle between the clips' mean rotations"),
    "code_repeat_rate": ("share", "truth", "after Welleck et al. 2020, runs of 8 codes"),
    "pose_diversity_samples_deg": ("deg", "truth", "own: between draws for the same speech"),
    "code_nll": ("nats a code", "lower", "own"),
}


def measure_heads(
    heads: Mapping[str, Sequence[Tensor]], truths: Sequence[Tensor], audios: Sequence[Tensor], codes: dict[str, Any]
) -> tuple[dict[str, list[dict[str, float]]], dict[str, dict[str, float]]]:
    """Values a clip, `{method: [{metric: value}, ...]}`, and a set, `{method: {metric: value}}`, of heads `[T, 3]` (radians, axis-angle) beside the
    true ones and their audio `[640 T]`. `codes` `{method: [codes [S], ...]}` of a VQ-VAE may be empty.
    """
    rows: dict[str, list[dict[str, float]]] = {}
    sets: dict[str, dict[str, float]] = {}
    for method, of in {TRUTH: truths, **heads}.items():
        rows[method] = [_of_clip(head, truth, audio) for head, truth, audio in zip(of, truths, audios, strict=True)]
        for row, clip_codes in zip(rows[method], codes.get(method, []), strict=False):
            mask = torch.ones(1, len(clip_codes), dtype=torch.bool)
            row["code_repeat_rate"] = float(code_repeat_rate(clip_codes[None], mask))
        sets[method] = {name: _of_set(find_metric(name), of, truths) for name in PER_SET}
    return rows, sets


def sample_diversity(draws: Sequence[Sequence[Tensor]]) -> list[float]:
    """`pose_diversity_samples_deg` of each clip, from several draws of all clips."""
    values = []
    for samples in zip(*draws, strict=True):
        stacked = torch.stack(list(samples))[None]
        values.append(float(pose_diversity_samples_deg(stacked, torch.ones(1, stacked.shape[2], dtype=torch.bool))))
    return values


def summarise_clips(
    rows: dict[str, list[dict[str, float]]], sets: dict[str, dict[str, float]], speakers: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """`{method: {metric: {value, mean, low, high, speakers, clips}}}`: means over speakers of clip values with 95 % bootstrap intervals; of sets the
    `value` alone.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for method, clips in rows.items():
        found[method] = {name: {"value": value} for name, value in sets.get(method, {}).items()}
        for name in dict.fromkeys(name for row in clips for name in row):
            having = [
                (row[name], who)
                for row, who in zip(clips, speakers, strict=True)
                if math.isfinite(row.get(name, math.nan))
            ]
            if not having:
                continue
            values, owners = zip(*having, strict=True)
            interval = speaker_bootstrap(values, owners)._asdict()
            found[method][name] = {"value": sum(values) / len(values), **interval, "clips": len(having)}
    return found


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


def _of_clip(head: Tensor, truth: Tensor, audio: Tensor) -> dict[str, float]:
    mask = torch.ones(1, len(truth), dtype=torch.bool)
    inputs = {"head": head[None], "true_head": truth[None], "energy": frame_energy(audio[None]), "mask": mask}
    infos = [find_metric(name) for name in PER_CLIP]
    values = {info.name: float(info.function(*(inputs[name] for name in info.inputs))) for info in infos}
    ours, theirs = axis_angle_to_matrix(head.double()), axis_angle_to_matrix(truth.double())
    values["head_error_deg"] = float(DEGREES * geodesic_distance(ours, theirs).mean())
    values["posture_error_deg"] = float(DEGREES * geodesic_distance(_mean_rotation(ours), _mean_rotation(theirs)))
    return values


def _mean_rotation(matrices: Tensor) -> Tensor:
    """The rotation nearest to the mean of `[T, 3, 3]` (the chordal mean)."""
    left, _, right = torch.linalg.svd(matrices.mean(0))
    sign = torch.det(left @ right)
    return left @ torch.diag(torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign])) @ right


def _of_set(info: MetricInfo, heads: Sequence[Tensor], truths: Sequence[Tensor]) -> float:
    metric = info.make(**({"channels": 3} if info.name.startswith("frechet") else {}))
    for head, truth in zip(heads, truths, strict=True):
        mask = torch.ones(1, len(truth), dtype=torch.bool)
        inputs = {"head": head[None], "true_head": truth[None], "mask": mask}
        metric.update(*(inputs[name] for name in info.inputs))
    return float(metric.compute())

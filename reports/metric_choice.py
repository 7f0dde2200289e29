"""Which metrics of the registry a talking face can be scored with, and which of them are taken when nobody says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metrics.registry import METRICS, OTHER_MESH, MetricInfo, find_face_metric
from reports.errors import ReportError

HEADLINE = "lip_vertex_error_mm"
# One or two of each question: lips, mouth, closures, motion, upper face, liveliness, style. No variants of one number.
FACE_METRICS = (
    *(HEADLINE, "lve_squared_m2", "lip_mean_vertex_error_mm", "upper_face_vertex_error_mm", "fdd_absolute_m2"),
    *("mouth_opening_deviation_mm", "lip_closure_f1", "lip_closure_recall", "lip_closure_timing_ms"),
    *("lip_dtw_mm", "lip_speed_error_mm_per_s", "lip_jerk_ratio"),
    *("expression_richness_ratio", "expression_dispersion_ratio", "style_statistics_distance"),
)
HEAD_METRICS = (
    *("head_speed_error_deg_per_s", "head_jerk_ratio", "pose_diversity_within_deg", "pose_deviation_ratio"),
    *("pose_range_deg", "pose_speed_deg_per_s", "beat_consistency"),
)
# Where there is no mesh to measure on.
COEFFICIENT_HEADLINE = "coefficient_error_sd"
COEFFICIENT_INPUTS = frozenset(
    {"normalised", "true_normalised", "reference_normalised", "mask", "reference_mask", "head", "true_head", "energy"}
)
# What neither a run nor a motion file brings along.
NOT_THERE = frozenset({"codes", "head_samples", "vertex_samples", "lip_samples", "work_s", "speech_s"})
NEEDS_EMBEDDER = frozenset({"style_embedding_distance"})


def choose_metrics(names: Sequence[str] | None, gives_head: bool, has_mesh: bool = True) -> list[MetricInfo]:
    """The rows called `names`, or the default ones; raises ReportError for one that these predictions cannot have.

    `gives_head`: whether the predictions hold head rotation; `has_mesh`: whether there is a face to measure vertices on. The headline metric is always
    among them, first.
    """
    if names is None:
        names = FACE_METRICS + (HEAD_METRICS if gives_head else ())
        names = [name for name in names if has_mesh or not needs_mesh(find_face_metric(name))]
    chosen = [find_face_metric(name) for name in dict.fromkeys((headline_name(has_mesh), *names))]
    for info in chosen:
        if needs_mesh(info) and not has_mesh:
            raise ReportError(
                f"{info.name} reads vertices, and the mesh of FLAME's coefficients is not here: its licence does not let us ship it. Register at "
                "https://flame.is.tue.mpg.de for the model, convert it (python -m faces.flame_conversion) and name the file in $FLAME_NPZ, or score "
                "the coefficients alone: leave this metric out"
            )
        missing = sorted(NOT_THERE & set(info.inputs))
        if missing or info.name in NEEDS_EMBEDDER:
            what = " and ".join(missing) or "an embedder"
            raise ReportError(
                f"{info.name} cannot be scored here: it reads {what}, which neither runs nor motion files have; "
                f"choose among {', '.join(scorable_names())}"
            )
        if needs_head(info) and not gives_head:
            raise ReportError(
                f"{info.name} reads head rotation, which this run does not predict or these files do not hold; leave it out or score motion files that have it"
            )
    return chosen


def scorable_names() -> list[str]:
    return sorted(
        name
        for name, info in METRICS.items()
        if not NOT_THERE & set(info.inputs) and name not in NEEDS_EMBEDDER and name not in OTHER_MESH
    )


def headline_name(has_mesh: bool) -> str:
    return HEADLINE if has_mesh else COEFFICIENT_HEADLINE


def needs_mesh(info: MetricInfo) -> bool:
    return not set(info.inputs) <= COEFFICIENT_INPUTS


def needs_head(info: MetricInfo) -> bool:
    return "head" in info.inputs


def reads_normalised(info: MetricInfo) -> bool:
    """Whether its numbers depend on whose corpus the coefficients are z-scored with."""
    return "normalised" in info.inputs


def accumulator_options(info: MetricInfo, num_coefficients: int) -> dict[str, Any]:
    """What `info.make` must be told; the Frechet distances need the number of channels of their curves."""
    if not info.name.startswith("frechet_"):
        return {}
    return {"channels": 3 if needs_head(info) else num_coefficients}

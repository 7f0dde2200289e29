"""Every metric by name, with what a number needs beside it: unit, vertex set, averaging, direction and source.

info = METRICS["lip_vertex_error_mm"]
values = info.clip_values(pair)            # one a clip [B]
metric = info.make(); info.update(metric, pair); metric.compute(); metric.bad_clips
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from metrics import (
    beat_alignment,
    bilabial_closure,
    code_usage,
    coefficient_error,
    expression_richness,
    frechet_distance,
    lip_closure,
    lip_dtw,
    lip_vertex_error,
    motion_error,
    mouth_opening,
    pooled_diversity,
    pose_diversity,
    real_time_factor,
    sample_diversity,
    style_consistency,
    upper_face_dynamics,
    vertex_error,
)
from metrics.checks import MetricError
from metrics.motion_pair import MotionPair
from metrics.weighted_mean import NamedClips

Best = Literal["lower", "higher", "zero", "one", "truth"]


@dataclass(frozen=True)
class MetricInfo:
    """One row of the registry.

    `function` is pure; where `per_clip`, it takes `inputs` in order and gives one value a clip. `twin` accumulates over clips and processes.
    `best`: lower, higher, zero (signed), one (a ratio), or truth (no target of its own: compare with the truth's value).
    """

    name: str
    function: Callable[..., Tensor]
    twin: Callable[..., NamedClips]
    inputs: tuple[str, ...]
    unit: str
    vertices: str
    average: str
    best: Best
    source: str
    per_clip: bool = True

    def make(self, **options: Any) -> NamedClips:
        """A fresh accumulator; some need options (`num_codes`, `channels`, `embedder`)."""
        return self.twin(**options)

    def update(self, metric: NamedClips, pair: MotionPair) -> None:
        """Feed a batch to an accumulator made by `make`."""
        metric.update(*self.read(pair), keys=pair.keys)

    def clip_values(self, pair: MotionPair) -> Tensor:
        """One value a clip `[B]`; raises MetricError for a metric that only sets of clips have."""
        if not self.per_clip:
            raise MetricError(f"{self.name} is a number of a set of clips, not of one; use its accumulator")
        return self.function(*self.read(pair))

    def read(self, pair: MotionPair) -> list[Tensor]:
        return [pair.read(name) for name in self.inputs]

    @property
    def metadata(self) -> dict[str, str]:
        """What to log beside the number."""
        return {
            "unit": self.unit, "vertices": self.vertices, "average": self.average, "best": self.best, "source": self.source
        }  # fmt: skip


_LIPS = ("lips", "true_lips", "mask")
_UPPER = ("upper_face", "true_upper_face", "mask")
_REST = ("upper_face_displacement", "true_upper_face_displacement", "mask")
_ALL = ("vertices", "true_vertices", "mask")
_OPENING = ("opening", "true_opening", "mask")
_BILABIAL = ("opening", "true_opening", "bilabial", "mask")
_HEAD = ("head", "mask")
_HEADS = ("head", "true_head", "mask")
_BEATS = ("head", "energy", "mask")
_SCORES = ("normalised", "mask")
_BOTH_SCORES = ("normalised", "true_normalised", "mask")
_STYLE = ("normalised", "reference_normalised", "mask", "reference_mask")

_lve, _mve, _fdd, _pose = lip_vertex_error, vertex_error, upper_face_dynamics, pose_diversity
_rich, _move, _many = expression_richness, motion_error, sample_diversity
_beat, _pool, _style, _mouth = beat_alignment, pooled_diversity, style_consistency, mouth_opening

# fmt: off
_ROWS = (
    MetricInfo("lip_vertex_error_mm", _lve.lip_vertex_error, _lve.LipVertexError, _LIPS, "mm", "lips", "frames", "lower", "FaceFormer's text; UniTalker"),
    MetricInfo("lve_squared_m2", _lve.lve_squared_m2, _lve.LipVertexErrorSquared, _LIPS, "m^2", "lips", "frames", "lower", "CodeTalker, AdaMesh, FaceDiffuser, ProbTalk3D, torchmetrics"),
    MetricInfo("lve_codetalker_biwi", _lve.lve_squared_m2, _lve.LipVertexErrorSquared, _LIPS, "square of the mesh's unit", "BIWI lve.txt (4,996)", "frames", "lower", "CodeTalker and AdaMesh main/cal_metric.py"),
    MetricInfo("lve_streamingtalker_m2", _lve.lve_squared_m2, _lve.LipVertexErrorSquaredClips, _LIPS, "m^2", "lips", "clips", "lower", "StreamingTalker"),
    MetricInfo("lve_imitator_mm", _lve.lip_vertex_error, _lve.LipVertexErrorClips, _LIPS, "mm", "lips", "clips", "lower", "Imitator lip_max_l2, not its running means"),
    MetricInfo("lve_artalk_mm", _lve.lve_artalk_mm, _lve.LipVertexErrorArtalk, _LIPS, "mm", "lips", "frames", "lower", "ARTalk, UniLS"),
    MetricInfo("lve_demeaned_mm", _lve.lve_demeaned_mm, _lve.LipVertexErrorDemeaned, _LIPS, "mm", "lips", "frames", "lower", "MeshTalk"),
    MetricInfo("lip_mean_vertex_error_mm", _lve.lip_mean_vertex_error_mm, _lve.LipMeanVertexError, _LIPS, "mm", "lips", "frames", "lower", "forks that call it LVE"),
    MetricInfo("mean_vertex_error_mm", _mve.mean_vertex_error_mm, _mve.MeanVertexError, _ALL, "mm", "all", "frames", "lower", "FaceDiffuser, ProbTalk3D, ScanTalk (MVE)"),
    MetricInfo("mhd_artalk_mm", _mve.mhd_artalk_mm, _mve.MeanVertexDistanceArtalk, _ALL, "mm", "all", "frames", "lower", "ARTalk, UniLS (MHD)"),
    MetricInfo("fve_memorytalker_m2", _mve.face_mean_squared_error_m2, _mve.MeanVertexErrorSquared, _ALL, "m^2", "all", "frames", "lower", "after MemoryTalker's FVE, which no script of it has"),
    MetricInfo("upper_face_vertex_error_mm", _mve.upper_face_vertex_error, _mve.UpperFaceVertexError, _UPPER, "mm", "upper_face", "frames", "lower", "EmoTalk's EVE as EmoFace restates it"),
    MetricInfo("upper_face_mean_vertex_error_mm", _mve.upper_face_mean_vertex_error_mm, _mve.UpperFaceMeanVertexError, _UPPER, "mm", "upper_face", "frames", "lower", "papers on MEAD"),
    MetricInfo("fdd_signed_m2", _fdd.fdd_signed_m2, _fdd.UpperFaceDynamicsDeviation, _REST, "m^2", "upper_face", "clips", "zero", "CodeTalker, DiffSpeaker, StreamingTalker"),
    MetricInfo("fdd_codetalker_biwi", _fdd.fdd_signed_m2, _fdd.UpperFaceDynamicsDeviation, _REST, "square of the mesh's unit", "BIWI fdd.txt (7,784)", "clips", "zero", "CodeTalker and AdaMesh main/cal_metric.py"),
    MetricInfo("fdd_absolute_m2", _fdd.fdd_absolute_m2, _fdd.UpperFaceDynamicsAbsolute, _REST, "m^2", "upper_face", "clips", "lower", "FaceDiffuser, ScanTalk"),
    MetricInfo("fdd_norm_signed_mm", _fdd.fdd_norm_signed_mm, _fdd.UpperFaceDynamicsNorm, _REST, "mm", "upper_face", "clips", "zero", "the wording of CodeTalker's paper"),
    MetricInfo("fdd_artalk", _fdd.fdd_artalk, _fdd.UpperFaceDynamicsArtalk, _UPPER, "0.01 mm", "upper_face", "clips", "lower", "ARTalk"),
    MetricInfo("mouth_opening_deviation_mm", _mouth.mouth_opening_deviation_mm, _mouth.MouthOpeningDeviation, _OPENING, "mm", "inner lip pairs", "frames", "lower", "DiffPoseTalk's term"),
    MetricInfo("mod_streamingtalker_m", _mouth.mod_streamingtalker_m, _mouth.MouthOpeningDeviationPairs, ("pair_distances", "true_pair_distances", "mask"), "m", "inner lip pairs", "clips", "lower", "StreamingTalker"),
    MetricInfo("lip_closure_f1", lip_closure.lip_closure_f1, lip_closure.LipClosureAgreement, _OPENING, "share", "inner lip pairs", "closures", "higher", "own"),
    MetricInfo("lip_closure_recall", bilabial_closure.lip_closure_recall, bilabial_closure.LipClosureRecall, _BILABIAL, "share", "inner lip pairs", "closures", "higher", "own"),
    MetricInfo("lip_closure_timing_ms", bilabial_closure.lip_closure_timing_ms, bilabial_closure.LipClosureTiming, _BILABIAL, "ms", "inner lip pairs", "closures", "lower", "own"),
    MetricInfo("lip_dtw_mm", lip_dtw.lip_dtw_mm, lip_dtw.LipDynamicTimeWarping, _LIPS, "mm", "lips", "frames", "lower", "after Imitator, 3DiFACE, MemoryTalker (LDTW)"),
    MetricInfo("lip_speed_error_mm_per_s", _move.lip_speed_error_mm_per_s, _move.LipSpeedError, _LIPS, "mm/s", "lips", "frame pairs", "lower", "own, after TalkSHOW's LVD"),
    MetricInfo("lvd_talkshow_m", _move.lvd_talkshow_m, _move.LandmarkVelocityDifference, _LIPS, "m a frame, summed", "lips", "clips", "lower", "TalkSHOW evaluation/metrics.py"),
    MetricInfo("lip_jerk_error_m_per_s3", _move.lip_jerk_error_m_per_s3, _move.LipJerkError, _LIPS, "m/s^3", "lips", "clips", "lower", "own"),
    MetricInfo("lip_jerk_ratio", _move.lip_jerk_ratio, _move.LipJerkRatio, _LIPS, "ratio", "lips", "sums over clips", "one", "own"),
    MetricInfo("head_speed_error_deg_per_s", _move.head_speed_error_deg_per_s, _move.HeadSpeedError, _HEADS, "deg/s", "head rotation", "frame pairs", "lower", "own"),
    MetricInfo("head_jerk_ratio", _move.head_jerk_ratio, _move.HeadJerkRatio, _HEADS, "ratio", "head rotation", "sums over clips", "one", "own"),
    MetricInfo("expression_richness", _rich.expression_richness, _rich.ExpressionRichness, _SCORES, "sd", "coefficients", "clips", "truth", "AdaMesh's pairwise distance, within clips"),
    MetricInfo("expression_richness_ratio", _rich.expression_richness_ratio, _rich.ExpressionRichnessRatio, _BOTH_SCORES, "ratio", "coefficients", "sums over clips", "one", "own"),
    MetricInfo("expression_dispersion", _rich.expression_dispersion, _rich.ExpressionDispersion, _SCORES, "sd", "coefficients", "clips", "truth", "own"),
    MetricInfo("expression_dispersion_ratio", _rich.expression_dispersion_ratio, _rich.ExpressionDispersionRatio, _BOTH_SCORES, "ratio", "coefficients", "sums over clips", "one", "own"),
    MetricInfo("expression_diversity_adamesh", _pool.pooled_diversity, _pool.PooledDiversity, _SCORES, "sd", "coefficients", "pooled frames", "truth", "AdaMesh utils/cal_metric.py, its slip left out", per_clip=False),
    MetricInfo("coefficient_error_sd", coefficient_error.coefficient_error_sd, coefficient_error.CoefficientError, _BOTH_SCORES, "sd", "coefficients", "frames", "lower", "own"),
    MetricInfo("style_statistics_distance", _style.style_statistics_distance, _style.StyleStatisticsDistance, _STYLE, "sd", "coefficients", "clips", "truth", "own"),
    MetricInfo("style_embedding_distance", _style.style_embedding_distance, _style.StyleEmbeddingDistance, _STYLE, "1 - cosine", "coefficients", "clips", "truth", "own; name the embedder", per_clip=False),
    MetricInfo("pose_diversity_within_deg", _pose.pose_diversity_within_deg, _pose.PoseDiversity, _HEAD, "deg", "head rotation", "clips", "truth", "AdaMesh's pairwise distance, within clips"),
    MetricInfo("pose_deviation_within_deg", _pose.pose_deviation_within_deg, _pose.PoseDeviation, _HEAD, "deg", "head rotation", "clips", "truth", "AdaMesh's lsd, within clips"),
    MetricInfo("pose_deviation_ratio", _pose.pose_deviation_ratio, _pose.PoseDeviationRatio, _HEADS, "ratio", "head rotation", "sums over clips", "one", "after FaceGAN's variance ratio"),
    MetricInfo("pose_range_deg", _pose.pose_range_deg, _pose.PoseRange, _HEAD, "deg", "head rotation", "clips", "truth", "own"),
    MetricInfo("pose_speed_deg_per_s", _pose.pose_speed_deg_per_s, _pose.PoseSpeed, _HEAD, "deg/s", "head rotation", "clips", "truth", "own"),
    MetricInfo("pose_diversity_adamesh", _pool.pooled_diversity, _pool.PooledDiversity, _HEAD, "rad", "head rotation", "pooled frames", "truth", "AdaMesh utils/cal_pose_metric.py", per_clip=False),
    MetricInfo("pose_lsd_adamesh", _pool.pose_lsd_adamesh, _pool.PooledDeviation, _HEAD, "rad", "head rotation", "pooled frames", "truth", "AdaMesh utils/cal_pose_metric.py", per_clip=False),
    MetricInfo("pose_diversity_samples_deg", _many.pose_diversity_samples_deg, _many.PoseSampleDiversity, ("head_samples", "mask"), "deg", "head rotation", "clips", "truth", "own: between draws for the same speech"),
    MetricInfo("vertex_diversity_samples_mm", _many.vertex_diversity_samples_mm, _many.VertexSampleDiversity, ("vertex_samples", "mask"), "mm", "as given", "clips", "higher", "FaceDiffuser; ProbTalk3D by pairs"),
    MetricInfo("sample_variance_talkshow", _many.sample_variance_talkshow, _many.SampleVarianceTalkshow, ("vertex_samples", "mask"), "m^2", "as given", "clips", "higher", "TalkSHOW"),
    MetricInfo("mee_probtalk3d_m2", _many.mean_estimate_error_m2, _many.MeanEstimateError, ("lip_samples", "true_lips", "mask"), "m^2", "lips", "frames", "lower", "ProbTalk3D evaluation.py"),
    MetricInfo("ce_probtalk3d_m2", _many.coverage_error_m2, _many.CoverageError, ("lip_samples", "true_lips", "mask"), "m^2", "lips", "frames", "lower", "ProbTalk3D evaluation.py"),
    MetricInfo("frechet_expression", frechet_distance.frechet_distance, frechet_distance.FrechetMotionDistance, _BOTH_SCORES, "feature^2", "coefficients", "windows", "lower", "Heusel et al. 2017; name embedder and sample count", per_clip=False),
    MetricInfo("frechet_pose", frechet_distance.frechet_distance, frechet_distance.FrechetMotionDistance, _HEADS, "feature^2", "head rotation", "windows", "lower", "Heusel et al. 2017; name embedder and sample count", per_clip=False),
    MetricInfo("beat_consistency", _beat.head_beat_consistency, _beat.HeadBeatConsistency, _BEATS, "0 to 1", "head rotation", "speech onsets", "truth", "own onsets and beats, with the kernel of TalkSHOW, ProbTalk, SAiD"),
    MetricInfo("beat_alignment", _beat.head_beat_alignment, _beat.HeadBeatAlignment, _BEATS, "0 to 1", "head rotation", "motion beats", "truth", "own onsets and beats, the same kernel, other direction"),
    MetricInfo("code_perplexity", code_usage.code_perplexity, code_usage.CodePerplexity, ("codes", "mask"), "codes", "codes", "frames", "higher", "van den Oord et al. 2017", per_clip=False),
    MetricInfo("code_usage", code_usage.code_usage, code_usage.CodeUsage, ("codes", "mask"), "share", "codes", "frames", "higher", "own", per_clip=False),
    MetricInfo("real_time_factor", real_time_factor.real_time_factor, real_time_factor.RealTimeFactor, ("work_s", "speech_s"), "s/s", "-", "seconds of speech", "lower", "own"),
)
# fmt: on

METRICS: dict[str, MetricInfo] = {row.name: row for row in _ROWS}

# Rows of a mesh that is no face of ours, for curves of a user's own; the same definition on our faces has another name.
OTHER_MESH = {"lve_codetalker_biwi": "lve_squared_m2", "fdd_codetalker_biwi": "fdd_signed_m2"}


def find_face_metric(name: str) -> MetricInfo:
    """`find_metric` for a face of ours; raises MetricError also for a row whose vertices are another mesh's."""
    info = find_metric(name)
    if name in OTHER_MESH:
        raise MetricError(
            f"{name} is a number of {info.vertices}, which are vertices of another mesh than our faces; here the same definition is {OTHER_MESH[name]}"
        )
    return info


def find_metric(name: str) -> MetricInfo:
    """The row called `name`; raises MetricError that lists all names."""
    if name not in METRICS:
        raise MetricError(f"there is no metric {name!r}; there are {', '.join(sorted(METRICS))}")
    return METRICS[name]

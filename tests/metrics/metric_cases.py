"""For every row of the registry: its twin, clips, and a NumPy reference that shares no code with it, in the order of the registry."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from metric_references import (
    AGREEING,
    BEATS,
    CLOSING,
    artalk_dynamics,
    beats,
    best_sample,
    by_clip,
    demeaned,
    deviation,
    distances,
    dynamics,
    embedding_distance,
    frechet,
    frechet_of_windows,
    jerk,
    kernels,
    onsets,
    over_pairs,
    perplexity,
    pooled,
    ratio,
    speed,
    speed_error,
    spread,
    style_distance,
    talkshow_variance,
    warped,
    worst,
)
from metric_tester import Clip, random_clips
from torchmetrics import Metric

from metrics import (
    beat_alignment,
    bilabial_closure,
    code_usage,
    coefficient_error,
    expression_richness,
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
from metrics.motion_statistics import MotionStatistics


class Case(NamedTuple):
    """`reference` gives the metric of unpadded clips."""

    make: Callable[[], Metric]
    clips: list[Clip]
    reference: Callable[[list[Clip]], float]


def only_first(clips: list[Clip]) -> list[Clip]:
    return [clip[:1] for clip in clips]


VERTICES = random_clips((6, 3), (6, 3), scale=1e-3, seed=5)
HEAD_PAIRS = random_clips((3,), (3,), scale=0.02, seed=7)
HEADS = only_first(HEAD_PAIRS)
OPENINGS = random_clips((), (), seed=8)
PAIRS = random_clips((5,), (5,), scale=1e-3, seed=9)
SCORE_PAIRS = random_clips((4,), (4,), lengths=(25, 40, 19, 33), seed=2)
SCORES = only_first(SCORE_PAIRS)
SAMPLES = random_clips((4, 6, 3), (6, 3), scale=1e-2, seed=3)
CODES = [(np.array(codes),) for codes in ([0, 0, 1, 3], [3, 3], [1, 5, 5, 5, 5, 0, 2], [4])]
SECONDS = [tuple(np.array([s], np.float32) for s in pair) for pair in ((1, 10), (2, 4), (4, 6), (0.5, 3))]


def time_first(twin: type[Metric]) -> type[Metric]:
    """Samples come from the tester as `[B, T, S, ...]`."""

    class TimeFirst(twin):  # type: ignore[misc, valid-type]
        def update(self, samples, *others, keys=None):
            super().update(samples.transpose(1, 2), *others, keys=keys)

    TimeFirst.__qualname__ = TimeFirst.__name__ = f"TimeFirst{twin.__name__}"
    globals()[TimeFirst.__name__] = TimeFirst  # pickled by name
    return TimeFirst


class OneNumberAClip(real_time_factor.RealTimeFactor):
    """Seconds come from the tester as clips of one frame."""

    def update(self, work_s, speech_s, mask, keys=None):
        super().update(work_s[:, 0], speech_s[:, 0], keys)


def make_embedding_distance() -> Metric:
    return style_consistency.StyleEmbeddingDistance(MotionStatistics())


def make_perplexity() -> Metric:
    return code_usage.CodePerplexity(num_codes=8)


def make_usage() -> Metric:
    return code_usage.CodeUsage(num_codes=8)


_lve, _mve, _fdd, _pose = lip_vertex_error, vertex_error, upper_face_dynamics, pose_diversity
_rich, _move, _many = expression_richness, motion_error, sample_diversity
_beat, _pool, _style, _mouth = beat_alignment, pooled_diversity, style_consistency, mouth_opening

# fmt: off
CASES: dict[str, Case] = {
    "lip_vertex_error_mm": Case(_lve.LipVertexError, VERTICES, lambda c: 1000 * pooled(c, worst)),
    "lve_squared_m2": Case(_lve.LipVertexErrorSquared, VERTICES, lambda c: pooled(c, lambda p, t: worst(p, t) ** 2)),
    "lve_codetalker_biwi": Case(_lve.LipVertexErrorSquared, VERTICES, lambda c: pooled(c, lambda p, t: worst(p, t) ** 2)),
    "lve_streamingtalker_m2": Case(_lve.LipVertexErrorSquaredClips, VERTICES, lambda c: by_clip(c, lambda p, t: worst(p, t) ** 2)),
    "lve_imitator_mm": Case(_lve.LipVertexErrorClips, VERTICES, lambda c: 1000 * by_clip(c, worst)),
    "lve_artalk_mm": Case(_lve.LipVertexErrorArtalk, VERTICES, lambda c: 1000 * np.sqrt(pooled(c, lambda p, t: worst(p, t) ** 2))),
    "lve_demeaned_mm": Case(_lve.LipVertexErrorDemeaned, VERTICES, lambda c: 1000 * pooled(c, demeaned)),
    "lip_mean_vertex_error_mm": Case(_lve.LipMeanVertexError, VERTICES, lambda c: 1000 * pooled(c, lambda p, t: distances(p, t).mean(1))),
    "mean_vertex_error_mm": Case(_mve.MeanVertexError, VERTICES, lambda c: 1000 * pooled(c, lambda p, t: distances(p, t).mean(1))),
    "mhd_artalk_mm": Case(_mve.MeanVertexDistanceArtalk, VERTICES, lambda c: 1000 * np.sqrt(pooled(c, lambda p, t: (distances(p, t) ** 2).mean(1)))),
    "fve_memorytalker_m2": Case(_mve.MeanVertexErrorSquared, VERTICES, lambda c: pooled(c, lambda p, t: (distances(p, t) ** 2).mean(1))),
    "upper_face_vertex_error_mm": Case(_mve.UpperFaceVertexError, VERTICES, lambda c: 1000 * pooled(c, worst)),
    "upper_face_mean_vertex_error_mm": Case(_mve.UpperFaceMeanVertexError, VERTICES, lambda c: 1000 * pooled(c, lambda p, t: distances(p, t).mean(1))),
    "fdd_signed_m2": Case(_fdd.UpperFaceDynamicsDeviation, VERTICES, lambda c: by_clip(c, lambda p, t: dynamics(t) - dynamics(p))),
    "fdd_codetalker_biwi": Case(_fdd.UpperFaceDynamicsDeviation, VERTICES, lambda c: by_clip(c, lambda p, t: dynamics(t) - dynamics(p))),
    "fdd_absolute_m2": Case(_fdd.UpperFaceDynamicsAbsolute, VERTICES, lambda c: by_clip(c, lambda p, t: abs(dynamics(t) - dynamics(p)))),
    "fdd_norm_signed_mm": Case(_fdd.UpperFaceDynamicsNorm, VERTICES, lambda c: 1000 * by_clip(c, lambda p, t: dynamics(t, 1) - dynamics(p, 1))),
    "fdd_artalk": Case(_fdd.UpperFaceDynamicsArtalk, VERTICES, lambda c: by_clip(c, artalk_dynamics)),
    "mouth_opening_deviation_mm": Case(_mouth.MouthOpeningDeviation, OPENINGS, lambda c: pooled(c, lambda p, t: np.abs(p - t))),
    "mod_streamingtalker_m": Case(_mouth.MouthOpeningDeviationPairs, PAIRS, lambda c: by_clip(c, lambda p, t: np.abs(p - t))),
    "lip_closure_f1": Case(lip_closure.LipClosureAgreement, AGREEING, lambda _: 2 * 7 / (9 + 9)),
    "lip_closure_recall": Case(bilabial_closure.LipClosureRecall, CLOSING, lambda _: 7 / 9),
    "lip_closure_timing_ms": Case(bilabial_closure.LipClosureTiming, CLOSING, lambda _: 80 / 8),
    "lip_dtw_mm": Case(lip_dtw.LipDynamicTimeWarping, VERTICES, lambda c: sum(warped(p, t) for p, t in c) / sum(len(p) for p, _ in c)),
    "lip_speed_error_mm_per_s": Case(_move.LipSpeedError, VERTICES, lambda c: 25e3 * pooled(c, speed_error)),
    "lvd_talkshow_m": Case(_move.LandmarkVelocityDifference, VERTICES, lambda c: by_clip(c, lambda p, t: speed_error(p, t).sum(-1))),
    "lip_jerk_error_m_per_s3": Case(_move.LipJerkError, VERTICES, lambda c: 25**3 * by_clip(c, lambda p, t: abs(jerk(p) - jerk(t)))),
    "lip_jerk_ratio": Case(_move.LipJerkRatio, VERTICES, lambda c: ratio(c, jerk)),
    "head_speed_error_deg_per_s": Case(_move.HeadSpeedError, HEAD_PAIRS, lambda c: np.degrees(25 * pooled(c, speed_error))),
    "head_jerk_ratio": Case(_move.HeadJerkRatio, HEAD_PAIRS, lambda c: ratio(c, jerk)),
    "expression_richness": Case(_rich.ExpressionRichness, SCORES, lambda c: by_clip(c, spread)),
    "expression_richness_ratio": Case(_rich.ExpressionRichnessRatio, SCORE_PAIRS, lambda c: ratio(c, spread)),
    "expression_dispersion": Case(_rich.ExpressionDispersion, SCORES, lambda c: by_clip(c, deviation)),
    "expression_dispersion_ratio": Case(_rich.ExpressionDispersionRatio, SCORE_PAIRS, lambda c: ratio(c, deviation)),
    "expression_diversity_adamesh": Case(_pool.PooledDiversity, SCORES, lambda c: spread(np.concatenate([s for (s,) in c]))),
    "coefficient_error_sd": Case(coefficient_error.CoefficientError, SCORE_PAIRS, lambda c: pooled(c, lambda p, t: np.abs(p - t).mean(-1))),
    "style_statistics_distance": Case(_style.StyleStatisticsDistance, SCORE_PAIRS, lambda c: by_clip(c, style_distance)),
    "style_embedding_distance": Case(make_embedding_distance, SCORE_PAIRS, lambda c: by_clip(c, embedding_distance)),
    "pose_diversity_within_deg": Case(_pose.PoseDiversity, HEADS, lambda c: np.degrees(by_clip(c, spread))),
    "pose_deviation_within_deg": Case(_pose.PoseDeviation, HEADS, lambda c: np.degrees(by_clip(c, deviation))),
    "pose_deviation_ratio": Case(_pose.PoseDeviationRatio, HEAD_PAIRS, lambda c: ratio(c, deviation)),
    "pose_range_deg": Case(_pose.PoseRange, HEADS, lambda c: np.degrees(by_clip(c, lambda p: np.ptp(p.astype(float), axis=0)))),
    "pose_speed_deg_per_s": Case(_pose.PoseSpeed, HEADS, lambda c: np.degrees(25 * by_clip(c, speed))),
    "pose_diversity_adamesh": Case(_pool.PooledDiversity, HEADS, lambda c: spread(np.concatenate([h for (h,) in c]))),
    "pose_lsd_adamesh": Case(_pool.PooledDeviation, HEADS, lambda c: deviation(np.concatenate([h for (h,) in c]))),
    "pose_diversity_samples_deg": Case(time_first(_many.PoseSampleDiversity), random_clips((4, 3), scale=0.02), lambda c: np.degrees(by_clip(c, over_pairs))),
    "vertex_diversity_samples_mm": Case(time_first(_many.VertexSampleDiversity), only_first(SAMPLES), lambda c: 1000 * by_clip(c, over_pairs)),
    "sample_variance_talkshow": Case(time_first(_many.SampleVarianceTalkshow), only_first(SAMPLES), lambda c: by_clip(c, talkshow_variance)),
    "mee_probtalk3d_m2": Case(time_first(_many.MeanEstimateError), SAMPLES, lambda c: pooled(c, lambda s, t: worst(s.mean(1), t) ** 2)),
    "ce_probtalk3d_m2": Case(time_first(_many.CoverageError), SAMPLES, lambda c: pooled(c, best_sample)),
    "frechet_expression": Case(frechet(4), SCORE_PAIRS, frechet_of_windows),
    "frechet_pose": Case(frechet(3), random_clips((3,), (3,), lengths=(25, 40, 19, 33), seed=11), frechet_of_windows),
    "beat_consistency": Case(_beat.HeadBeatConsistency, BEATS, lambda c: np.mean([k for h, e in c for k in kernels(onsets(e), beats(h))])),
    "beat_alignment": Case(_beat.HeadBeatAlignment, BEATS, lambda c: np.mean([k for h, e in c for k in kernels(beats(h), onsets(e))])),
    "code_perplexity": Case(make_perplexity, CODES, perplexity),
    "code_usage": Case(make_usage, CODES, lambda _: 6 / 8),
    "real_time_factor": Case(OneNumberAClip, SECONDS, lambda c: sum(w[0] for w, _ in c) / sum(s[0] for _, s in c)),
}
# fmt: on

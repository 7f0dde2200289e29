"""What published scripts compute, written from their formulas in plain NumPy over the three clips of conformance_clips.npz, against the
metric of that name, and the number that it gives there.

A user who wants a paper's number takes the metric that stands here beside the paper's script.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from metrics.beat_alignment import beat_consistency
from metrics.registry import METRICS

VERTICES = 11
_FILE = np.load(Path(__file__).with_name("conformance_clips.npz"), allow_pickle=False)


def stored(name: str, unit: float) -> list[np.ndarray]:
    """One array `[T, ...]` a clip, from whole numbers of `unit`."""
    return np.split(_FILE[name] * unit, np.cumsum(_FILE["lengths"])[:-1])


PREDICTION, TRUTH = stored("prediction", 1e-6), stored("truth", 1e-6)  # metres
REST = _FILE["rest"] * 1e-6
POSES, SCORES = stored("poses", 1e-4), stored("scores", 1e-3)  # radians, standard deviations
# Ten samples [T, 10, V, 3]: the prediction with its vertices exchanged, each sample larger than the one before.
SAMPLES = [np.stack([(1 + 0.1 * s) * np.roll(clip, s, axis=1) for s in range(10)], axis=1) for clip in PREDICTION]


def score(name: str, *inputs: list[np.ndarray], **options) -> float:
    """Feed the clips one by one; every clip is whole."""
    metric = METRICS[name].make(**options)
    for parts in zip(*inputs, strict=True):
        batch = [torch.from_numpy(np.ascontiguousarray(part))[None] for part in parts]
        metric.update(*batch, torch.ones(1, len(parts[0]), dtype=torch.bool))
    return metric.compute().item()


def displaced(clips: list[np.ndarray]) -> list[np.ndarray]:
    return [clip - REST for clip in clips]


def every_frame(clips: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(clips)


def close(value: float):
    return pytest.approx(value, rel=1e-5)


def test_codetalker_and_adamesh_lip_error_is_the_largest_square_over_pooled_frames():
    squares = [
        max(((p[v] - t[v]) ** 2).sum() for v in range(VERTICES))
        for p, t in zip(every_frame(PREDICTION), every_frame(TRUTH), strict=True)
    ]
    assert score("lve_codetalker_biwi", PREDICTION, TRUTH) == close(np.mean(squares))
    assert score("lve_squared_m2", PREDICTION, TRUTH) == close(np.mean(squares))


def dynamics(clip: np.ndarray) -> float:
    """Mean over vertices of the standard deviation over time of the squared distance from rest."""
    return float(np.mean([np.std([((frame[v] - REST[v]) ** 2).sum() for frame in clip]) for v in range(VERTICES)]))


def test_codetalker_and_adamesh_dynamics_are_signed_truth_less_prediction():
    expected = np.mean([dynamics(t) - dynamics(p) for p, t in zip(PREDICTION, TRUTH, strict=True)])
    assert score("fdd_codetalker_biwi", displaced(PREDICTION), displaced(TRUTH)) == close(expected)
    assert score("fdd_signed_m2", displaced(PREDICTION), displaced(TRUTH)) == close(expected)


def test_facediffuser_and_scantalk_absolute_dynamics():
    expected = np.mean([abs(dynamics(t) - dynamics(p)) for p, t in zip(PREDICTION, TRUTH, strict=True)])
    assert score("fdd_absolute_m2", displaced(PREDICTION), displaced(TRUTH)) == close(expected)


def test_facediffuser_mean_vertex_error_pools_frames_in_metres():
    expected = np.mean(
        [
            np.linalg.norm(p - t)
            for p, t in zip(every_frame(PREDICTION).reshape(-1, 3), every_frame(TRUTH).reshape(-1, 3), strict=True)
        ]
    )
    assert score("mean_vertex_error_mm", PREDICTION, TRUTH) == close(1000 * expected)


def test_facediffuser_diversity_takes_all_pairs_of_conditions():
    clips = [clip[:, :4] for clip in SAMPLES]
    values = []
    for clip in clips:
        pairs = [
            np.linalg.norm(clip[:, i] - clip[:, j], axis=2).mean(axis=1).mean()
            for i in range(3)
            for j in range(i + 1, 4)
        ]
        values.append(sum(pairs) / 6)
    assert score_samples("vertex_diversity_samples_mm", clips) == close(1000 * np.mean(values))


def score_samples(name: str, samples: list[np.ndarray], *others: list[np.ndarray]) -> float:
    metric = METRICS[name].make()
    for parts in zip(samples, *others, strict=True):
        clip, *rest = (torch.from_numpy(np.ascontiguousarray(part))[None] for part in parts)
        metric.update(clip.transpose(1, 2), *rest, torch.ones(1, clip.shape[1], dtype=torch.bool))
    return metric.compute().item()


def test_probtalk3d_error_of_the_mean_sample_and_of_the_best():
    worst = [((clip - truth[:, None]) ** 2).sum(-1).max(-1) for clip, truth in zip(SAMPLES, TRUTH, strict=True)]
    of_mean = [((clip.mean(1) - truth) ** 2).sum(-1).max(-1) for clip, truth in zip(SAMPLES, TRUTH, strict=True)]
    best = [w[:, w.sum(0).argmin()] for w in worst]
    assert score_samples("mee_probtalk3d_m2", SAMPLES, TRUTH) == close(np.mean(every_frame(of_mean)))
    assert score_samples("ce_probtalk3d_m2", SAMPLES, TRUTH) == close(np.mean(every_frame(best)))


def test_probtalk3d_diversity_is_that_of_five_disjoint_pairs():
    expected = np.mean(
        [np.mean([np.linalg.norm(clip[:, i] - clip[:, 5 + i], axis=2).mean() for i in range(5)]) for clip in SAMPLES]
    )
    by_pairs = [
        score_samples("vertex_diversity_samples_mm", [clip[:, [i, 5 + i]] for clip in SAMPLES]) for i in range(5)
    ]
    assert np.mean(by_pairs) == close(1000 * expected)


def test_faceformer_text_and_unitalker_lip_error_without_the_square():
    expected = np.mean(
        [
            max(np.linalg.norm(p[v] - t[v]) for v in range(VERTICES))
            for p, t in zip(every_frame(PREDICTION), every_frame(TRUTH), strict=True)
        ]
    )
    assert score("lip_vertex_error_mm", PREDICTION, TRUTH) == close(1000 * expected)


def imitator_script(clips: list[float]) -> float:
    """The mean of the running means: after every clip the script stores the mean of all errors so far, and averages what it stored."""
    return float(np.mean([np.mean(clips[: number + 1]) for number in range(len(clips))]))


def test_imitator_error_is_the_mean_of_clips_and_its_script_prints_the_mean_of_running_means():
    clips = [np.linalg.norm(1000 * (p - t), axis=-1).max(-1).mean() for p, t in zip(PREDICTION, TRUTH, strict=True)]
    assert score("lve_imitator_mm", PREDICTION, TRUTH) == close(np.mean(clips))
    assert np.mean(clips) != close(score("lip_vertex_error_mm", PREDICTION, TRUTH))
    assert imitator_script(clips) == close(8.890307) and imitator_script(clips[::-1]) != close(8.890307)
    weights = [sum(1 / later for later in range(number, 4)) / 3 for number in (1, 2, 3)]
    assert imitator_script(clips) == close(np.dot(weights, clips))


def test_streamingtalker_averages_the_means_of_clips_of_squares():
    expected = np.mean([((p - t) ** 2).sum(-1).max(-1).mean() for p, t in zip(PREDICTION, TRUTH, strict=True)])
    assert score("lve_streamingtalker_m2", PREDICTION, TRUTH) == close(expected)


def test_streamingtalker_opening_compares_five_pairs_one_by_one():
    def gaps(clip: np.ndarray) -> np.ndarray:
        return np.linalg.norm(clip[:, :5] - clip[:, 5:10], axis=-1)

    expected = np.mean([np.abs(gaps(t) - gaps(p)).mean() for p, t in zip(PREDICTION, TRUTH, strict=True)])
    ours, theirs = [gaps(p) for p in PREDICTION], [gaps(t) for t in TRUTH]
    assert score("mod_streamingtalker_m", ours, theirs) == close(expected)


def test_artalk_takes_roots_after_averaging():
    squares = [((1000 * (p - t)) ** 2).sum(-1) for p, t in zip(PREDICTION, TRUTH, strict=True)]
    assert score("lve_artalk_mm", PREDICTION, TRUTH) == close(np.sqrt(every_frame(squares).max(-1).mean()))
    assert score("mhd_artalk_mm", PREDICTION, TRUTH) == close(np.sqrt(every_frame(squares).mean()))


def test_artalk_dynamics_sum_coordinates_and_count_repeated_vertices_twice():
    repeated = [0, 1, 2, 3, 3]

    def summed(clip: np.ndarray) -> np.ndarray:
        return np.std((1000 * clip[:, repeated]).sum(-1), axis=0, ddof=1)

    expected = np.mean([100 * np.abs(summed(p) - summed(t)).mean() for p, t in zip(PREDICTION, TRUTH, strict=True)])
    ours, theirs = [p[:, repeated] for p in PREDICTION], [t[:, repeated] for t in TRUTH]
    assert score("fdd_artalk", ours, theirs) == close(expected)


def test_meshtalk_subtracts_the_mean_lip():
    values = []
    for p, t in zip(every_frame(PREDICTION), every_frame(TRUTH), strict=True):
        values.append(np.linalg.norm((p - p.mean(0)) - (t - t.mean(0)), axis=-1).max())
    assert score("lve_demeaned_mm", PREDICTION, TRUTH) == close(1000 * np.mean(values))


def test_memorytalker_second_stage_averages_squares_of_coordinates_a_third_of_those_of_vertices():
    expected = np.mean(((every_frame(PREDICTION) - every_frame(TRUTH)) ** 2).sum(-1))
    assert score("fve_memorytalker_m2", PREDICTION, TRUTH) == close(expected)
    coordinates = np.mean((every_frame(PREDICTION) - every_frame(TRUTH)) ** 2)
    assert score("fve_memorytalker_m2", PREDICTION, TRUTH) / 3 == close(coordinates)


def test_emotalk_upper_face_error_is_the_largest_distance():
    expected = np.mean(np.linalg.norm(every_frame(PREDICTION) - every_frame(TRUTH), axis=-1).max(-1))
    assert score("upper_face_vertex_error_mm", PREDICTION, TRUTH) == close(1000 * expected)


def test_adamesh_pose_numbers_pool_the_frames_of_all_clips():
    frames = every_frame(POSES)
    pairs = sum(np.linalg.norm(a - b) for a in frames for b in frames)
    assert score("pose_diversity_adamesh", POSES) == close(pairs / len(frames) / (len(frames) - 1))
    assert score("pose_lsd_adamesh", POSES) == close(np.mean(np.std(frames, axis=0)))


def test_adamesh_expression_diversity_takes_53_dimensions_and_its_script_53_frames():
    def diversity(frames: np.ndarray) -> float:
        return sum(np.linalg.norm(a - b) for a in frames for b in frames) / len(frames) / (len(frames) - 1)

    dimensions = [clip[:, :53] for clip in SCORES]
    assert score("expression_diversity_adamesh", dimensions) == close(diversity(every_frame(dimensions)))
    first_frames = [np.tile(clip, (8, 1))[:53] for clip in SCORES]
    assert score("expression_diversity_adamesh", first_frames) == close(diversity(every_frame(first_frames)))


def test_talkshow_velocity_difference_sums_points_and_averages_clips():
    def speeds(clip: np.ndarray) -> np.ndarray:
        return np.array(
            [[np.linalg.norm(b - a) for a, b in zip(now, then, strict=True)] for now, then in itertools.pairwise(clip)]
        )

    expected = np.mean([np.abs(speeds(p) - speeds(t)).sum(1).mean() for p, t in zip(PREDICTION, TRUTH, strict=True)])
    assert score("lvd_talkshow_m", PREDICTION, TRUTH) == close(expected)


def test_talkshow_variation_is_the_length_of_the_variance_over_samples():
    expected = np.mean([np.linalg.norm(clip.var(axis=1, ddof=1), axis=-1).sum(-1).mean() for clip in SAMPLES])
    assert score_samples("sample_variance_talkshow", SAMPLES) == close(expected)


def test_talkshow_and_said_beat_kernel_over_audio_onsets():
    onsets, beats = [3, 20, 31], [5, 30]
    tracks = torch.zeros(2, 40, dtype=torch.bool)
    tracks[0, onsets], tracks[1, beats] = True, True
    expected = np.mean([np.exp(-(min(abs(a - b) / 25 for b in beats) ** 2) / (2 * 0.1**2)) for a in onsets])
    mask = torch.ones(1, 40, dtype=torch.bool)
    assert beat_consistency(tracks[:1], tracks[1:], mask).item() == close(expected)
    assert beat_consistency(tracks[:1], torch.zeros(1, 40, dtype=torch.bool), mask).item() == 0


# What the definitions above give on the stored clips; a change of any of these is a change of a published number.
NUMBERS = [
    ("lve_codetalker_biwi", (PREDICTION, TRUTH), 0.000108605),
    ("lve_squared_m2", (PREDICTION, TRUTH), 0.000108605),
    ("lip_vertex_error_mm", (PREDICTION, TRUTH), 9.67615),
    ("lve_imitator_mm", (PREDICTION, TRUTH), 8.8549),
    ("lve_streamingtalker_m2", (PREDICTION, TRUTH), 9.12296e-05),
    ("lve_artalk_mm", (PREDICTION, TRUTH), 10.4214),
    ("mhd_artalk_mm", (PREDICTION, TRUTH), 6.14855),
    ("lve_demeaned_mm", (PREDICTION, TRUTH), 9.32534),
    ("mean_vertex_error_mm", (PREDICTION, TRUTH), 5.28716),
    ("fve_memorytalker_m2", (PREDICTION, TRUTH), 3.78046e-05),
    ("upper_face_vertex_error_mm", (PREDICTION, TRUTH), 9.67615),
    ("lvd_talkshow_m", (PREDICTION, TRUTH), 0.00875089),
    ("fdd_codetalker_biwi", (displaced(PREDICTION), displaced(TRUTH)), 1.3558e-06),
    ("fdd_signed_m2", (displaced(PREDICTION), displaced(TRUTH)), 1.3558e-06),
    ("fdd_absolute_m2", (displaced(PREDICTION), displaced(TRUTH)), 3.66143e-06),
    ("fdd_artalk", (PREDICTION, TRUTH), 87.9448),
    ("pose_diversity_adamesh", (POSES,), 0.241809),
    ("pose_lsd_adamesh", (POSES,), 0.106201),
    ("expression_diversity_adamesh", (SCORES,), 6.0093),
    ("sample_variance_talkshow", (SAMPLES,), 0.000191726),
    ("vertex_diversity_samples_mm", (SAMPLES,), 6.65525),
    ("mee_probtalk3d_m2", (SAMPLES, TRUTH), 6.35446e-05),
    ("ce_probtalk3d_m2", (SAMPLES, TRUTH), 8.06495e-05),
]


@pytest.mark.parametrize(("name", "inputs", "expected"), NUMBERS, ids=[row[0] for row in NUMBERS])
def test_the_stored_clips_have_the_numbers_that_they_always_had(name, inputs, expected):
    of_samples = "samples" in METRICS[name].inputs[0]
    assert (score_samples if of_samples else score)(name, *inputs) == pytest.approx(expected, rel=1e-5)

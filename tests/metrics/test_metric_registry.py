"""The registry: every metric by name, its numbers for one clip and for a set, and what a batch must bring."""

import pytest
import torch

from faces import load_face_model
from faces.motion import FaceMotion
from metrics.checks import MetricError
from metrics.motion_pair import MotionPair
from metrics.registry import METRICS, find_metric
from metrics.sanity import MadeUpTruth, made_up_truth, rows

REQUIRED = (
    *(
        "lip_vertex_error_mm",
        "lve_squared_m2",
        "lve_artalk_mm",
        "lve_codetalker_biwi",
        "fdd_signed_m2",
        "fdd_absolute_m2",
    ),
    *("mean_vertex_error_mm", "upper_face_vertex_error_mm", "mouth_opening_deviation_mm", "lip_closure_recall"),
    *(
        "lip_closure_timing_ms",
        "lip_dtw_mm",
        "lip_speed_error_mm_per_s",
        "lip_jerk_error_m_per_s3",
        "expression_dispersion",
    ),
    *(
        "expression_dispersion_ratio",
        "expression_diversity_adamesh",
        "style_statistics_distance",
        "style_embedding_distance",
    ),
    *(
        "pose_diversity_within_deg",
        "pose_diversity_samples_deg",
        "pose_diversity_adamesh",
        "pose_range_deg",
        "pose_speed_deg_per_s",
    ),
    *(
        "frechet_expression",
        "frechet_pose",
        "beat_consistency",
        "beat_alignment",
        "code_usage",
        "code_perplexity",
        "real_time_factor",
    ),
)


@pytest.fixture(scope="module")
def face():
    return load_face_model("procedural")


@pytest.fixture(scope="module")
def truth() -> MadeUpTruth:
    return made_up_truth(num_clips=2, frames=80, seed=3)


def make_pair(face, truth: MadeUpTruth, rows: slice = slice(None), **options) -> MotionPair:
    expression = truth.expression[rows].float()
    jaw, mask = torch.zeros(*expression.shape[:2], 3), torch.ones(expression.shape[:2], dtype=torch.bool)
    heads = truth.head[rows].float()
    optional = {
        "keys": [f"clip-{i}" for i in range(len(mask))],
        "head": heads.roll(2, 1),
        "true_head": heads,
        "normalise": lambda e, j: 3 * e,
        "reference_expression": expression.flip(1),
        "reference_jaw": jaw,
        "reference_mask": mask,
    }
    pair = MotionPair(face, 0.8 * expression.roll(1, 1), jaw, expression, jaw, mask, **{**optional, **options})
    pair.energy, pair.bilabial = truth.energy[rows], truth.bilabial[rows]
    return pair


def test_every_metric_that_was_promised_is_there_with_its_metadata():
    assert set(REQUIRED) <= set(METRICS)
    for name, info in METRICS.items():
        assert info.name == name and all(info.metadata.values()), name
        for described in (info.function, info.twin):
            assert described.__doc__ and len(described.__doc__) > 20, f"{name} lacks a docstring"


def test_twins_and_rows_agree_on_which_way_is_better():
    for name, info in METRICS.items():
        expected = {"lower": False, "higher": True}.get(info.best)
        assert info.twin.higher_is_better is expected, f"{name}: best is {info.best}"


def test_a_distance_that_the_truth_does_not_bring_to_zero_is_measured_by_the_truths():
    """A still face with the reference's mean is nearer to it than another true clip is: a lower style distance is not a better one."""
    generator = torch.Generator().manual_seed(0)
    truth, reference = torch.randn(2, 1, 200, 4, generator=generator) + 2 * torch.randn(2, 1, 1, 4, generator=generator)
    mask = torch.ones(1, 200, dtype=torch.bool)
    info = METRICS["style_statistics_distance"]
    still = reference.mean(1, True).expand_as(reference)
    assert info.function(still, reference, mask, mask) < info.function(truth, reference, mask, mask)
    assert (
        info.best == METRICS["style_embedding_distance"].best == METRICS["pose_diversity_samples_deg"].best == "truth"
    )


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(MetricError, match=r"there is no metric 'lve'; there are .*lve_artalk_mm"):
        find_metric("lve")


@pytest.mark.parametrize("name", [info.name for info in rows() if info.per_clip])
def test_function_and_twin_agree_on_one_clip(name, face, truth):
    info, pair = METRICS[name], make_pair(face, truth, slice(0, 1))
    metric = info.make()
    info.update(metric, pair)
    value = info.clip_values(pair)
    assert value.shape == (1,) and torch.isfinite(value).all()
    assert metric.compute().item() == pytest.approx(value.item(), rel=1e-5, abs=1e-9)
    assert metric.bad_clips == []


def test_a_number_of_a_set_is_not_given_for_a_clip(face, truth):
    with pytest.raises(MetricError, match="of a set of clips"):
        METRICS["pose_diversity_adamesh"].clip_values(make_pair(face, truth))


def test_the_name_of_a_broken_clip_comes_out_of_every_metric_that_reads_it(face, truth):
    pair = make_pair(face, truth)
    pair.coefficients[""][0][1, 7] = torch.nan
    for info in rows():
        if (
            info.inputs[0] in {"lips", "vertices", "upper_face", "upper_face_displacement", "opening", "normalised"}
            and info.per_clip
        ):
            metric = info.make()
            info.update(metric, pair)
            assert torch.isnan(metric.compute()) and metric.bad_clips == ["clip-1"], info.name


@pytest.mark.parametrize(
    ("name", "option", "words"),
    [
        ("pose_speed_deg_per_s", "head", "'head'"),
        ("expression_dispersion", "normalise", "`normalise`"),
        ("style_statistics_distance", "reference_expression", "'reference_expression'"),
    ],
)
def test_what_a_metric_needs_and_does_not_get_is_named(name, option, words, face, truth):
    with pytest.raises(MetricError, match=words):
        METRICS[name].clip_values(make_pair(face, truth, **{option: None}))


def test_codes_and_samples_are_asked_for_by_name(face, truth):
    pair = make_pair(face, truth)
    with pytest.raises(MetricError, match="'head_samples'"):
        METRICS["pose_diversity_samples_deg"].clip_values(pair)
    pair.head_samples = torch.zeros(2, 3, 80, 3)
    assert METRICS["pose_diversity_samples_deg"].clip_values(pair).tolist() == [0, 0]


def test_a_missing_region_is_named(face, truth):
    pair = make_pair(face, truth)

    class NoForehead:
        name, regions = "bald", {"lips": face.regions["lips"]}

    pair.face = NoForehead()
    with pytest.raises(MetricError, match="bald has no region 'upper_face'; it has lips"):
        METRICS["upper_face_vertex_error_mm"].clip_values(pair)


def motion(frames: int = 30, fps: float = 25.0, space: str = "arkit") -> FaceMotion:
    coefficients = torch.linspace(0, 0.5, frames * 52).reshape(frames, 52).numpy()
    still = torch.zeros(frames, 3).numpy()
    return FaceMotion(
        expression=coefficients,
        head=still,
        jaw=still,
        translation=None,
        identity=still[0, :0],
        identity_space="",
        space=space,
        fps=fps,
    )


def test_motions_of_unequal_lengths_score_as_they_do_alone(face):
    ours, theirs = [motion(30), motion(20)], [motion(30), motion(20)]
    together = MotionPair.from_motions(face, ours, theirs, ["a", "b"])
    assert together.mask.sum(1).tolist() == [30, 20]
    assert METRICS["lip_vertex_error_mm"].clip_values(together).tolist() == [0, 0]
    shifted = [m.replace(expression=0.9 * m.expression) for m in ours]
    values = METRICS["lip_vertex_error_mm"].clip_values(MotionPair.from_motions(face, shifted, theirs, ["a", "b"]))
    alone = METRICS["lip_vertex_error_mm"].clip_values(MotionPair.from_motions(face, shifted[1:], theirs[1:], ["b"]))
    assert values[1].item() == pytest.approx(alone.item(), rel=1e-4) and alone > 0


@pytest.mark.parametrize(
    ("prediction", "words"),
    [
        (motion(29), "a: the prediction has 29 frames and the truth 30"),
        (motion(30, fps=30.0), "a: the prediction has 30 frames/s and the truth 25"),
        (motion(30, space="other"), "a: the prediction is in the other space"),
    ],
)
def test_motions_that_do_not_fit_are_refused_by_name(face, prediction, words):
    with pytest.raises(MetricError, match=words):
        MotionPair.from_motions(face, [prediction], [motion(30)], ["a"])


def test_an_empty_split_is_refused(face):
    with pytest.raises(MetricError, match="0 predictions, 0 truths and 0 names"):
        MotionPair.from_motions(face, [], [], [])


def test_coefficients_that_do_not_fit_are_refused(face):
    jaw, mask = torch.zeros(1, 5, 3), torch.ones(1, 5, dtype=torch.bool)
    with pytest.raises(MetricError, match="do not fit"):
        MotionPair(face, torch.zeros(1, 5, 52), jaw, torch.zeros(1, 6, 52), jaw, mask)


def test_phonemes_and_audio_become_what_the_metrics_read(face, truth):
    pair = make_pair(face, truth, phonemes=[[["p", 0.0, 0.1]], []], audio=torch.ones(2, 80 * 640))
    del pair.energy, pair.bilabial
    assert pair.bilabial.shape == (2, 80) and pair.bilabial.sum(1).tolist() == [3, 0]
    assert pair.energy.shape == (2, 80) and pair.energy.unique().tolist() == [1.0]


def test_whole_faces_made_in_blocks_are_the_same(face, truth):
    pair = make_pair(face, truth)
    whole = face(None, *pair.coefficients["true_"])
    torch.testing.assert_close(pair.true_vertices, whole)
    torch.testing.assert_close(pair.true_lips, whole[:, :, face.regions["lips"]])

"""The named variants of lip, whole-face and upper-face error beside each other, and what they refuse."""

import pytest
import torch

from metrics.checks import MetricError
from metrics.lip_vertex_error import (
    LipMeanVertexError,
    LipVertexErrorArtalk,
    LipVertexErrorClips,
    LipVertexErrorDemeaned,
    LipVertexErrorSquaredClips,
    lip_vertex_error,
    lve_artalk_mm,
    lve_demeaned_mm,
)
from metrics.upper_face_dynamics import (
    UpperFaceDynamicsAbsolute,
    UpperFaceDynamicsArtalk,
    UpperFaceDynamicsDeviation,
    UpperFaceDynamicsNorm,
)
from metrics.vertex_error import (
    MeanVertexDistanceArtalk,
    MeanVertexError,
    MeanVertexErrorSquared,
    UpperFaceMeanVertexError,
)

TWINS = [
    LipVertexErrorClips,
    LipVertexErrorSquaredClips,
    LipVertexErrorArtalk,
    LipVertexErrorDemeaned,
    LipMeanVertexError,
    MeanVertexError,
    UpperFaceMeanVertexError,
    MeanVertexDistanceArtalk,
    MeanVertexErrorSquared,
    UpperFaceDynamicsDeviation,
    UpperFaceDynamicsAbsolute,
    UpperFaceDynamicsNorm,
    UpperFaceDynamicsArtalk,
]


def test_a_lip_moved_as_a_whole_has_no_demeaned_error():
    lips = torch.randn(2, 9, 5, 3, dtype=torch.float64)
    mask = torch.ones(2, 9, dtype=torch.bool)
    moved = lips + torch.tensor([0.001, 0.0, 0.0])
    assert lip_vertex_error(moved, lips, mask).numpy() == pytest.approx(1.0)
    assert lve_demeaned_mm(moved, lips, mask).max() < 1e-9


def test_the_root_of_mean_squares_is_never_under_the_mean():
    prediction, target = torch.randn(8, 9, 5, 3), torch.randn(8, 9, 5, 3)
    mask = torch.ones(8, 9, dtype=torch.bool)
    assert (lve_artalk_mm(prediction, target, mask) > lip_vertex_error(prediction, target, mask)).all()


def test_the_signed_deviation_cancels_where_the_absolute_does_not():
    truth = torch.randn(1, 20, 4, 3).expand(2, 20, 4, 3)
    gains = torch.tensor([0.5, 1.5]).sqrt()[:, None, None, None]
    mask = torch.ones(2, 20, dtype=torch.bool)
    signed, absolute = UpperFaceDynamicsDeviation(), UpperFaceDynamicsAbsolute()
    for metric in (signed, absolute):
        metric.update(gains * truth, truth, mask)
    assert abs(signed.compute()) < 1e-6 < 0.1 < absolute.compute()


@pytest.mark.parametrize(
    ("prediction", "target", "mask", "words"),
    [
        ((1, 5, 4, 3), (1, 6, 4, 3), (1, 5), "5 frames and the truth 6"),
        ((1, 5, 4, 3), (1, 5, 3, 3), (1, 5), "4 vertices and the truth 3"),
        ((2, 5, 4, 3), (1, 5, 4, 3), (2, 5), "2 clips and the truth 1"),
        ((1, 5, 4, 3), (1, 5, 4, 3), (1, 6), "mask has shape"),
        ((1, 5, 4, 2), (1, 5, 4, 2), (1, 5), "expected"),
        ((5, 4, 3), (5, 4, 3), (5, 4), "expected"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(prediction, target, mask, words):
    for make in TWINS:
        with pytest.raises(MetricError, match=words) as error:
            make().update(torch.zeros(prediction), torch.zeros(target), torch.ones(mask, dtype=torch.bool))
        assert "\n" not in str(error.value)


def test_names_must_be_as_many_as_clips():
    with pytest.raises(MetricError, match="1 clip names for 2 clips"):
        MeanVertexError().update(
            torch.zeros(2, 3, 4, 3), torch.zeros(2, 3, 4, 3), torch.ones(2, 3, dtype=torch.bool), keys=["a"]
        )

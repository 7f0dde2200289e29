"""Lip closures: found where the mouth shuts, independent of how wide it opens, matched one to one."""

import numpy as np
import pytest
import torch

from faces.arkit import ARKIT_NAMES
from metrics.lip_closure import (
    closure_agreement,
    closure_frames,
    inner_lip_pairs,
    mouth_opening_mm,
)


def opening(closures: list[int], frames: int = 100, width: float = 10.0) -> np.ndarray:
    """A mouth that is open but for a dip at each of `closures`."""
    time = np.arange(frames)[:, None]
    return width * (1 - np.exp(-(((time - np.array(closures)) / 3.0) ** 2)).sum(1)).astype(np.float32)


def test_closures_are_found_in_place_whatever_the_width():
    for width in (0.5, 10.0):
        assert closure_frames(opening([20, 45, 80], width=width) + 3).tolist() == [20, 45, 80]
    assert len(closure_frames(np.ones(50))) == 0 and len(closure_frames(np.ones(2))) == 0


def test_agreement_by_hand():
    truth = opening([20, 45, 80])
    assert closure_agreement(truth, truth) == (1.0, 0.0, 6)
    late = closure_agreement(opening([21, 47]), truth)
    assert late.f1 == pytest.approx(2 * 2 / 5) and late.offset_ms == pytest.approx(40 * 1.5)
    assert closure_agreement(opening([30, 60]), truth).f1 == 0.0
    assert np.isnan(closure_agreement(np.ones(50), np.ones(50)).f1)


def test_one_closure_cannot_be_matched_twice():
    agreement = closure_agreement(opening([50]), opening([46, 54]), tolerance=5)
    assert agreement.num_closures == 3 and agreement.f1 == pytest.approx(2 / 3)


def test_curves_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        closure_frames(np.array([0.0, np.nan, 1.0]))


class BoxMouth:
    """An upper and a lower row of lip vertices in two layers; jawOpen drops the lower ones by 20 mm."""

    name, space, num_expression = "box", "arkit", 52

    def __init__(self) -> None:
        x = torch.linspace(-0.03, 0.03, 13).repeat(4)
        y = torch.tensor([0.010, 0.002, -0.002, -0.010]).repeat_interleave(13)
        self.vertices = torch.stack([x, y, torch.zeros(52)], dim=-1)
        self.regions = {"lips": torch.arange(52)}

    def __call__(self, identity, expression, vertex_ids):
        vertices = self.vertices.clone()
        vertices[26:, 1] -= 0.02 * expression[ARKIT_NAMES.index("jawOpen")]
        return vertices[vertex_ids]


def test_inner_lip_pairs_face_each_other_and_open_with_the_jaw():
    face = BoxMouth()
    upper, lower = inner_lip_pairs(face)
    assert ((upper >= 13) & (upper < 26)).all() and ((lower >= 26) & (lower < 39)).all()
    opened = torch.zeros(52)
    opened[ARKIT_NAMES.index("jawOpen")] = 1.0
    for expression, gap in ((torch.zeros(52), 4.0), (opened, 24.0)):
        distance = mouth_opening_mm(face(None, expression, upper), face(None, expression, lower))
        assert distance.item() == pytest.approx(gap, abs=3.0)
    face.space = "flame"
    with pytest.raises(ValueError, match="flame space"):
        inner_lip_pairs(face)

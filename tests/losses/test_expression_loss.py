"""Expression loss: the total is the weighted sum of its terms, the released setting is the released formula."""

import pytest
import torch

from faces import load_face_model
from losses.expression_loss import ExpressionLoss, lip_basis_mm

MASK = torch.arange(6) < torch.tensor([6, 2])[:, None]


class TinyFace:
    """Two lip vertices and one other, two landmarks; each is moved by the coefficients linearly, in metres."""

    name = "tiny"

    def __init__(self, basis: torch.Tensor) -> None:
        self.landmarks = torch.tensor([2, 1])
        self.basis, self.num_expression = basis, basis.shape[0]
        self.regions = {"lips": torch.tensor([0, 2])}

    def __call__(self, identity, expression, vertex_ids):
        neutral = torch.full(self.basis.shape[1:], 0.1)
        return (neutral + torch.einsum("ne,evc->nvc", expression, self.basis))[:, vertex_ids]


def outputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mid, final, target = torch.randn(3, 2, 6, 7, generator=generator)
    return mid, final, target


def test_total_is_the_weighted_sum_of_terms():
    face = TinyFace(torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(1)) * 1e-3)
    loss = ExpressionLoss(mid=0.5, final=2.0, velocity=0.3, lip_vertex=0.1, landmark=0.2, face_model=face)
    total, terms = loss(*outputs(), MASK, std=torch.rand(7))
    assert set(terms) == {"mid", "final", "velocity", "lip_vertex", "landmark"}
    expected = sum(loss.weights[name] * term for name, term in terms.items())
    torch.testing.assert_close(total, expected)


def test_released_setting_is_l1_summed_over_dimensions_per_valid_frame():
    mid, final, target = outputs()
    total, terms = ExpressionLoss(velocity=0.0, reduction="frame_sum")(mid, final, target, MASK)
    error = ((mid - target).abs() + (final - target).abs()).sum(-1)
    torch.testing.assert_close(total, error[MASK].sum() / MASK.sum())
    assert set(terms) == {"mid", "final"}


def test_lip_term_is_the_mean_lip_distance_in_millimetres():
    basis = torch.zeros(1, 3, 3)
    basis[0, 0, 1], basis[0, 1, 1] = 0.005, 9.0
    loss = ExpressionLoss(mid=0, final=0, velocity=0, lip_vertex=1.0, face_model=TinyFace(basis))
    assert lip_basis_mm(TinyFace(basis)).shape == (1, 2, 3)
    final, target = torch.ones(1, 1, 4), torch.zeros(1, 1, 4)
    total, _ = loss(final, final, target, torch.tensor([[True]]), std=torch.full((4,), 0.5))
    assert total.item() == pytest.approx(0.5 * 5 / 2, rel=1e-4)


def test_landmark_term_is_the_mean_over_clips_of_the_distance_that_the_landmarks_are_off_in_millimetres():
    face = load_face_model("procedural")
    generator = torch.Generator().manual_seed(2)
    target, final = torch.rand(2, 2, 6, 55, generator=generator)
    std = 0.1 + torch.rand(55, generator=generator)
    loss = ExpressionLoss(mid=0, final=0, velocity=0, landmark=1.0, face_model=face)
    by_clip = []
    for clip, frames in enumerate(MASK.sum(1).tolist()):
        off = []
        for frame in range(frames):
            moved, true = (face(None, (x[clip, frame] * std)[:52])[face.landmarks] for x in (final, target))
            off.append(1000 * (moved - true).norm(dim=-1).mean())
        by_clip.append(sum(off) / frames)
    total, terms = loss(final, final, target, MASK, std=std)
    torch.testing.assert_close(total, sum(by_clip) / 2, rtol=1e-4, atol=1e-4)
    assert terms["landmark"] == total and total > 1


def test_padding_changes_neither_the_landmark_term_nor_its_gradient():
    face = TinyFace(torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(1)) * 1e-3)
    loss, std = ExpressionLoss(landmark=1.0, face_model=face), torch.rand(7)
    mid, final, target = outputs()
    final.requires_grad_(True)
    expected, _ = loss(mid, final, target, MASK, std=std)
    (gradient,) = torch.autograd.grad(expected, final)
    assert gradient[MASK].abs().sum(-1).min() > 0 and not gradient[~MASK].any()
    for x in (mid, target):
        x[~MASK] = torch.nan
    padded = [torch.cat([x, torch.full((2, 3, 7), torch.nan)], dim=1) for x in (mid, final, target)]
    longer = torch.cat([MASK, torch.zeros(2, 3, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(loss(*padded, longer, std=std).total, expected)


def test_a_face_without_landmarks_is_refused_in_one_sentence_and_only_where_they_are_asked_for():
    face = TinyFace(torch.zeros(4, 3, 3))
    face.landmarks = None
    with pytest.raises(ValueError, match=r"^the landmark term needs a face with landmarks, and tiny names none; set"):
        ExpressionLoss(landmark=0.1, face_model=face)
    ExpressionLoss(lip_vertex=0.1, face_model=face)


def test_perfect_prediction_costs_nothing_and_terms_carry_no_graph():
    _, _, target = outputs()
    total, terms = ExpressionLoss()(target, target.clone().requires_grad_(True), target, MASK)
    assert total.item() == 0
    assert not any(term.requires_grad for term in terms.values())


def test_wrong_options_are_refused():
    for term in ("lip_vertex", "landmark"):
        with pytest.raises(ValueError, match="face_model"):
            ExpressionLoss(**{term: 1.0})
    with pytest.raises(ValueError, match="reduction"):
        ExpressionLoss(reduction="sum")
    loss = ExpressionLoss(lip_vertex=1.0, face_model=TinyFace(torch.zeros(4, 3, 3)))
    with pytest.raises(ValueError, match="std"):
        loss(*outputs(), MASK)

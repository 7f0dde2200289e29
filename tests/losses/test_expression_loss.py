"""Expression loss: the total is the weighted sum of its terms, the released setting is the released formula."""

import pytest
import torch

from losses.expression_loss import ExpressionLoss, lip_basis_mm

MASK = torch.arange(6) < torch.tensor([6, 2])[:, None]


class TinyFace:
    """Two lip vertices and one other; each is moved by the coefficients linearly, in metres."""

    def __init__(self, basis: torch.Tensor) -> None:
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
    loss = ExpressionLoss(mid=0.5, final=2.0, velocity=0.3, lip_vertex=0.1, face_model=face)
    total, terms = loss(*outputs(), MASK, std=torch.rand(7))
    assert set(terms) == {"mid", "final", "velocity", "lip_vertex"}
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


def test_perfect_prediction_costs_nothing_and_terms_carry_no_graph():
    _, _, target = outputs()
    total, terms = ExpressionLoss()(target, target.clone().requires_grad_(True), target, MASK)
    assert total.item() == 0
    assert not any(term.requires_grad for term in terms.values())


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="face_model"):
        ExpressionLoss(lip_vertex=1.0)
    with pytest.raises(ValueError, match="reduction"):
        ExpressionLoss(reduction="sum")
    loss = ExpressionLoss(lip_vertex=1.0, face_model=TinyFace(torch.zeros(4, 3, 3)))
    with pytest.raises(ValueError, match="std"):
        loss(*outputs(), MASK)

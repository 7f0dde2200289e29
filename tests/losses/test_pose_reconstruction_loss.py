"""The loss of the pose VQ-VAE: its terms by hand, masks, and weights."""

import pytest
import torch

from losses.pose_reconstruction_loss import PoseReconstructionLoss


def test_terms_are_those_computed_by_hand() -> None:
    channels = torch.tensor([0.0, 1.0, 0.0, 2.0, 9.0]).view(1, 5, 1)
    mask = torch.tensor([[True, True, True, True, False]])
    total, terms = PoseReconstructionLoss(1.0, 10.0, 100.0, 0.25)(
        channels, torch.zeros_like(channels), mask, {"commitment": torch.tensor(4.0)}
    )
    # Differences 1, -1, 2 and second differences -2, 3 of the four valid frames.
    expected = {"position": 3 / 4, "velocity": 4 / 3, "acceleration": 5 / 2, "commitment": 4.0}
    assert {name: pytest.approx(float(term)) for name, term in terms.items()} == expected
    assert float(total) == pytest.approx(3 / 4 + 10 * 4 / 3 + 100 * 5 / 2 + 1.0)


def test_padding_of_any_value_changes_nothing_and_gets_no_gradient() -> None:
    torch.manual_seed(0)
    channels = torch.randn(2, 9, 6, requires_grad=True)
    target = torch.randn(2, 9, 6)
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    target[1, 4:] = float("nan")
    total, _ = PoseReconstructionLoss()(channels, target, mask, {})
    total.backward()
    assert channels.grad is not None
    assert torch.isfinite(channels.grad).all() and (channels.grad[1, 4:] == 0).all()
    alone = [
        PoseReconstructionLoss()(channels[row : row + 1, :n], target[row : row + 1, :n], mask[row : row + 1, :n], {})
        for row, n in enumerate((9, 4))
    ]
    torch.testing.assert_close(total, (alone[0].total + alone[1].total) / 2)


@pytest.mark.parametrize("frames", [1, 2])
def test_clips_too_short_for_a_difference_have_none(frames: int) -> None:
    mask = torch.ones(1, frames, dtype=torch.bool)
    _, terms = PoseReconstructionLoss()(torch.ones(1, frames, 6), torch.zeros(1, frames, 6), mask, {})
    assert float(terms["acceleration"]) == 0.0 and float(terms["position"]) == 1.0

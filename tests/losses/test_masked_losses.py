"""Masked losses: hand-computed values, agreement with a loop, nothing from padding."""

import pytest
import torch

from losses.masked import masked_l1, masked_l2, masked_velocity_l1, masked_vertex_distance

MASK = torch.arange(8) < torch.tensor([8, 3, 1, 0])[:, None]


def pair(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 8, 5, generator=generator), torch.randn(4, 8, 5, generator=generator)


def test_values_by_hand():
    prediction, target = torch.tensor([[[1.0, 2.0], [4.0, 0.0]]]), torch.zeros(1, 2, 2)
    both, first = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    assert masked_l1(prediction, target, both).item() == 7 / 4
    assert masked_l1(prediction, target, both, "frame_sum").item() == 7 / 2
    assert masked_l1(prediction, target, first).item() == 3 / 2
    assert masked_l2(prediction, target, both).item() == 21 / 4
    assert masked_velocity_l1(prediction, target, both).item() == 5 / 2
    assert masked_velocity_l1(prediction, target, first).item() == 0


@pytest.mark.parametrize("loss, power", [(masked_l1, 1), (masked_l2, 2)])
def test_agreement_with_a_loop_over_valid_frames(loss, power):
    prediction, target = pair()
    clips = [
        [abs(prediction[b, t, c] - target[b, t, c]) ** power for t in range(8) if MASK[b, t] for c in range(5)]
        for b in range(4)
    ]
    means = [sum(errors) / len(errors) if errors else 0.0 for errors in clips]
    torch.testing.assert_close(loss(prediction, target, MASK), sum(means) / 4)
    torch.testing.assert_close(loss(prediction, target, MASK, "frame_sum"), sum(map(sum, clips)) / MASK.sum())


@pytest.mark.parametrize("loss", [masked_l1, masked_l2, masked_velocity_l1])
def test_a_batch_shared_out_over_ranks_has_the_mean_loss_of_the_whole(loss):
    prediction, target = pair()
    parts = [loss(prediction[rank::2], target[rank::2], MASK[rank::2]) for rank in range(2)]
    torch.testing.assert_close(sum(parts) / 2, loss(prediction, target, MASK))


@pytest.mark.parametrize("loss", [masked_l1, masked_l2, masked_velocity_l1])
def test_padding_may_hold_nan_and_gets_no_gradient(loss):
    prediction, target = pair()
    prediction = prediction.masked_fill(~MASK[..., None], 1e6).requires_grad_(True)
    broken = target.masked_fill(~MASK[..., None], float("nan"))
    value = loss(prediction, broken, MASK)
    torch.testing.assert_close(value, loss(prediction, target, MASK))
    value.backward()
    assert torch.isfinite(prediction.grad).all() and (prediction.grad[~MASK] == 0).all()


def test_no_valid_frame_gives_zero():
    prediction, target = pair()
    assert masked_l1(prediction, target, torch.zeros_like(MASK)).item() == 0


def test_vertex_distance_is_the_mean_length_and_its_gradient_is_finite_at_zero():
    prediction = torch.zeros(1, 1, 2, 3, requires_grad=True)
    target = torch.tensor([[[[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]]])
    value = masked_vertex_distance(prediction, target, torch.tensor([[True]]))
    assert value.item() == pytest.approx(2.5)
    value.backward()
    assert torch.isfinite(prediction.grad).all()


def test_a_mask_of_another_shape_is_refused():
    prediction, target = pair()
    with pytest.raises(ValueError, match="mask has shape"):
        masked_l1(prediction, target, MASK[:, :4])

"""The blockwise convolution, ReLU and Linear against the three layers, in double precision."""

import pytest
import torch
from torch import nn

from networks import convolution_linear
from networks.convolution_linear import CHANNELS_AT_ONCE, convolution_relu_linear

FRAMES, OUTPUTS = 7, 5


def layers(width: int, channels: int) -> tuple[nn.Conv2d, nn.Linear]:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, channels, kernel_size=3, stride=2, padding=1).double()
    return convolution, nn.Linear(channels * ((width + 1) // 2), OUTPUTS).double()


def written_out(plane: torch.Tensor, convolution: nn.Conv2d, linear: nn.Linear) -> torch.Tensor:
    return linear(torch.relu(convolution(plane.unsqueeze(1))).transpose(1, 2).flatten(2))


def value_and_gradients(result: torch.Tensor, valid: torch.Tensor, inputs: list) -> list[torch.Tensor]:
    weighted = result[valid] * torch.linspace(-1, 2, OUTPUTS, dtype=result.dtype)
    return [result[valid], *torch.autograd.grad(weighted.square().sum(), inputs)]


@pytest.mark.parametrize("values_at_once", [1, 60, 2**20])
@pytest.mark.parametrize(
    ("batch", "width", "channels"), [(3, 8, 8), (2, 9, CHANNELS_AT_ONCE + 2), (1, 1, 1), (1, 7, 4), (4, 2, 9)]
)
def test_values_and_all_gradients_are_those_of_the_layers(batch, width, channels, values_at_once, monkeypatch):
    monkeypatch.setattr(convolution_linear, "VALUES_AT_ONCE", values_at_once)
    convolution, linear = layers(width, channels)
    plane = torch.randn(batch, 2 * FRAMES, width, dtype=torch.double, requires_grad=True)
    valid = torch.arange(FRAMES) < torch.tensor([FRAMES, 4, 1, 0])[:batch, None]
    inputs = [plane, *convolution.parameters(), *linear.parameters()]
    expected = value_and_gradients(written_out(plane, convolution, linear), valid, inputs)
    found = value_and_gradients(convolution_relu_linear(plane, valid, convolution, linear), valid, inputs)
    assert all(gradient.abs().max() > 0 for gradient in expected)
    torch.testing.assert_close(found, expected)


def test_numbers_of_rows_that_do_not_divide_evenly_are_all_computed(monkeypatch):
    convolution, linear = layers(4, 4)
    plane = torch.randn(1, 2 * 101, 4, dtype=torch.double)
    everything = torch.ones(1, 101, dtype=torch.bool)
    expected = written_out(plane, convolution, linear)
    for values_at_once in (2**20, 400, 399, 100, 8, 3):
        monkeypatch.setattr(convolution_linear, "VALUES_AT_ONCE", values_at_once)
        torch.testing.assert_close(convolution_relu_linear(plane, everything, convolution, linear), expected)


@pytest.mark.parametrize("frozen", [{"convolution"}, {"linear"}, {"plane"}, {"convolution", "linear"}])
def test_what_is_frozen_changes_no_gradient_of_the_rest(frozen):
    convolution, linear = layers(6, 6)
    plane = torch.randn(2, 2 * FRAMES, 6, dtype=torch.double).requires_grad_("plane" not in frozen)
    convolution.requires_grad_("convolution" not in frozen)
    linear.requires_grad_("linear" not in frozen)
    inputs = [x for x in (plane, *convolution.parameters(), *linear.parameters()) if x.requires_grad]
    valid = torch.ones(2, FRAMES, dtype=torch.bool)
    expected = value_and_gradients(written_out(plane, convolution, linear), valid, inputs)
    found = value_and_gradients(convolution_relu_linear(plane, valid, convolution, linear), valid, inputs)
    torch.testing.assert_close(found, expected)


def test_frames_that_are_not_valid_hold_the_bias_and_their_gradient_goes_nowhere_else():
    convolution, linear = layers(6, 6)
    plane = torch.randn(2, 2 * FRAMES, 6, dtype=torch.double)
    valid = torch.arange(FRAMES) < torch.tensor([3, 0])[:, None]
    result = convolution_relu_linear(plane, valid, convolution, linear)
    assert result[~valid].eq(linear.bias).all() and not result[valid].eq(linear.bias).any()
    result[~valid].sum().backward()
    assert linear.weight.grad.abs().max() == 0 and convolution.weight.grad.abs().max() == 0
    assert linear.bias.grad.eq((~valid).sum()).all()


def test_a_batch_without_a_valid_frame_or_without_rows_passes_through():
    convolution, linear = layers(6, 6)
    for batch in (2, 0):
        nothing = torch.zeros(batch, FRAMES, dtype=torch.bool)
        result = convolution_relu_linear(
            torch.randn(batch, 2 * FRAMES, 6, dtype=torch.double), nothing, convolution, linear
        )
        assert result.shape == (batch, FRAMES, OUTPUTS)
        result.sum().backward()
        assert linear.weight.grad.eq(0).all()


def test_nothing_is_kept_without_gradients_and_second_derivatives_are_refused():
    convolution, linear = layers(6, 6)
    plane, everything = torch.randn(1, 2 * FRAMES, 6, dtype=torch.double), torch.ones(1, FRAMES, dtype=torch.bool)
    with torch.no_grad():
        assert not convolution_relu_linear(plane, everything, convolution, linear).requires_grad
    result = convolution_relu_linear(plane, everything, convolution, linear).square().sum()
    (gradient,) = torch.autograd.grad(result, linear.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()

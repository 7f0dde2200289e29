"""Conformer blocks: padding changes nothing, positions are relative, sizes are those of the released code."""

import pytest
import torch
from torch import nn

from networks.conformer import (
    Conformer,
    ConformerBlock,
    ConformerSettings,
    MaskedBatchNorm,
    RelativePositionBias,
    sinusoids,
    valid_frames,
)

LENGTHS = [7, 30, 1, 22]


def conformer(**options) -> Conformer:
    torch.manual_seed(0)
    settings = ConformerSettings(width=16, num_heads=2, feed_forward=32, kernel_size=7, **options)
    return Conformer(settings, num_blocks=2)


OPTIONS = [{}, {"released": True}, {"attention_span": 5}, {"released": True, "attention_span": 5}]


@pytest.mark.parametrize("options", OPTIONS)
def test_padding_with_anything_changes_no_valid_frame(options):
    net = conformer(**options).eval()
    x = torch.randn(len(LENGTHS), max(LENGTHS) + 9, 16)
    mask = valid_frames(torch.tensor(LENGTHS), x.shape[1])
    x = x.masked_fill(~mask[..., None], 1e4)
    together = net(x, mask)
    for row, length in enumerate(LENGTHS):
        alone = net(x[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=0)
        assert (together[row, length:] == 0).all()


@pytest.mark.parametrize("options", OPTIONS)
def test_padding_gets_no_gradient_and_makes_no_nan(options):
    net = conformer(**options)
    x = torch.randn(3, 12, 16, requires_grad=True)
    mask = valid_frames(torch.tensor([12, 5, 0]), 12)
    net(x, mask).square().sum().backward()
    assert (x.grad[~mask] == 0).all() and torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("released", [False, True])
def test_with_a_span_a_long_clip_gives_the_same_middle_as_its_excerpt(released):
    net = conformer(attention_span=4, released=released).eval()
    x = torch.randn(1, 80, 16)
    reach = 2 * (4 + 3)
    whole = net(x, torch.ones(1, 80, dtype=torch.bool))
    part = net(x[:, 20:60], torch.ones(1, 40, dtype=torch.bool))
    torch.testing.assert_close(part[:, reach:-reach], whole[:, 20 + reach : 60 - reach], atol=1e-5, rtol=0)


def test_order_of_frames_matters_without_convolution_reach():
    net = conformer().eval()
    x = torch.randn(1, 40, 16)
    moved = x.clone()
    moved[0, [30, 38]] = x[0, [38, 30]]
    mask = torch.ones(1, 40, dtype=torch.bool)
    assert (net(x, mask)[0, 0] - net(moved, mask)[0, 0]).abs().max() > 1e-4


def test_relative_position_scores_agree_with_the_formula():
    torch.manual_seed(0)
    settings = ConformerSettings(width=8, num_heads=2)
    module = RelativePositionBias(settings)
    query = torch.randn(1, 2, 6, 4)
    _, scores = module(query)
    for head in range(2):
        for i in range(6):
            for j in range(6):
                encoded = module.position(sinusoids(torch.tensor([float(i - j)]), 8))[0].view(2, 4)[head]
                expected = (query[0, head, i] + module.position_bias[head, 0]) @ encoded / 2
                torch.testing.assert_close(scores[0, head, i, j], expected, atol=1e-5, rtol=0)


def test_masked_batch_norm_uses_statistics_of_valid_frames_only():
    torch.manual_seed(0)
    x = torch.randn(3, 10, 4)
    mask = valid_frames(torch.tensor([10, 3, 6]), 10)
    ours, reference = MaskedBatchNorm(4), nn.BatchNorm1d(4)
    torch.testing.assert_close(ours(x.masked_fill(~mask[..., None], 99.0), mask)[mask], reference(x[mask]))
    torch.testing.assert_close(ours.running_mean, reference.running_mean)


def test_a_block_of_the_released_size_has_the_released_parameter_count():
    settings = ConformerSettings(width=256, num_heads=4, feed_forward=2048, kernel_size=15, released=True)
    assert sum(p.numel() for p in ConformerBlock(settings).parameters()) == 2_635_520


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="heads"):
        ConformerSettings(width=100, num_heads=3)
    with pytest.raises(ValueError, match="odd"):
        ConformerSettings(kernel_size=4)

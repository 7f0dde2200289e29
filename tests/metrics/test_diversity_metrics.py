"""Pose diversity, deviation and speed; expression richness: all within clips."""

import pytest
import torch

from metrics.expression_richness import expression_richness, expression_richness_ratio
from metrics.pairwise_spread import pairwise_spread
from metrics.pose_diversity import (
    PoseDiversity,
    pose_deviation_within_deg,
    pose_diversity_within_deg,
    pose_speed_deg_per_s,
)


def test_frozen_heads_at_different_angles_have_no_diversity():
    heads = torch.tensor([[0.5, 0.0, 0.0], [0.0, -0.5, 0.0]])[:, None].expand(2, 20, 3)
    mask = torch.ones(2, 20, dtype=torch.bool)
    for function in (pose_diversity_within_deg, pose_deviation_within_deg, pose_speed_deg_per_s):
        assert function(heads, mask).abs().max() == 0


def test_a_head_that_turns_at_ten_degrees_a_second_has_that_speed():
    head = torch.zeros(1, 50, 3)
    head[0, :, 1] = torch.arange(50) * 10 / 25 * torch.pi / 180
    assert pose_speed_deg_per_s(head, torch.ones(1, 50, dtype=torch.bool)).item() == pytest.approx(10, rel=1e-4)


def test_clips_of_one_frame_are_nan_and_not_counted():
    mask = torch.tensor([[True, False]])
    assert torch.isnan(pairwise_spread(torch.rand(1, 2, 3), mask)).all()
    metric = PoseDiversity()
    metric.update(torch.rand(1, 2, 3), mask)
    metric.update(torch.rand(1, 2, 3), torch.tensor([[True, True]]))
    assert torch.isfinite(metric.compute())


def test_halving_the_motion_halves_the_richness():
    truth = torch.randn(2, 30, 5, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(30) < torch.tensor([30, 11])[:, None]
    torch.testing.assert_close(expression_richness_ratio(0.5 * truth + 3, truth, mask), torch.full((2,), 0.5))
    assert (expression_richness(truth, mask) > 0).all()

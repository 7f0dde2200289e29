"""Statistics of a head's motion: what they tell apart, and that the projection weighs people against chance."""

import pytest
import torch

from networks.pose_representation import HeadRepresentation
from networks.pose_statistics import NUM_STATISTICS, pose_statistics, reference_statistics, telling_apart

MEAN, DEVIATIONS, KURTOSIS, SKEWNESS = slice(0, 3), slice(3, 18), slice(18, 24), slice(24, 30)
TIME = torch.arange(500) / 25


@pytest.fixture(scope="module")
def representation() -> HeadRepresentation:
    made = HeadRepresentation()
    made.set_statistics(torch.zeros(3), torch.full((3,), 0.1))
    return made


def yaw(angle: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.zeros_like(angle), angle, torch.zeros_like(angle)], -1)


def test_deviations_tell_amplitude_from_speed(representation):
    def bands(amplitude: float, hertz: float) -> torch.Tensor:
        swing = yaw(amplitude * torch.sin(2 * torch.pi * hertz * TIME))
        return pose_statistics(swing, representation)[DEVIATIONS].view(5, 3)[:, 1]

    base = bands(0.05, 0.5)
    torch.testing.assert_close(bands(0.1, 0.5) - base, torch.full((5,), 2.0).log(), atol=0.02, rtol=0)
    faster = bands(0.05, 1.0) - base
    assert faster[0] > 1 and faster[1] > 1 and faster[3] < -0.3


def test_rare_nods_have_kurtosis_and_a_side(representation):
    generator = torch.Generator().manual_seed(0)
    trembling = 0.005 * torch.randn(500, 3, generator=generator)
    nods = sum(torch.exp(-0.5 * ((TIME - at) / 0.11) ** 2) for at in (2.0, 5.5, 9.0, 13.0, 17.5))
    nodding = trembling + 0.1 * torch.stack([nods, torch.zeros(500), torch.zeros(500)], -1)
    still, moved = (pose_statistics(head, representation) for head in (trembling, nodding))
    pitch = moved[KURTOSIS].view(2, 3)[:, 0] - still[KURTOSIS].view(2, 3)[:, 0]
    assert pitch.min() > 0.5 and (moved - still)[KURTOSIS].view(2, 3)[:, 1:].abs().max() < 0.05
    assert moved[SKEWNESS].view(2, 3)[:, 0].min() > 0.5


def test_a_tilt_is_the_mean_and_changes_little_else(representation):
    head = 0.05 * torch.randn(300, 3, generator=torch.Generator().manual_seed(1)).cumsum(0) / 10
    tilted = pose_statistics(head + torch.tensor([0.0, 0.0, 0.1]), representation)
    moved = (tilted - pose_statistics(head, representation))[:18]
    torch.testing.assert_close(moved[MEAN], torch.tensor([0.0, 0.0, 0.1]), atol=0.01, rtol=0)
    assert moved[DEVIATIONS].abs().max() < 0.15


@pytest.mark.parametrize("frames", [1, 2, 60, 260])
def test_a_still_head_and_a_short_one_have_finite_statistics(representation, frames):
    found = pose_statistics(torch.full((frames, 3), 0.2), representation)
    assert found.shape == (NUM_STATISTICS,) and torch.isfinite(found).all()


def test_clips_weigh_by_their_length_and_empty_ones_not(representation):
    long, short = (torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) / 10 for n in (100, 50))
    one, two = pose_statistics(long, representation), pose_statistics(short, representation)
    found = reference_statistics([short, torch.zeros(0, 3), long], representation)
    torch.testing.assert_close(found, (2 * one + two) / 3)


def test_the_projection_weighs_directions_by_how_well_they_tell_sources_apart():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=generator)
    spread = torch.tensor([3.0, 1.0, 0.5, 0.0])  # of sources, in units of the deviation within

    def drawn() -> torch.Tensor:
        person = spread * torch.randn(4, generator=generator)
        return (person + torch.randn(12, 4, generator=generator)) @ mixing

    projection = telling_apart([drawn() for _ in range(600)])
    # In the directions that were planted: scaled by sqrt(v / (v + 1 / 2.5)), whatever they were mixed by.
    scales = (torch.linalg.svdvals(mixing @ projection)).sort(descending=True).values
    expected = (spread.square() / (spread.square() + 0.4)).sqrt()
    torch.testing.assert_close(scales, expected, atol=0.12, rtol=0)


def test_without_two_clips_of_anybody_each_statistic_is_divided_by_its_deviation():
    scales = torch.tensor([1.0, 5, 10, 20, 0])
    clips = [torch.randn(1, 5, generator=torch.Generator().manual_seed(i)) * scales for i in range(300)]
    alone = telling_apart(clips)
    assert torch.equal(alone, torch.diag(alone.diagonal())) and torch.isfinite(alone).all()
    torch.testing.assert_close(alone.diagonal()[:4] * scales[:4], torch.ones(4), atol=0.15, rtol=0)
    one_source = telling_apart([torch.randn(5, 3, generator=torch.Generator().manual_seed(0))])
    assert torch.isfinite(one_source).all() and one_source.diagonal().min() > 0

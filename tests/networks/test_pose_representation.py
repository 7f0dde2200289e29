"""Head rotations for networks: round trips, no wrap-around, distances that follow the angle, nothing taken from the clip."""

import math

import pytest
import torch

from faces.rotations import axis_angle_to_matrix, geodesic_distance
from networks.pose_representation import HeadRepresentation


def fitted() -> HeadRepresentation:
    representation = HeadRepresentation()
    representation.set_statistics(torch.tensor([0.1, -0.05, 0.02]), torch.tensor([0.05, 0.1, 0.03]))
    return representation


def test_every_rotation_comes_back():
    torch.manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(500, 3), dim=-1)
    head = axis * torch.linspace(0, math.pi - 1e-3, 500)[:, None]
    again = fitted().inverse(fitted()(head))
    # Through matrices the angle is exact to the root of float32's resolution near 180 degrees.
    torch.testing.assert_close(again, head, atol=2e-3, rtol=0)


def test_a_turn_through_180_degrees_makes_no_jump():
    angle = torch.linspace(math.pi - 0.2, math.pi + 0.2, 41)
    wrapped = (angle + math.pi) % (2 * math.pi) - math.pi  # as a tracker would write it
    head = torch.stack([torch.zeros(41), wrapped, torch.zeros(41)], -1)
    assert head.diff(dim=0).norm(dim=-1).max() > 6
    steps = fitted()(head).diff(dim=0).norm(dim=-1)
    assert steps.max() < 1.1 * steps.min()


def test_distance_follows_the_angle_for_small_turns_about_any_axis():
    torch.manual_seed(0)
    base = 0.1 * torch.randn(1, 3)
    head = base + 0.05 * torch.randn(400, 3)
    representation = fitted()
    distance = (representation(head) - representation(base)).norm(dim=-1) * representation.scale
    angle = geodesic_distance(axis_angle_to_matrix(head), axis_angle_to_matrix(base))
    ratio = distance / angle
    # |w x c1|^2 + |w x c2|^2 lies between |w|^2 and 2 |w|^2.
    assert ratio.min() > 0.98 and ratio.max() < 2**0.5 * 1.02


def test_a_constant_tilt_stays():
    head = 0.02 * torch.randn(50, 3)
    shift = fitted()(head + torch.tensor([0.2, 0.0, 0.0])).mean(0) - fitted()(head).mean(0)
    assert shift.norm() > 1.0


def test_statistics_of_the_wrong_kind_are_refused():
    with pytest.raises(ValueError, match=r"\[3\]"):
        HeadRepresentation().set_statistics(torch.zeros(6), torch.ones(6))
    with pytest.raises(ValueError, match="finite"):
        HeadRepresentation().set_statistics(torch.zeros(3), torch.tensor([1.0, math.nan, 1.0]))

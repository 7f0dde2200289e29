"""Motion of the bust beside that of the head."""

import math

import pytest
import torch

from metrics.bust_motion import bust_motion_mm, bust_motion_ratio, vertex_motion_mm
from metrics.checks import MetricError


def swaying(frames: int = 40) -> torch.Tensor:
    """Vertex 0 stands, vertex 1 swings 1 mm to and fro along x, vertex 2 twice as far; metres `[1, T, 3, 3]`."""
    side = torch.where(torch.arange(frames) % 2 == 0, 0.001, -0.001)
    vertices = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).expand(1, frames, 3, 3).clone()
    vertices[0, :, 1, 0] += side
    vertices[0, :, 2, 0] += 2 * side
    return vertices


def test_motion_is_the_mean_distance_from_the_own_mean_position() -> None:
    vertices, mask = swaying(), torch.ones(1, 40, dtype=torch.bool)
    assert bust_motion_mm(vertices, torch.tensor([0]), mask).item() == pytest.approx(0, abs=1e-4)
    assert bust_motion_mm(vertices, torch.tensor([1]), mask).item() == pytest.approx(1, rel=1e-3)
    assert vertex_motion_mm(vertices, mask).item() == pytest.approx(1, rel=1e-3)
    ratio = bust_motion_ratio(vertices, torch.tensor([1]), torch.tensor([2]), mask)
    assert ratio.item() == pytest.approx(0.5, rel=1e-3)
    assert math.isnan(bust_motion_ratio(vertices, torch.tensor([1]), torch.tensor([2]), ~mask).item())


def test_padding_does_not_count() -> None:
    vertices, mask = swaying(), torch.ones(1, 40, dtype=torch.bool)
    padded = torch.cat([vertices, torch.full((1, 9, 3, 3), math.nan)], 1)
    longer = torch.cat([mask, torch.zeros(1, 9, dtype=torch.bool)], 1)
    assert torch.equal(vertex_motion_mm(padded, longer), vertex_motion_mm(vertices, mask))


def test_vertices_of_another_shape_are_refused() -> None:
    with pytest.raises(MetricError, match="B, T, V, 3"):
        vertex_motion_mm(torch.zeros(1, 4, 3), torch.ones(1, 4, dtype=torch.bool))

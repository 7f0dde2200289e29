"""Motion of the bust beside that of the head."""

import math

import pytest
import torch

from faces import load_face_model
from faces.neck_split import bust_and_head, pose_face
from metrics.bust_motion import bust_motion_mm, bust_motion_of, bust_motion_ratio, vertex_motion_mm
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


def test_the_bust_of_a_face_moves_as_the_mean_over_all_its_vertices_says() -> None:
    face = load_face_model("procedural")
    head = 0.2 * torch.sin(torch.arange(20)[:, None] / torch.tensor([2.0, 3.0, 5.0]))
    bust, skull = bust_and_head(face)
    vertices = pose_face(face, None, torch.zeros(20, face.num_expression), None, head, 0.3)[None]
    mask = torch.ones(1, 20, dtype=torch.bool)
    found = bust_motion_of(face, head, 0.3)
    assert found.mm == pytest.approx(bust_motion_mm(vertices, bust, mask).item(), rel=0.1)
    assert found.of_head == pytest.approx(bust_motion_ratio(vertices, bust, skull, mask).item(), rel=0.1)
    stands, turns = (bust_motion_of(face, head, share).mm for share in (0.0, 1.0))
    assert stands == pytest.approx(0, abs=1e-3) and stands < found.mm < turns
    assert math.isnan(bust_motion_of(face, 0 * head, 0.3).of_head)

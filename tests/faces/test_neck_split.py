"""Torso and neck share the head's rotation: their product is the head, shares are along one axis, and the bust moves as much as it is told."""

from pathlib import Path

import pytest
import torch
from made_up_flame import write_pickles

from faces import load_face_model
from faces.face_model import FaceModelError
from faces.flame_conversion import convert_flame
from faces.neck_split import bust_and_head, has_bust, pose_face, split_head
from faces.rotations import axis_angle_to_matrix, geodesic_distance
from metrics.bust_motion import bust_motion_mm, bust_motion_ratio


def heads(frames: int = 30) -> torch.Tensor:
    return 0.4 * torch.randn(frames, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_torso_times_neck_is_the_head_and_takes_its_share(share: float) -> None:
    head = heads()
    split = split_head(head, share)
    product = axis_angle_to_matrix(split.torso) @ axis_angle_to_matrix(split.neck)
    assert geodesic_distance(product, axis_angle_to_matrix(head)).max() < 1e-5
    mean = torch.eye(3)
    of_torso = geodesic_distance(mean, axis_angle_to_matrix(split.torso))
    of_head = geodesic_distance(mean, axis_angle_to_matrix(head))
    torch.testing.assert_close(of_torso, share * of_head, atol=1e-4, rtol=1e-3)


@pytest.fixture(scope="module", params=["procedural", "flame"])
def face(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    if request.param == "procedural":
        return load_face_model("procedural")
    folder: Path = tmp_path_factory.mktemp("flame")
    convert_flame(*write_pickles(folder), folder / "flame.npz")
    return load_face_model("flame", folder / "flame.npz")


def test_the_bust_moves_with_the_torsos_share_and_the_head_keeps_its_orientation(face) -> None:
    assert has_bust(face)
    bust, skull = bust_and_head(face)
    head, expression = 0.3 * heads(12), torch.zeros(12, face.num_expression)
    mask = torch.ones(1, 12, dtype=torch.bool)
    moved, ratios, turned = [], [], []
    for share in (0.0, 0.3, 1.0):
        vertices = pose_face(face, None, expression, None, head, share)[None]
        moved.append(bust_motion_mm(vertices, bust, mask).item())
        ratios.append(bust_motion_ratio(vertices, bust, skull, mask).item())
        points = vertices[0][:, skull]
        turned.append(points - points.mean(1, keepdim=True))
    assert moved[0] == pytest.approx(0, abs=1e-3) and moved[0] < moved[1] < moved[2]
    assert ratios[0] == pytest.approx(0, abs=1e-3) and ratios[1] < ratios[2]
    for other in turned[1:]:
        torch.testing.assert_close(other, turned[0], atol=2e-5, rtol=1e-3)


def test_a_share_of_nothing_is_the_face_models_own_pose(face) -> None:
    expression = torch.zeros(3, face.num_expression)
    assert torch.equal(pose_face(face, None, expression, None, heads(3), 0.0), face(None, expression, None, heads(3)))
    ids = torch.tensor([0, 5])
    torch.testing.assert_close(
        pose_face(face, None, expression, None, heads(3), 0.3, ids),
        pose_face(face, None, expression, None, heads(3), 0.3)[:, ids],
    )


def test_a_share_beyond_the_whole_is_refused() -> None:
    with pytest.raises(FaceModelError, match="0 to 1"):
        split_head(heads(), 1.2)

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from faces import rotations


def random_axis_angles(count=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    axes = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    angles = torch.cat([torch.linspace(0, np.pi - 1e-3, count - 4), torch.tensor([1e-8, 1e-4, 1e-2, 3.14159])])
    return axes * angles[:, None]


def test_matrices_agree_with_scipy():
    axis_angle = random_axis_angles()
    expected = Rotation.from_rotvec(axis_angle.numpy()).as_matrix()
    np.testing.assert_allclose(rotations.axis_angle_to_matrix(axis_angle).numpy(), expected, atol=2e-6)


def test_axis_angle_survives_the_matrix():
    axis_angle = random_axis_angles().double()
    back = rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(axis_angle))
    torch.testing.assert_close(back, axis_angle, atol=1e-6, rtol=0)


def test_euler_angles_survive_the_matrix():
    angles = (torch.rand(100, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5) * torch.tensor(
        [3.0, 6.0, 6.0]
    )
    torch.testing.assert_close(rotations.matrix_to_euler(rotations.euler_to_matrix(angles)), angles)


def test_numpy_and_torch_euler_conversions_agree():
    angles = torch.rand(50, 3, generator=torch.Generator().manual_seed(2)) - 0.5
    axis_angle = rotations.euler_to_axis_angle(angles)
    np.testing.assert_allclose(rotations.euler_to_axis_angle_numpy(angles.numpy()), axis_angle, atol=1e-6)
    np.testing.assert_allclose(rotations.axis_angle_to_euler_numpy(axis_angle.numpy()), angles, atol=1e-6)
    torch.testing.assert_close(rotations.axis_angle_to_euler(axis_angle), angles, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("pitch_yaw_roll", "point", "axis", "sign"),
    [
        ([0.2, 0, 0], [0.0, 0, 1], 1, -1),  # nod down: the nose sinks
        ([0, 0.2, 0], [0.0, 0, 1], 0, +1),  # turn: the nose moves to the viewer's right
        ([0, 0, 0.2], [0.0, 1, 0], 0, -1),  # tilt: the crown moves to the viewer's left
    ],
)
def test_the_documented_signs_hold(pitch_yaw_roll, point, axis, sign):
    moved = rotations.euler_to_matrix(torch.tensor(pitch_yaw_roll)) @ torch.tensor(point)
    assert torch.sign(moved[axis]) == sign


def test_six_numbers_survive_and_any_six_give_a_rotation():
    matrices = rotations.axis_angle_to_matrix(random_axis_angles().double())
    torch.testing.assert_close(rotations.matrix_from_6d(rotations.matrix_to_6d(matrices)), matrices)
    arbitrary = rotations.matrix_from_6d(
        torch.randn(50, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    )
    eye = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(arbitrary.transpose(-1, -2) @ arbitrary, eye)
    torch.testing.assert_close(torch.linalg.det(arbitrary), torch.ones(50, dtype=torch.float64))


@pytest.mark.parametrize("angle", [0.0, 1e-5, 0.3, 2.0, np.pi - 1e-5])
def test_geodesic_distance_is_the_angle_between(angle):
    start = rotations.axis_angle_to_matrix(random_axis_angles(20).double())
    step = rotations.axis_angle_to_matrix(torch.tensor([0, angle, 0], dtype=torch.float64))
    expected = torch.full((20,), angle, dtype=torch.float64)
    torch.testing.assert_close(rotations.geodesic_distance(start, start @ step), expected, atol=1e-7, rtol=0)


def test_gradients_are_right_at_and_near_zero():
    for scale in (0.0, 1e-9, 1e-3, 0.5):
        axis_angle = (torch.tensor([[0.3, -0.5, 0.8]], dtype=torch.float64) * scale).requires_grad_()
        assert torch.autograd.gradcheck(rotations.axis_angle_to_matrix, (axis_angle,), atol=1e-6)
    there_and_back = rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(torch.zeros(3, requires_grad=True)))
    assert torch.isfinite(
        torch.autograd.functional.jacobian(
            lambda v: rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(v)), torch.zeros(3)
        )
    ).all()
    assert torch.equal(there_and_back, torch.zeros(3))


def test_points_broadcast_against_rotations():
    points, axis_angle = torch.randn(5, 1, 7, 3), random_axis_angles(4)[:, None]
    rotated = rotations.rotate_points(points, axis_angle)
    expected = torch.einsum("rij,bpj->brpi", rotations.axis_angle_to_matrix(axis_angle[:, 0]), points[:, 0])
    torch.testing.assert_close(rotated, expected, atol=1e-5, rtol=0)

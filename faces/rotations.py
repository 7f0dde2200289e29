"""Rotations of the head: axis-angle, matrices, Euler angles and the 6-D representation, with their signs fixed here.

Axes are x to the viewer's right, y up, z towards the viewer; a face at rest looks along +z. Angles are radians and follow
the right-hand rule, hence:

* **pitch** turns about x: positive **nods down** (the nose sinks);
* **yaw** turns about y: positive turns the face **to the viewer's right** (towards +x, the person's own left);
* **roll** turns about z: positive **tilts the top of the head to the viewer's left** (towards -x, the person's right shoulder).

As Euler angles, `R = Ry(yaw) @ Rx(pitch) @ Rz(roll)` (intrinsic y-x-z): roll is applied first, in the head's own frame. Every function
takes and gives torch tensors with any leading dimensions; `*_numpy` twins serve containers and corpora.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation
from torch import Tensor

# Below this squared angle the Taylor series are exact in float32 and their gradients stay finite.
_SMALL_SQUARED_ANGLE = 1e-4


def _rodrigues_factors(squared_angle: Tensor) -> tuple[Tensor, Tensor]:
    """sin(a)/a and (1 - cos(a))/a^2 as smooth functions of a^2."""
    small = squared_angle < _SMALL_SQUARED_ANGLE
    safe = torch.where(small, torch.ones_like(squared_angle), squared_angle)
    angle = safe.sqrt()
    sine = torch.where(small, 1 - squared_angle / 6 + squared_angle**2 / 120, angle.sin() / angle)
    half_sine = (angle / 2).sin()
    cosine = torch.where(small, 0.5 - squared_angle / 24 + squared_angle**2 / 720, 2 * half_sine**2 / safe)
    return sine, cosine


def rotate_points(points: Tensor, axis_angle: Tensor) -> Tensor:
    """Rotate points [...,3] about the origin by axis-angle [...,3] radians (broadcast); differentiable at zero.

    Rodrigues' formula: p + sin(a)/a (r x p) + (1 - cos(a))/a^2 r x (r x p) with r the axis-angle vector and a its length.
    """
    points, axis_angle = torch.broadcast_tensors(points, axis_angle)
    sine, cosine = _rodrigues_factors(axis_angle.square().sum(-1, keepdim=True))
    turned = torch.linalg.cross(axis_angle, points)
    return points + sine * turned + cosine * torch.linalg.cross(axis_angle, turned)


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Axis-angle [...,3] radians to rotation matrices [...,3,3] (act on column vectors); differentiable at zero."""
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    columns = rotate_points(identity, axis_angle.unsqueeze(-2))
    return columns.transpose(-1, -2)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Rotation matrices [...,3,3] to axis-angle [...,3] radians with angle in [0, pi].

    Goes through the unit quaternion of largest diagonal (Shepperd 1978), so it is stable at 0 and at pi.
    """
    quaternion = _matrix_to_quaternion(matrix)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    sign = torch.where(real < 0, -torch.ones_like(real), torch.ones_like(real))
    real, imaginary = real * sign, imaginary * sign
    squared = imaginary.square().sum(-1, keepdim=True)
    small = squared < _SMALL_SQUARED_ANGLE
    length = torch.where(small, torch.ones_like(squared), squared).sqrt()
    # 2 atan(s/c)/s with s the sine and c the cosine of half the angle; its series in s^2 for small angles is 2 + s^2/3.
    factor = torch.where(small, 2 + squared / 3 + 3 * squared**2 / 20, 2 * torch.atan2(length, real) / length)
    return imaginary * factor


def _matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Unit quaternions [...,4], real part first, of rotation matrices [...,3,3] (sign arbitrary)."""
    xx, yy, zz = matrix[..., 0, 0], matrix[..., 1, 1], matrix[..., 2, 2]
    wx = matrix[..., 2, 1] - matrix[..., 1, 2]
    wy = matrix[..., 0, 2] - matrix[..., 2, 0]
    wz = matrix[..., 1, 0] - matrix[..., 0, 1]
    xy = matrix[..., 1, 0] + matrix[..., 0, 1]
    xz = matrix[..., 0, 2] + matrix[..., 2, 0]
    yz = matrix[..., 2, 1] + matrix[..., 1, 2]
    # Row i is 4 q_i q; the row of the largest diagonal never divides by a small number.
    products = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            torch.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            torch.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            torch.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    largest = products.diagonal(dim1=-2, dim2=-1).argmax(-1)
    index = largest[..., None, None].expand(*largest.shape, 1, 4)
    return F.normalize(products.gather(-2, index).squeeze(-2), dim=-1)


def euler_to_matrix(pitch_yaw_roll: Tensor) -> Tensor:
    """Pitch, yaw, roll [...,3] radians (signs in the module's docstring) to rotation matrices [...,3,3]."""
    pitch, yaw, roll = pitch_yaw_roll.unbind(-1)
    zero = torch.zeros_like(pitch)
    about_x = axis_angle_to_matrix(torch.stack([pitch, zero, zero], -1))
    about_y = axis_angle_to_matrix(torch.stack([zero, yaw, zero], -1))
    about_z = axis_angle_to_matrix(torch.stack([zero, zero, roll], -1))
    return about_y @ about_x @ about_z


def matrix_to_euler(matrix: Tensor) -> Tensor:
    """Rotation matrices [...,3,3] to pitch, yaw, roll [...,3] radians; pitch in [-pi/2, pi/2] (at its ends yaw and roll are not unique)."""
    pitch = torch.atan2(-matrix[..., 1, 2], torch.hypot(matrix[..., 0, 2], matrix[..., 2, 2]))
    yaw = torch.atan2(matrix[..., 0, 2], matrix[..., 2, 2])
    roll = torch.atan2(matrix[..., 1, 0], matrix[..., 1, 1])
    return torch.stack([pitch, yaw, roll], -1)


def euler_to_axis_angle(pitch_yaw_roll: Tensor) -> Tensor:
    """Pitch, yaw, roll [...,3] to axis-angle [...,3], both radians."""
    return matrix_to_axis_angle(euler_to_matrix(pitch_yaw_roll))


def axis_angle_to_euler(axis_angle: Tensor) -> Tensor:
    """Axis-angle [...,3] to pitch, yaw, roll [...,3], both radians."""
    return matrix_to_euler(axis_angle_to_matrix(axis_angle))


def matrix_to_6d(matrix: Tensor) -> Tensor:
    """Rotation matrices [...,3,3] to their first two columns [...,6] (Zhou et al. 2019, a continuous representation)."""
    return torch.cat([matrix[..., 0], matrix[..., 1]], -1)


def matrix_from_6d(six: Tensor) -> Tensor:
    """6-D representation [...,6] to rotation matrices [...,3,3] by Gram-Schmidt (Zhou et al. 2019, eq. 15)."""
    first = F.normalize(six[..., :3], dim=-1)
    second = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdim=True) * first
    second = F.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


def geodesic_distance(first: Tensor, second: Tensor) -> Tensor:
    """Angle [...] in radians, 0 to pi, between rotations given as matrices [...,3,3].

    Uses atan2 of the sine (from the antisymmetric part) and the cosine (from the trace), which is accurate at both ends.
    """
    relative = first.transpose(-1, -2) @ second
    trace = relative.diagonal(dim1=-2, dim2=-1).sum(-1)
    antisymmetric = relative - relative.transpose(-1, -2)
    twice_sine = antisymmetric.flatten(-2).norm(dim=-1) / 2**0.5
    return torch.atan2(twice_sine, trace - 1)


def euler_to_axis_angle_numpy(pitch_yaw_roll: np.ndarray) -> np.ndarray:
    """Pitch, yaw, roll [...,3] to axis-angle [...,3] radians, float32."""
    angles = np.asarray(pitch_yaw_roll, dtype=np.float64)
    turns = Rotation.from_euler("YXZ", angles.reshape(-1, 3)[:, [1, 0, 2]])
    return turns.as_rotvec().reshape(angles.shape).astype(np.float32)


def axis_angle_to_euler_numpy(axis_angle: np.ndarray) -> np.ndarray:
    """Axis-angle [...,3] to pitch, yaw, roll [...,3] radians, float32."""
    vectors = np.asarray(axis_angle, dtype=np.float64)
    yaw_pitch_roll = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_euler("YXZ")
    return yaw_pitch_roll[:, [1, 0, 2]].reshape(vectors.shape).astype(np.float32)

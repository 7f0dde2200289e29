"""Head rotations as networks see them: the first two columns of the rotation matrix, about the corpus' mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faces.rotations import axis_angle_to_matrix, matrix_from_6d, matrix_to_6d, matrix_to_axis_angle

NUM_CHANNELS = 6
# A corpus whose heads do not move at all would otherwise be divided by zero; radians.
_SMALLEST_DEVIATION = 1e-3


class HeadRepresentation(nn.Module):
    """Axis-angle `[..., 3]` radians to and from 6 normalised channels, continuous over all rotations.

    Axis-angle jumps by a full turn at 180 degrees and Euler angles fold at 90 degrees of pitch; two columns of the
    matrix do neither (Zhou et al., 2019), and any 6 numbers a network gives mean a rotation by Gram-Schmidt. The
    channels are the difference from the mean head of the corpus, all divided by one deviation: dividing each by its own
    would blow up the diagonal, which near rest hardly moves, and Euclidean distance would no longer follow the angle.
    Nothing is taken from a clip: a constant tilt is part of how a person holds the head.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", matrix_to_6d(torch.eye(3)))
        self.register_buffer("scale", torch.ones(()))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Take mean and standard deviation `[3]` of the corpus' axis-angle head rotations, radians. Raises ValueError
        for others.
        """
        mean, std = torch.as_tensor(mean, dtype=torch.float32), torch.as_tensor(std, dtype=torch.float32)
        if mean.shape != (3,) or std.shape != (3,):
            raise ValueError(
                f"head statistics have shapes {list(mean.shape)} and {list(std.shape)}; expected [3] each: mean and std of axis-angle in radians"
            )
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all() and (std >= 0).all()):
            raise ValueError("head statistics must be finite with std >= 0; prepare the corpus again")
        self.centre.copy_(matrix_to_6d(axis_angle_to_matrix(mean)))
        self.scale.copy_(std.square().mean().sqrt().clamp(min=_SMALLEST_DEVIATION))

    def forward(self, head: Tensor) -> Tensor:
        """Axis-angle `[..., 3]` to channels `[..., 6]`."""
        return (matrix_to_6d(axis_angle_to_matrix(head)) - self.centre) / self.scale

    def from_centre(self, head: Tensor) -> Tensor:
        """Axis-angle `[..., 3]` of heads as turned from the corpus' mean head: smooth but where a head looks away from
        it by 180 degrees.
        """
        centre = matrix_from_6d(self.centre)
        return matrix_to_axis_angle(centre.transpose(-1, -2) @ axis_angle_to_matrix(head))

    def inverse(self, channels: Tensor) -> Tensor:
        """Channels `[..., 6]` to axis-angle `[..., 3]` with angles in [0, pi]."""
        return matrix_to_axis_angle(matrix_from_6d(channels * self.scale + self.centre))

"""What every renderer shares: its interface and the camera that frames a head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from torch import Tensor


class RenderError(ValueError):
    """Nothing can be drawn: bad vertices, a bad size, or no way to draw without a screen on this machine."""


class MissingBackendError(RenderError):
    """An optional rendering library is not installed; the message has the command that installs it."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera looking from `eye` to `target` (metres, world axes), `up` upwards in the square image.

    `vertical_fov_degrees` is the full angle between the upper and the lower edge of the image.
    """

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    up: tuple[float, float, float] = (0.0, 1.0, 0.0)
    vertical_fov_degrees: float = 18.0

    @property
    def distance(self) -> float:
        """Metres from `eye` to `target`."""
        return float(np.linalg.norm(np.subtract(self.eye, self.target)))

    @property
    def clipping_range(self) -> tuple[float, float]:
        """Distances in metres of the near and the far plane, generous enough for any turn of the head."""
        return 0.3 * self.distance, 2.0 * self.distance


def frame_camera(vertices: np.ndarray, vertical_fov_degrees: float = 18.0, margin: float = 0.07) -> Camera:
    """The camera in front of `vertices` [V,3] that keeps all of them in a square image, `margin` of its side free at each edge.

    It looks along -z at the middle of the bounding box. The narrow angle gives the slight perspective of a portrait lens.
    """
    low, high = np.min(vertices, axis=0), np.max(vertices, axis=0)
    centre = (low + high) / 2
    half_side = float((high - low)[:2].max()) / 2 / (1 - 2 * margin)
    # The plane through the middle of the box has to fit: a head is widest there, not at the nose.
    distance = half_side / np.tan(np.radians(vertical_fov_degrees) / 2)
    x, y, z = (float(value) for value in centre)
    return Camera(eye=(x, y, z + float(distance)), target=(x, y, z), vertical_fov_degrees=vertical_fov_degrees)


class Renderer(ABC):
    """Draws vertices of one face model as square images of `size` pixels; a context manager that frees what it holds.

    Attributes: `size`, `camera`, `num_vertices`. Equal vertices give equal pixels on the same machine.
    """

    size: int
    camera: Camera
    num_vertices: int

    @abstractmethod
    def render(self, vertices: np.ndarray | Tensor) -> Iterator[np.ndarray]:
        """Images uint8 [size,size,3] RGB, first row on top, one for each frame of `vertices` [T,V,3] metres, drawn as asked for.

        Raises `RenderError` for vertices of another shape or that are not finite, and after `close`.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the drawing context; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[1:] != (self.num_vertices, 3):
            raise RenderError(
                f"vertices have shape {tuple(shape)}; this renderer takes [frames, {self.num_vertices}, 3] in metres"
            )

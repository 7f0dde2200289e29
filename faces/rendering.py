"""The choice of a rendering backend for a face model."""

from __future__ import annotations

import numpy as np
import torch

from faces.face_model import FaceModel
from faces.renderer import Camera, Renderer, RenderError, frame_camera

BACKENDS = ("pyvista", "pytorch3d")


def make_renderer(
    face_model: FaceModel, size: int = 512, backend: str = "pyvista", camera: Camera | None = None
) -> Renderer:
    """A renderer of `face_model` in images of `size` x `size` pixels; without `camera`, `frame_camera` of head and neck at rest.

    `backend` is "pyvista" (VTK, on any machine with EGL or OSMesa, no screen needed) or "pytorch3d" (batched and differentiable,
    on the GPU if there is one). Raises `RenderError` (its subclass `MissingBackendError` where PyTorch3D is not installed).
    """
    if backend not in BACKENDS:
        raise RenderError(f"no rendering backend is called {backend!r}; expected one of {BACKENDS}")
    if isinstance(size, bool) or not isinstance(size, int) or not 16 <= size <= 4096:
        raise RenderError(f"the image size is {size!r}; expected a whole number of pixels from 16 to 4096")
    neutral = neutral_vertices(face_model)
    camera = camera or frame_camera(neutral[_turning_vertices(face_model, neutral)])
    if backend == "pyvista":
        from faces.render_pyvista import PyVistaRenderer

        return PyVistaRenderer(face_model, neutral, size, camera)
    from faces.render_pytorch3d import PyTorch3DRenderer

    return PyTorch3DRenderer(face_model, neutral, size, camera)


def neutral_vertices(face_model: FaceModel) -> np.ndarray:
    """The mean face at rest, float32 [V,3] metres."""
    device = face_model.triangles.device
    with torch.no_grad():
        vertices = face_model(None, torch.zeros(face_model.num_expression, device=device))
    return vertices.cpu().numpy().astype(np.float32)


def _turning_vertices(face_model: FaceModel, neutral: np.ndarray) -> np.ndarray:
    """Boolean [V]: head and neck, which are what moves when the head nods; everything, if nothing moves."""
    device = face_model.triangles.device
    expression = torch.zeros(face_model.num_expression, device=device)
    with torch.no_grad():
        nodding = face_model(None, expression, None, torch.tensor([0.5, 0.0, 0.0], device=device))
    moved = np.linalg.norm(nodding.cpu().numpy() - neutral, axis=-1) > 1e-3
    return moved if moved.any() else np.ones(len(neutral), bool)

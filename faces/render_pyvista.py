"""The default renderer: PyVista (VTK) off screen, through EGL or OSMesa, on the CPU or whatever OpenGL device is there."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
import torch
from PIL import Image
from torch import Tensor

from faces.appearance import BACKGROUND_RGB, LIGHTS, SurfaceLayer, surface_layers
from faces.face_model import FaceModel
from faces.renderer import Camera, Renderer, RenderError

if TYPE_CHECKING:
    import pyvista

# Drawn at twice the size and averaged: on a software rasteriser twice as fast as VTK's own multisampling, and better looking.
_SUPERSAMPLING = 2
_WINDOW_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"
_PROBE_SECONDS = 60
_PROBE = (
    "from vtkmodules.vtkRenderingCore import vtkRenderWindow as W, vtkRenderer as R\n"
    "import vtkmodules.vtkRenderingOpenGL2\n"
    "w = W(); w.SetOffScreenRendering(1); w.SetSize(16, 16); w.AddRenderer(R()); w.Render()\n"
    "print('drawn by', w.GetClassName())"
)


@functools.cache
def offscreen_window_class() -> str | None:
    """The VTK window class that draws without a screen here, "" where VTK's own choice is right (macOS, Windows), None if none can.

    VTK dies of a segmentation fault where the libraries are missing, so each candidate first draws in a process of its own.
    A class named in `$VTK_DEFAULT_OPENGL_WINDOW` is the only one tried.
    """
    if sys.platform != "linux":
        return ""
    wished = os.environ.get(_WINDOW_VARIABLE)
    candidates = [wished] if wished else ["vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow"]
    if not wished and os.environ.get("DISPLAY"):
        candidates.append("vtkXOpenGLRenderWindow")
    for name in candidates:
        try:
            result = subprocess.run(
                [sys.executable, "-c", _PROBE],
                env={**os.environ, _WINDOW_VARIABLE: name},
                capture_output=True,
                text=True,
                timeout=_PROBE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            continue
        # VTK silently falls back to another class, which was then the one that drew.
        if result.returncode == 0 and "drawn by" in result.stdout:
            return result.stdout.split()[-1]
    return None


@contextmanager
def _window_choice(name: str) -> Iterator[None]:
    """VTK reads the class of a new window from the environment: set for the block, then put back."""
    before = os.environ.get(_WINDOW_VARIABLE)
    if name:
        os.environ[_WINDOW_VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_WINDOW_VARIABLE, None)
        else:
            os.environ[_WINDOW_VARIABLE] = before


class VertexNormals:
    """Unit vertex normals [V,3] of moving vertices with fixed triangles: the sum of the adjacent triangles' area vectors, normalised.

    (Area weighting as in Gouraud 1971 and later practice; a vertex without triangles gets +z.)
    """

    def __init__(self, triangles: np.ndarray, num_vertices: int) -> None:
        self._corners = [np.ascontiguousarray(triangles[:, corner]) for corner in range(3)]
        faces = np.repeat(np.arange(len(triangles)), 3)
        ones = np.ones(len(faces), np.float32)
        shape = (num_vertices, len(triangles))
        self._gather = scipy.sparse.csr_matrix((ones, (triangles.ravel(), faces)), shape=shape)

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        first, second, third = (vertices[corner] for corner in self._corners)
        edge, other = second - first, third - first
        area = np.empty_like(edge)
        for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
            area[:, k] = edge[:, i] * other[:, j] - edge[:, j] * other[:, i]
        normals = self._gather @ area
        length = np.sqrt(np.einsum("vk,vk->v", normals, normals))
        normals[length == 0] = (0, 0, 1)
        return normals / np.where(length == 0, 1, length)[:, None]


class PyVistaRenderer(Renderer):
    """Draws one frame after another in one VTK scene whose points and normals change in place; see `Renderer`.

    `neutral` [V,3] is the face at rest. Raises `RenderError` if no OpenGL context can be made without a screen.
    """

    def __init__(self, face_model: FaceModel, neutral: np.ndarray, size: int, camera: Camera) -> None:
        window_class = offscreen_window_class()
        if window_class is None:
            raise RenderError(
                "VTK can draw nothing here: neither EGL nor OSMesa made an off-screen context; install one of them "
                "(Debian, Ubuntu: apt-get install libegl1 libgl1-mesa-dri, or libosmesa6; Fedora: dnf install mesa-libEGL "
                "mesa-dri-drivers), or export the motion to .npz, .csv or .glb, which needs no rendering"
            )
        self.size, self.camera, self.num_vertices = size, camera, len(neutral)
        self._normals_of = VertexNormals(face_model.triangles.cpu().numpy(), len(neutral))
        self._points = neutral.astype(np.float32, copy=True)
        self._normals = self._normals_of(self._points).astype(np.float32)
        with _window_choice(window_class):
            self._plotter: pyvista.Plotter | None = self._make_scene(surface_layers(face_model, neutral))

    def _make_scene(self, layers: list[SurfaceLayer]) -> pyvista.Plotter:
        import pyvista
        from vtkmodules.util.numpy_support import numpy_to_vtk
        from vtkmodules.vtkCommonCore import vtkPoints

        side = self.size * _SUPERSAMPLING
        plotter = pyvista.Plotter(off_screen=True, window_size=[side, side], lighting="none")
        plotter.renderer.SetBackground(BACKGROUND_RGB)
        plotter.disable_anti_aliasing()
        # All layers share these arrays, so that a frame is uploaded once; `_points` and `_normals` are their memory.
        self._vtk_points, self._vtk_normals = numpy_to_vtk(self._points), numpy_to_vtk(self._normals)
        self._vtk_normals.SetName("Normals")
        points = vtkPoints()
        points.SetData(self._vtk_points)
        self._vtk_container = points
        self._meshes = []
        for layer in layers:
            mesh = pyvista.PolyData()
            mesh.SetPoints(points)
            mesh.faces = np.insert(layer.triangles, 0, 3, axis=1).ravel()
            mesh.GetPointData().SetNormals(self._vtk_normals)
            mesh.point_data["albedo"] = np.round(layer.vertex_rgb * 255).astype(np.uint8)
            finish = layer.finish
            actor = plotter.add_mesh(
                mesh,
                scalars="albedo",
                rgb=True,
                copy_mesh=False,
                ambient=finish.ambient,
                diffuse=finish.diffuse,
                specular=finish.specular,
                specular_power=finish.specular_power,
                render=False,
            )
            actor.prop.interpolation = "Phong"
            self._meshes.append(mesh)
        for light in LIGHTS:
            lamp = pyvista.Light(position=light.direction, focal_point=(0, 0, 0), color=light.rgb)
            lamp.positional = False
            plotter.add_light(lamp)
        self._place_camera(plotter)
        return plotter

    def _place_camera(self, plotter: pyvista.Plotter) -> None:
        view = plotter.camera
        view.position, view.focal_point, view.up = self.camera.eye, self.camera.target, self.camera.up
        view.view_angle = self.camera.vertical_fov_degrees
        view.clipping_range = self.camera.clipping_range

    def render(self, vertices: np.ndarray | Tensor) -> Iterator[np.ndarray]:
        frames = vertices.detach().cpu().numpy() if isinstance(vertices, torch.Tensor) else np.asarray(vertices)
        self._check_shape(frames.shape)
        return self._draw_all(frames)

    def _draw_all(self, frames: np.ndarray) -> Iterator[np.ndarray]:
        for index, frame in enumerate(frames):
            if not np.isfinite(frame).all():
                raise RenderError(f"vertices of frame {index} are not finite; expected metres")
            yield self._draw(frame.astype(np.float32, copy=False))

    def _draw(self, frame: np.ndarray) -> np.ndarray:
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkUnsignedCharArray

        window = None if self._plotter is None else self._plotter.render_window
        if window is None:
            raise RenderError("this renderer is closed; make another one with make_renderer")
        self._points[:] = frame
        self._normals[:] = self._normals_of(frame)
        for changed in (self._vtk_points, self._vtk_normals, self._vtk_container, *self._meshes):
            changed.Modified()
        window.Render()
        side = self.size * _SUPERSAMPLING
        pixels = vtkUnsignedCharArray()
        window.GetPixelData(0, 0, side - 1, side - 1, 0, pixels, 0)
        image = vtk_to_numpy(pixels).reshape(side, side, 3)[::-1]
        return np.asarray(Image.fromarray(image).reduce(_SUPERSAMPLING))

    def close(self) -> None:
        if self._plotter is not None:
            self._plotter.close()
            self._plotter = None

"""The optional renderer: PyTorch3D (Ravi et al., "Accelerating 3D Deep Learning with PyTorch3D", 2020), batched and differentiable.

PyTorch3D has no wheel in the package registry and is built from source by who wants it; nothing essential needs it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from faces.appearance import BACKGROUND_RGB, LIGHTS, surface_layers
from faces.face_model import FaceModel
from faces.renderer import Camera, MissingBackendError, Renderer, RenderError

INSTALL_COMMAND = 'pip install --no-build-isolation "git+https://github.com/facebookresearch/pytorch3d.git@v0.7.9"'
_SUPERSAMPLING = 2
_FRAMES_AT_A_TIME = 4
# Soft silhouettes: faces further than this probability's distance outside a pixel are left out (Liu et al. 2019, section 3).
_LEAST_PROBABILITY = 1e-4
_SILHOUETTE_FACES_PER_PIXEL = 24


def _import_pytorch3d() -> SimpleNamespace:
    try:
        from pytorch3d import ops, renderer, structures
    except ImportError as error:
        raise MissingBackendError(
            f"the pytorch3d backend is not installed ({error}); build it, with torch already there, by: {INSTALL_COMMAND} . "
            "It is optional: backend='pyvista' draws the same pictures"
        ) from error
    return SimpleNamespace(ops=ops, renderer=renderer, structures=structures)


class PyTorch3DRenderer(Renderer):
    """Draws batches of frames on `device` (default: the GPU if there is one) with the light and the camera of the default renderer.

    Beyond `Renderer`: `render_tensor` and `silhouette` carry gradients to the vertices. `neutral` [V,3] is the face at rest.
    Raises `MissingBackendError` where PyTorch3D is not installed.
    """

    def __init__(
        self,
        face_model: FaceModel,
        neutral: np.ndarray,
        size: int,
        camera: Camera,
        device: torch.device | str | None = None,
    ) -> None:
        self._pytorch3d = _import_pytorch3d()
        self.size, self.camera, self.num_vertices = size, camera, len(neutral)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._closed = False
        self._load_layers(face_model, neutral)
        # PyTorch3D looks along +z with x to the left; its own look-at turns our right-handed world into that without a mirror.
        rotation, translation = self._pytorch3d.renderer.look_at_view_transform(
            eye=(camera.eye,), at=(camera.target,), up=(camera.up,), device=self.device
        )
        near, far = camera.clipping_range
        self._cameras = self._pytorch3d.renderer.FoVPerspectiveCameras(
            znear=near,
            zfar=far,
            fov=camera.vertical_fov_degrees,
            R=rotation,
            T=translation,
            device=self.device,
        )

    def _load_layers(self, face_model: FaceModel, neutral: np.ndarray) -> None:
        """Triangles [F,3] of all layers, their corners' colours [F,3,3] and their Phong factors [F,4]."""
        layers = surface_layers(face_model, neutral)
        finishes = [(x.ambient, x.diffuse, x.specular, x.specular_power) for x in (y.finish for y in layers)]
        counts = [len(layer.triangles) for layer in layers]

        def tensor(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(self.device)

        self._triangles = tensor(np.concatenate([layer.triangles for layer in layers]).astype(np.int64))
        self._albedo = tensor(np.concatenate([layer.vertex_rgb[layer.triangles] for layer in layers]))
        self._finish = tensor(np.repeat(np.array(finishes, np.float32), counts, axis=0))

    def render(self, vertices: np.ndarray | Tensor) -> Iterator[np.ndarray]:
        frames = torch.as_tensor(vertices)
        self._check_shape(tuple(frames.shape))
        return self._draw_all(frames)

    def _draw_all(self, frames: Tensor) -> Iterator[np.ndarray]:
        for start in range(0, len(frames), _FRAMES_AT_A_TIME):
            with torch.no_grad():
                images = self.render_tensor(frames[start : start + _FRAMES_AT_A_TIME])
            yield from (images * 255).round().to(torch.uint8).cpu().numpy()

    def render_tensor(self, vertices: Tensor) -> Tensor:
        """Images float [T,size,size,3] in 0..1 of `vertices` [T,V,3]; gradients reach the vertices through the shading."""
        meshes = self._meshes(vertices)
        side = self.size * _SUPERSAMPLING
        fragments = self._rasterize(meshes, image_size=side, faces_per_pixel=1)
        colours = self._shade(meshes, fragments)
        pooled = F.avg_pool2d(colours.permute(0, 3, 1, 2), _SUPERSAMPLING)
        return pooled.permute(0, 2, 3, 1).clamp(0, 1)

    def silhouette(self, vertices: Tensor, sigma: float = 1e-5) -> Tensor:
        """Coverage float [T,size,size] in 0..1 of `vertices` [T,V,3], soft at the outline and differentiable.

        1 - prod_j (1 - sigmoid(d_j / sigma)) over the faces j near a pixel, d_j the signed squared distance to face j in units of
        half the image (Liu et al., "Soft Rasterizer", ICCV 2019). A larger `sigma` reaches further and is blurrier.
        """
        meshes = self._meshes(vertices)
        fragments = self._rasterize(
            meshes,
            image_size=self.size,
            faces_per_pixel=_SILHOUETTE_FACES_PER_PIXEL,
            blur_radius=math.log(1 / _LEAST_PROBABILITY - 1) * sigma,
        )
        blend = self._pytorch3d.renderer.BlendParams(sigma=sigma)
        shader = self._pytorch3d.renderer.SoftSilhouetteShader(blend_params=blend)
        return shader(fragments, meshes)[..., 3]

    def close(self) -> None:
        self._closed = True

    def _meshes(self, vertices: Tensor) -> Any:
        if self._closed:
            raise RenderError("this renderer is closed; make another one with make_renderer")
        self._check_shape(tuple(vertices.shape))
        vertices = vertices.to(self.device, torch.float32)
        if not torch.isfinite(vertices).all():
            raise RenderError("vertices are not finite; expected metres")
        faces = self._triangles.expand(len(vertices), -1, -1)
        return self._pytorch3d.structures.Meshes(verts=vertices, faces=faces)

    def _rasterize(self, meshes: Any, **settings: Any) -> Any:
        renderer = self._pytorch3d.renderer
        raster_settings = renderer.RasterizationSettings(**settings)
        return renderer.MeshRasterizer(cameras=self._cameras, raster_settings=raster_settings)(meshes)

    def _shade(self, meshes: Any, fragments: Any) -> Tensor:
        """Phong shading per pixel [T,S,S,3], the same sum as VTK's: back faces are lit as if they faced the camera."""
        interpolate = self._pytorch3d.ops.interpolate_face_attributes
        pixel_faces, weights = fragments.pix_to_face, fragments.bary_coords
        frames, faces = len(meshes), meshes.faces_packed()
        covered = pixel_faces[..., 0] >= 0
        index = pixel_faces[..., 0].clamp(min=0)

        def at_pixels(corners: Tensor) -> Tensor:
            return interpolate(pixel_faces, weights, corners)[..., 0, :]

        points = at_pixels(meshes.verts_packed()[faces])
        normals = F.normalize(at_pixels(meshes.verts_normals_packed()[faces]), dim=-1)
        albedo = at_pixels(self._albedo.repeat(frames, 1, 1))
        eye = torch.tensor(self.camera.eye, device=self.device)
        to_eye = F.normalize(eye - points, dim=-1)
        facing = (meshes.faces_normals_packed()[index] * (eye - points)).sum(-1, keepdim=True)
        normals = torch.where(facing < 0, -normals, normals)
        ambient, diffuse, specular, power = self._finish.repeat(frames, 1)[index].unsqueeze(-2).unbind(-1)
        colours = ambient * albedo
        for light in LIGHTS:
            towards = F.normalize(torch.tensor(light.direction, device=self.device), dim=0)
            rgb = torch.tensor(light.rgb, device=self.device)
            cosine = (normals * towards).sum(-1, keepdim=True)
            mirrored = 2 * cosine * normals - towards
            glint = (mirrored * to_eye).sum(-1, keepdim=True).clamp(min=1e-5) ** power
            colours = colours + diffuse * albedo * rgb * cosine.clamp(min=0)
            colours = colours + specular * rgb * glint * (cosine > 0)
        background = torch.tensor(BACKGROUND_RGB, device=self.device)
        return torch.where(covered[..., None], colours, background)

import subprocess
import sys

import numpy as np
import pytest
import torch

from faces import load_face_model
from faces.appearance import BACKGROUND_RGB, finish_name, surface_layers
from faces.arkit import ARKIT_INDEX
from faces.face_model import Material
from faces.render_pyvista import VertexNormals, offscreen_window_class
from faces.renderer import Camera, MissingBackendError, RenderError, frame_camera
from faces.rendering import make_renderer, neutral_vertices

SIZE = 96
needs_offscreen = pytest.mark.skipif(
    offscreen_window_class() is None, reason="VTK cannot draw off screen here (no EGL, no OSMesa)"
)


@pytest.fixture(scope="module")
def face():
    return load_face_model("procedural")


@pytest.fixture(scope="module")
def renderer(face):
    with make_renderer(face, SIZE) as renderer:
        yield renderer


def posed(face, head=(0.0, 0.0, 0.0), **weights):
    expression = torch.zeros(1, face.num_expression)
    for name, weight in weights.items():
        expression[0, ARKIT_INDEX[name]] = weight
    return face(None, expression, None, torch.tensor([head])).numpy()


def drawn(renderer, vertices):
    return next(iter(renderer.render(vertices)))


def covered(image, tolerance=6):
    """Where the picture is not background."""
    background = np.round(np.array(BACKGROUND_RGB) * 255)
    return np.abs(image.astype(float) - background).max(-1) > tolerance


def to_pixels(points, camera, size):
    """Pixel positions (x, y) of world points seen by a camera that looks along -z, by the pinhole equation."""
    relative = points - np.array(camera.eye)
    scale = 1 / np.tan(np.radians(camera.vertical_fov_degrees) / 2)
    right, up = relative[:, 0] / -relative[:, 2] * scale, relative[:, 1] / -relative[:, 2] * scale
    return np.stack([(1 + right) / 2 * size, (1 - up) / 2 * size], axis=1)


def test_the_camera_keeps_everything_in_view_with_a_margin():
    points = np.random.default_rng(0).uniform((-0.1, -0.2, -0.1), (0.1, 0.15, 0.1), (500, 3))
    camera = frame_camera(points, margin=0.1)
    pixels = to_pixels(points, camera, 100)
    assert pixels.min() > 4 and pixels.max() < 96
    assert pixels[:, 1].max() - pixels[:, 1].min() > 70


def test_normals_agree_with_a_loop_over_triangles():
    random = np.random.default_rng(1)
    vertices = random.normal(size=(12, 3)).astype(np.float32)
    triangles = np.array([random.choice(11, 3, replace=False) for _ in range(20)])
    expected = np.zeros((12, 3))
    for a, b, c in triangles:
        expected[[a, b, c]] += np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = np.where(lengths > 0, expected / np.maximum(lengths, 1e-12), (0, 0, 1))
    np.testing.assert_allclose(VertexNormals(triangles, 12)(vertices), expected, atol=1e-5)


def test_layers_keep_every_triangle_once(face):
    layers = surface_layers(face, neutral_vertices(face))
    together = np.concatenate([layer.triangles for layer in layers])
    assert sorted(map(tuple, together)) == sorted(map(tuple, face.triangles.tolist()))
    assert all(layer.vertex_rgb.min() >= 0 and layer.vertex_rgb.max() <= 1 for layer in layers)


def test_materials_find_their_finish_by_name():
    names = ("skin", "lips", "eye_white", "teeth", "gums_and_tongue", "mouth_interior", "shirt")
    found = [finish_name(Material(name, (0.5, 0.5, 0.5))) for name in names]
    assert found == ["skin", "skin", "eyes", "teeth", "mouth", "mouth", "cloth"]


@needs_offscreen
def test_equal_vertices_give_equal_pixels_in_any_renderer_and_order(face, renderer):
    rest, open_mouth = posed(face), posed(face, jawOpen=0.6)
    first = list(renderer.render(np.concatenate([rest, open_mouth, rest])))
    with make_renderer(face, SIZE) as another:
        second = list(another.render(torch.from_numpy(np.concatenate([open_mouth, rest]))))
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(first[0], second[1])
    np.testing.assert_array_equal(first[1], second[0])
    assert first[0].shape == (SIZE, SIZE, 3) and first[0].dtype == np.uint8


@needs_offscreen
def test_a_face_moved_right_and_up_moves_right_and_up_in_the_picture(face, renderer):
    def centre(image):
        rows, columns = np.nonzero(covered(image))
        return np.array([columns.mean(), rows.mean()])

    small = posed(face) * 0.4
    shift = np.array([0.03, 0.05, 0.0], np.float32)
    moved = centre(drawn(renderer, small + shift)) - centre(drawn(renderer, small))
    middle = small[0].mean(0, keepdims=True)
    expected = to_pixels(middle + shift, renderer.camera, SIZE) - to_pixels(middle, renderer.camera, SIZE)
    assert moved[0] > 3 and moved[1] < -3
    np.testing.assert_allclose(moved, expected[0], rtol=0.1)


@needs_offscreen
def test_an_opening_mouth_changes_only_the_lower_face(face, renderer):
    rest, opened = posed(face), posed(face, jawOpen=0.7)
    changed = np.abs(drawn(renderer, rest).astype(int) - drawn(renderer, opened)).max(-1) > 4
    moved = np.linalg.norm(opened[0] - rest[0], axis=-1) > 1e-4
    pixels = np.concatenate([to_pixels(vertices[0][moved], renderer.camera, SIZE) for vertices in (rest, opened)])
    (left, top), (right, bottom) = pixels.min(0) - 2, pixels.max(0) + 2
    rows, columns = np.nonzero(changed)
    assert len(rows) > 50
    assert rows.min() >= top and rows.max() <= bottom
    assert columns.min() >= left and columns.max() <= right
    lips = to_pixels(rest[0][face.regions["lips"]], renderer.camera, SIZE).mean(0)
    assert changed[round(lips[1]) + 3, round(lips[0])]


@needs_offscreen
def test_the_outline_is_that_of_the_projected_triangles(face, renderer):
    from PIL import Image, ImageDraw

    vertices = posed(face, head=(0.1, 0.4, 0.0))
    canvas = Image.new("L", (4 * SIZE, 4 * SIZE))
    pixels = to_pixels(vertices[0], renderer.camera, 4 * SIZE)
    draw = ImageDraw.Draw(canvas)
    for triangle in face.triangles.numpy():
        draw.polygon([tuple(point) for point in pixels[triangle]], fill=255)
    expected = np.asarray(canvas.reduce(4)) > 127
    found = covered(drawn(renderer, vertices))
    assert (found & expected).sum() / (found | expected).sum() > 0.97


@needs_offscreen
def test_bad_vertices_and_sizes_are_refused_with_what_was_expected(face, renderer):
    with pytest.raises(RenderError, match=rf"\[frames, {face.num_vertices}, 3\]"):
        renderer.render(np.zeros((1, 5, 3)))
    broken = posed(face)
    broken[0, 7, 1] = np.nan
    with pytest.raises(RenderError, match="frame 0 are not finite"):
        drawn(renderer, broken)
    with pytest.raises(RenderError, match="whole number of pixels"):
        make_renderer(face, 0)
    with pytest.raises(RenderError, match="backend is called 'opengl'"):
        make_renderer(face, SIZE, "opengl")


@needs_offscreen
def test_a_closed_renderer_says_so(face):
    renderer = make_renderer(face, 32)
    renderer.close()
    renderer.close()
    with pytest.raises(RenderError, match="closed"):
        drawn(renderer, posed(face))


@needs_offscreen
def test_a_given_camera_is_used(face):
    near = Camera(eye=(0.0, 0.0, 0.6), target=(0.0, 0.0, 0.0))
    far = Camera(eye=(0.0, 0.0, 2.4), target=(0.0, 0.0, 0.0))
    areas = []
    for camera in (near, far):
        with make_renderer(face, 64, camera=camera) as renderer:
            areas.append(covered(drawn(renderer, posed(face))).mean())
    assert areas[1] < 0.3 * areas[0]


@pytest.mark.slow
def test_a_machine_without_graphics_libraries_gets_an_error_and_no_crash():
    script = (
        "from faces import load_face_model\n"
        "from faces.renderer import RenderError\n"
        "from faces.rendering import make_renderer\n"
        "try:\n    make_renderer(load_face_model('procedural'), 32)\n"
        "except RenderError as error:\n    print('told:', error)\n"
    )
    environment = {"VTK_DEFAULT_OPENGL_WINDOW": "vtkXOpenGLRenderWindow", "PYTHONPATH": "."}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert not result.stdout or "apt-get install libegl1" in result.stdout


def test_without_pytorch3d_the_error_has_the_command_to_install_it(face, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    with pytest.raises(MissingBackendError, match=r"pip install --no-build-isolation .*pytorch3d\.git"):
        make_renderer(face, 32, "pytorch3d")


@needs_offscreen
def test_both_backends_draw_the_same_outline_and_nearly_the_same_picture(face):
    pytest.importorskip("pytorch3d", reason="PyTorch3D is not installed")
    vertices = posed(face, head=(0.1, 0.4, 0.05), jawOpen=0.3)
    # Large enough that the pixels on the outline, half covered, are few beside those inside.
    with make_renderer(face, 192) as renderer, make_renderer(face, 192, "pytorch3d") as other:
        reference, picture = drawn(renderer, vertices), drawn(other, vertices)
        tensor = torch.from_numpy(vertices).requires_grad_(True)
        silhouette = other.silhouette(tensor)
        silhouette.sum().backward()
    expected = covered(reference)
    for found in (covered(picture), silhouette[0].detach().cpu().numpy() > 0.5):
        assert (found & expected).sum() / (found | expected).sum() > 0.98
    assert np.abs(picture.astype(int) - reference)[expected].mean() < 8
    assert torch.isfinite(tensor.grad).all() and tensor.grad.abs().sum() > 0

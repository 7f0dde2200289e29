import json
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from faces import load_face_model
from faces.arkit import ARKIT_INDEX, ARKIT_NAMES, MIRRORED_PAIRS, arkit_vector, mirrored_name
from faces.face_model import REGION_NAMES, FaceModelError
from faces.ict_conversion import arkit_name, convert_obj_folder, distance_inside_polygon
from faces.ict_face import PATH_VARIABLE, IctFace

# A tiny stand-in with the layout of the real folder: a face of 20 x 20 vertices, then a few vertices for every other part.
GRID = 20
REGIONS = {"face": (0, 400), "face_narrow": (0, 300)}
for _index, _name in enumerate(
    [
        "head_neck",
        "mouth_socket",
        "eye_socket_left",
        "eye_socket_right",
        "gums_tongue",
        "teeth_upper",
        "teeth_lower",
        "eyeball_left",
        "eyeball_right",
    ]
):
    REGIONS[_name] = (400 + 12 * _index, 412 + 12 * _index)
REGIONS["teeth"] = (REGIONS["teeth_upper"][0], REGIONS["teeth_lower"][1])
KEPT, TOTAL = 508, 520


def tiny_mesh():
    """Vertices [520,3] in cm and quads: a curved face sheet and, for each other part, a strip of quads."""
    x, y = np.meshgrid(np.linspace(-7, 7, GRID), np.linspace(-9, 11, GRID))
    face = np.stack([x, y, 11 - 0.1 * x**2 - 0.01 * y**2], -1).reshape(-1, 3)
    parts, quads = [face], []
    ids = np.arange(400).reshape(GRID, GRID)
    quads += np.stack([ids[:-1, :-1], ids[:-1, 1:], ids[1:, 1:], ids[1:, :-1]], -1).reshape(-1, 4).tolist()
    for start in range(400, TOTAL, 12):
        low = -17.0 if start == 400 else 3.0
        depth = 9.0 if start < 484 else 8.0
        strip = [[column - 3.0, low + row, depth - 0.1 * column**2] for row in range(2) for column in range(6)]
        parts.append(np.array(strip))
        quads += [[start + c, start + c + 1, start + c + 7, start + c + 6] for c in range(5)]
    return np.concatenate(parts), quads


def write_obj(path, vertices, quads=()):
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += ["vt 0.0 0.0", "vt 1.0 1.0"]
    for index, quad in enumerate(quads):
        if index == 0:
            lines.append("usemtl M_Face")
        if index == (GRID - 1) ** 2:
            lines.append("usemtl M_ScleraLeft")
        corners = quad[:3] if index == 5 else quad
        lines.append("f " + " ".join(f"{corner + 1}/{1 + index % 2}/1" for corner in corners))
    path.write_text("\n".join(lines) + "\n")


def expression_names():
    names = []
    for name in ARKIT_NAMES:
        if name == "tongueOut":
            continue
        if name in ("browInnerUp", "cheekPuff"):
            names += [f"{name}_L", f"{name}_R"]
        elif name.endswith(("Left", "Right")) and name not in (
            "jawLeft",
            "jawRight",
            "mouthLeft",
            "mouthRight",
        ):
            names.append(name.replace("Left", "_L").replace("Right", "_R"))
        else:
            names.append(name)
    return names


@pytest.fixture(scope="module")
def obj_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("FaceXModel")
    vertices, quads = tiny_mesh()
    random = np.random.default_rng(0)
    write_obj(folder / "generic_neutral_mesh.obj", vertices, quads)
    for index in range(3):
        write_obj(folder / f"identity{index:03d}.obj", vertices + random.normal(0, 0.1, vertices.shape))
    names = expression_names()
    for name in names:
        write_obj(folder / f"{name}.obj", vertices + 0.5)
    contour = [[4 * np.sin(a) * 0.6, -3.5 + np.cos(a)] for a in np.linspace(0, 2 * np.pi, 12, endpoint=False)]
    brow = [[x, 6.0] for x in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)]
    spots = np.zeros((68, 2))
    spots[17:27], spots[48:60] = brow, contour
    nearest = np.linalg.norm(vertices[:400, None, :2] - spots, axis=-1).argmin(0)
    indices = {
        "expressions": names,
        "idx_to_landmark_verts": nearest.tolist(),
        "idx_to_fitting_verts": [0, 5, 515],
    }
    (folder / "vertex_indices.json").write_text(json.dumps(indices))
    return folder


@pytest.fixture(scope="module")
def converted(obj_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "tiny.npz"
    convert_obj_folder(obj_folder, out, REGIONS)
    return out


def test_conversion_keeps_the_listed_vertices_and_writes_deltas(converted):
    assert [path.name for path in converted.parent.iterdir()] == ["tiny.npz"]
    with np.load(converted, allow_pickle=False) as data:
        vertices, quads = tiny_mesh()
        np.testing.assert_allclose(data["neutral"], vertices[:KEPT], atol=1e-5)
        assert data["identity"].shape == (3, KEPT, 3)
        np.testing.assert_allclose(data["expression"].astype(float), 0.5, atol=1e-3)
        kept = [quad for quad in quads if max(quad) < KEPT]
        assert len(data["quads"]) == len(kept)
        assert len(data["faces"]) == 2 * len(kept) - 1
        assert data["quads"][5, 2] == data["quads"][5, 3]
        assert data["fitting_verts"].tolist() == [0, 5]
        assert str(data["units"]) == "cm"


def test_the_tiny_model_maps_shapes_by_name_into_metres(converted):
    face = IctFace(converted)
    assert (face.num_identity, face.num_expression, face.num_vertices) == (3, 52, KEPT)
    shapes = face.expression_basis
    torch.testing.assert_close(shapes[ARKIT_INDEX["jawOpen"]], torch.full((KEPT, 3), 0.005), atol=1e-5, rtol=0)
    # Both halves of a two-sided shape answer to one weight.
    torch.testing.assert_close(shapes[ARKIT_INDEX["browInnerUp"]], torch.full((KEPT, 3), 0.01), atol=1e-5, rtol=0)
    assert shapes[ARKIT_INDEX["tongueOut"]].abs().max() == 0
    assert face.triangles.max() < KEPT
    assert len(face.triangle_material) == len(face.triangles)


def test_names_are_translated_and_unknown_ones_refused():
    assert arkit_name("eyeBlink_L") == "eyeBlinkLeft"
    assert arkit_name("cheekPuff_R") == "cheekPuff"
    assert arkit_name("jawOpen") == "jawOpen"
    with pytest.raises(FaceModelError, match="earWiggle"):
        arkit_name("earWiggle_L")


def test_signed_distance_to_a_square():
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2.0]])
    points = np.array([[1, 1], [1, 0.25], [3, 1], [3, 3.0]])
    np.testing.assert_allclose(distance_inside_polygon(points, square), [1, 0.25, -1, -np.sqrt(2)])


def test_an_incomplete_folder_is_refused_and_leaves_nothing(obj_folder, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in obj_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "jawOpen.obj").write_text("v 0 0 0\n")
    with pytest.raises(FaceModelError, match=r"jawOpen\.obj.*1 vertices"):
        convert_obj_folder(folder, tmp_path / "out.npz", REGIONS)
    (folder / "jawOpen.obj").unlink()
    with pytest.raises(FaceModelError, match=r"jawOpen\.obj"):
        convert_obj_folder(folder, tmp_path / "out.npz", REGIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_the_command_says_in_one_line_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ict_face", str(tmp_path / "none"), str(tmp_path / "out.npz")])
    with pytest.raises(SystemExit) as ended, warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        runpy.run_module("faces.ict_face", run_name="__main__")  # it is imported already, of which runpy warns
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert not (tmp_path / "out.npz").exists()


def test_a_missing_or_foreign_file_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    with pytest.raises(FaceModelError, match=r"ICT-VGL/ICT-FaceKit.*python -m faces\.ict_face"):
        load_face_model("ict")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", neutral=np.zeros((3, 3)))
    np.save(tmp_path / "bare.npy", np.zeros(3))
    for name in ("absent.npz", "text.npz", "other.npz", "bare.npy"):
        with pytest.raises(FaceModelError, match=name):
            load_face_model("ict", tmp_path / name)


@pytest.fixture(scope="module")
def ict():
    path = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "models" / "ict_facekit.npz"
    if not path.is_file():
        pytest.skip("the shared folder with ict_facekit.npz is not beside the checkout")
    return load_face_model("ict", path)


@pytest.mark.real
def test_the_real_head_has_its_published_size_in_metres(ict):
    assert (ict.num_vertices, ict.num_identity, ict.num_expression) == (24591, 100, 52)
    assert len(ict.triangles) == len(ict.triangle_material) == 48836
    height = ict.neutral[:, 1].max() - ict.neutral[:, 1].min()
    assert 0.3 < height < 0.4


@pytest.mark.real
def test_the_real_head_opens_its_mouth_and_closes_it_again(ict):
    upper, lower = 62, 66
    with np.load(Path(__file__).resolve().parents[2].parent / "shared/data/models/ict_facekit.npz") as data:
        ids = torch.from_numpy(data["landmarks68"][[upper, lower]].astype(np.int64))
    assert torch.equal(ict.landmarks[[upper, lower]], ids) and len(ict.landmarks) == 68

    def gap(**weights):
        vertices = ict(None, torch.from_numpy(arkit_vector(**weights)), vertex_ids=ids)
        return (vertices[0] - vertices[1]).norm()

    assert gap() < 0.002
    assert gap(jawOpen=1.0) > 0.02
    # The published corrective brings the lips near each other, not quite together.
    assert gap(jawOpen=1.0, mouthClose=1.0) < 0.35 * gap(jawOpen=1.0)


@pytest.mark.real
def test_the_real_heads_sides_and_regions_are_right(ict):
    for left, right in MIRRORED_PAIRS:
        assert mirrored_name(left) == right
        movement = ict.expression_basis[ARKIT_INDEX[left]].norm(dim=-1)
        if left not in ("jawLeft", "mouthLeft") and not left.startswith("eyeLook"):
            assert (movement * ict.neutral[:, 0]).sum() / movement.sum() > 0.005, left
    regions = {name: set(ict.regions[name].tolist()) for name in REGION_NAMES}
    for first, second in [
        ("lips", "brows"),
        ("lips", "eyes"),
        ("lips", "jaw"),
        ("mouth", "eyes"),
        ("brows", "eyes"),
        ("neck", "mouth"),
    ]:
        assert not regions[first] & regions[second], (first, second)
    assert regions["lips"] < regions["mouth"]


def test_an_empty_path_means_the_environment_variable(tmp_path, monkeypatch):
    from faces import load_face_model
    from faces.face_model import FaceModelError

    monkeypatch.setenv("ICT_FACEKIT_NPZ", str(tmp_path / "named_by_the_environment.npz"))
    with pytest.raises(FaceModelError, match="named_by_the_environment"):
        load_face_model("ict", "")

import csv
import json
import struct

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

import faces.export
from faces import load_face_model
from faces.arkit import ARKIT_INDEX, ARKIT_NAMES
from faces.arkit_curves import read_arkit_csv
from faces.export import ExportError, export_motion
from faces.gltf import GltfError, write_glb
from faces.motion import FaceMotion
from faces.rotations import rotate_points

COMPONENTS = {5126: np.dtype("<f4"), 5125: np.dtype("<u4"), 5123: np.dtype("<u2")}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


@pytest.fixture(scope="module")
def face():
    return load_face_model("procedural")


def some_motion(frames=9, translation=False, fps=25.0):
    random = np.random.default_rng(3)
    return FaceMotion(
        expression=random.random((frames, 52)),
        head=random.normal(0, 0.3, (frames, 3)),
        translation=random.normal(0, 0.02, (frames, 3)) if translation else None,
        fps=fps,
    )


def read_glb(path):
    """The JSON document and the arrays of all accessors, with the container's own rules checked."""
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    text_length, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON" and text_length % 4 == 0
    document = json.loads(content[20 : 20 + text_length])
    binary_length, kind = struct.unpack_from("<I4s", content, 20 + text_length)
    binary = content[28 + text_length :]
    assert kind == b"BIN\x00" and binary_length % 4 == 0 and len(binary) == binary_length
    assert document["buffers"] == [{"byteLength": binary_length}]
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        kind, width = COMPONENTS[accessor["componentType"]], WIDTHS[accessor["type"]]
        assert view["byteOffset"] % 4 == 0 and view["byteOffset"] + view["byteLength"] <= binary_length
        assert accessor["count"] * width * kind.itemsize == view["byteLength"]
        values = np.frombuffer(binary, kind, accessor["count"] * width, view["byteOffset"]).reshape(-1, width)
        if "min" in accessor:
            np.testing.assert_array_equal(np.float32(accessor["min"]), values.min(0))
            np.testing.assert_array_equal(np.float32(accessor["max"]), values.max(0))
        arrays.append(values)
    return document, arrays


@pytest.mark.parametrize("translation", [False, True])
def test_curves_come_back_from_csv(tmp_path, translation):
    motion = some_motion(translation=translation)
    export_motion(motion, tmp_path / "a.csv")
    back, has_head = read_arkit_csv(tmp_path / "a.csv")
    assert has_head
    np.testing.assert_array_equal(back.expression, motion.expression)
    np.testing.assert_allclose(back.head, motion.head, atol=1e-6)
    assert back.fps == 25 and (back.translation is None) == (not translation)
    if translation:
        np.testing.assert_array_equal(back.translation, motion.translation)


@pytest.mark.parametrize("fps", [25.0, 29.97, 60.0])
def test_the_rate_comes_back_from_csv(tmp_path, fps):
    export_motion(some_motion(200, fps=fps), tmp_path / "a.csv")
    assert read_arkit_csv(tmp_path / "a.csv").motion.fps == pytest.approx(fps, abs=1e-3)


def test_csv_columns_are_named_and_read_by_name(tmp_path):
    motion = some_motion()
    motion.head[:] = (np.radians(10), 0, 0)
    export_motion(motion, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:2] == ["frame", "time_s"] and header[2:54] == list(ARKIT_NAMES)
    assert [float(rows[3][header.index(f"head_{angle}_deg")]) for angle in ("pitch", "yaw", "roll")] == [
        pytest.approx(10, abs=1e-4),
        pytest.approx(0, abs=1e-4),
        pytest.approx(0, abs=1e-4),
    ]
    order = np.random.default_rng(0).permutation(len(header))
    with (tmp_path / "b.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[row[i] for i in order] for row in (header, *rows)])
    np.testing.assert_array_equal(read_arkit_csv(tmp_path / "b.csv").motion.expression, motion.expression)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("jawOpen", "jawOpened"), "lacks the columns jawOpen"),
        (lambda text: text.replace("head_yaw_deg", "yaw"), "lacks the columns head_yaw_deg"),
        (lambda text: text.replace("frame,", "JAWOPEN,"), "two columns jawOpen"),
        (lambda text: text[: text.rindex(",")], "row 10 is not"),
        (lambda text: text.replace("\r\n3,0.12,", "\r\n3,soon,"), "row 5 is not"),
        (lambda text: text.replace("\r\n3,0.12,", "\r\n3,0.02,"), "does not rise"),
        (lambda text: text[: text.rindex(",") + 1] + "nan\r\n", "not finite"),
        (lambda text: "", "not a readable"),
    ],
)
def test_damaged_curves_are_refused_by_name(tmp_path, change, message):
    path = tmp_path / "a.csv"
    export_motion(some_motion(), path)
    path.write_bytes(change(path.read_bytes().decode()).encode())
    with pytest.raises(ExportError, match=rf"a\.csv.*{message}"):
        read_arkit_csv(path)


def test_glb_holds_the_face_and_every_moving_shape_by_name(tmp_path, face):
    export_motion(some_motion(), tmp_path / "a.glb", face)
    document, arrays = read_glb(tmp_path / "a.glb")
    (mesh,) = document["meshes"]
    with torch.no_grad():
        rest = face(None, torch.zeros(52)).numpy()
        shapes = (face(None, torch.eye(52)) - torch.from_numpy(rest)).numpy()
    names = mesh["extras"]["targetNames"]
    assert names == [name for name, shape in zip(ARKIT_NAMES, shapes, strict=True) if shape.any()]
    triangles = []
    for primitive in mesh["primitives"]:
        np.testing.assert_array_equal(arrays[primitive["attributes"]["POSITION"]], rest)
        normals = arrays[primitive["attributes"]["NORMAL"]]
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
        assert len(primitive["targets"]) == len(names) == len(mesh["weights"])
        for name, target in zip(names, primitive["targets"], strict=True):
            np.testing.assert_array_equal(arrays[target["POSITION"]], shapes[ARKIT_INDEX[name]])
        corners = arrays[primitive["indices"]].reshape(-1, 3)
        triangles += [(primitive["material"], *corner) for corner in corners.tolist()]
    expected = zip(face.triangle_material.tolist(), *face.triangles.T.tolist(), strict=True)
    assert sorted(triangles) == sorted(expected)
    assert [material["name"] for material in document["materials"]] == [m.name for m in face.materials]


def test_glb_animation_moves_the_face_as_the_model_does(tmp_path, face):
    motion = some_motion()
    export_motion(motion, tmp_path / "a.glb", face)
    document, arrays = read_glb(tmp_path / "a.glb")
    (animation,), (mesh,) = document["animations"], document["meshes"]
    curves = {channel["target"]["path"]: animation["samplers"][channel["sampler"]] for channel in animation["channels"]}
    names = mesh["extras"]["targetNames"]
    for sampler in curves.values():
        np.testing.assert_allclose(arrays[sampler["input"]][:, 0], np.arange(9) / 25, atol=1e-6)
    weights = arrays[curves["weights"]["output"]].reshape(9, len(names))
    np.testing.assert_array_equal(weights, motion.expression[:, [ARKIT_INDEX[name] for name in names]])
    quaternions = arrays[curves["rotation"]["output"]]
    np.testing.assert_allclose(Rotation.from_quat(quaternions).as_rotvec(), motion.head, atol=1e-5)
    assert ((quaternions[1:] * quaternions[:-1]).sum(1) > 0).all()

    # What a viewer shows at frame 4, at the vertices that turn rigidly with the head.
    primitive = mesh["primitives"][0]
    vertices = arrays[primitive["attributes"]["POSITION"]].astype(np.float64)
    for weight, target in zip(weights[4], primitive["targets"], strict=True):
        vertices = vertices + weight * arrays[target["POSITION"]]
    head, body = document["nodes"]
    shown = Rotation.from_quat(quaternions[4]).apply(vertices + body["translation"]) + head["translation"]
    with torch.no_grad():
        expected = face(None, torch.from_numpy(motion.expression[4]), None, torch.from_numpy(motion.head[4]))
    rigid = (face.head_weight == 1).numpy()
    np.testing.assert_allclose(shown[rigid], expected.numpy()[rigid], atol=1e-5)


def test_glb_carries_the_identity_of_the_motion(tmp_path, face):
    identity = np.linspace(-1, 1, face.num_identity).astype(np.float32)
    motion = some_motion(2).replace(identity=identity, identity_space=face.name)
    export_motion(motion, tmp_path / "a.glb", face)
    document, arrays = read_glb(tmp_path / "a.glb")
    with torch.no_grad():
        expected = face(torch.from_numpy(identity), torch.zeros(52)).numpy()
    position = document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
    np.testing.assert_array_equal(arrays[position], expected)


def test_a_quaternion_curve_never_jumps_to_its_opposite(tmp_path, face):
    turning = np.linspace(0, 2.2 * np.pi, 30)[:, None] * np.array([[0.0, 1.0, 0.0]])
    motion = FaceMotion(expression=np.zeros((30, 52)), head=turning)
    write_glb(motion, face, tmp_path / "a.glb")
    _, arrays = read_glb(tmp_path / "a.glb")
    (quaternions,) = [a for a in arrays if a.shape == (30, 4)]
    assert ((quaternions[1:] * quaternions[:-1]).sum(1) > 0.9).all()
    turned = rotate_points(torch.tensor([0.0, 0.0, 1.0]), torch.from_numpy(motion.head))
    np.testing.assert_allclose(Rotation.from_quat(quaternions).apply([0, 0, 1]), turned, atol=1e-5)


def test_npz_is_our_own_container(tmp_path):
    motion = some_motion(translation=True)
    export_motion(motion, tmp_path / "a.npz")
    np.testing.assert_array_equal(FaceMotion.load(tmp_path / "a.npz").translation, motion.translation)


def test_what_cannot_be_exported_is_named_and_leaves_nothing(tmp_path, face):
    flame = FaceMotion(expression=np.zeros((2, 50)), head=np.zeros((2, 3)), space="flame")
    cases = [
        (some_motion(), tmp_path / "a.fbx", face, r"\.npz, \.csv, \.glb, \.mp4"),
        (some_motion(), tmp_path / "nowhere" / "a.csv", face, "nowhere does not exist"),
        (some_motion(), tmp_path / "a.glb", None, "give face_model"),
        (some_motion(), tmp_path / "a.mp4", None, "give face_model"),
        (flame, tmp_path / "a.csv", face, "'flame' space"),
    ]
    for motion, path, model, message in cases:
        with pytest.raises(ExportError, match=message):
            export_motion(motion, path, model)
    with pytest.raises(GltfError, match="'flame' space"):
        export_motion(flame, tmp_path / "a.glb", face)
    with pytest.raises(GltfError, match="no frames"):
        export_motion(some_motion()[:0], tmp_path / "a.glb", face)
    with pytest.raises(GltfError, match=r"takes \[10\]"):
        export_motion(some_motion(), tmp_path / "a.glb", face, identity=np.zeros(4))
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_leaves_no_half_of_a_file(tmp_path, face, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    for suffix, kind in ((".csv", ExportError), (".glb", GltfError)):
        with pytest.raises(kind, match="No space left on device"):
            export_motion(some_motion(2), tmp_path / f"a{suffix}", face)
    assert not list(tmp_path.iterdir())
    assert set(faces.export.SUFFIXES) == {".npz", ".csv", ".glb", ".mp4"}

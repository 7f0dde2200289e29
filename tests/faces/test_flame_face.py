"""FLAME's arithmetic on a file of its layout: skinning against a slow reference, rigid parts, safe conversion, refusals."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_flame import BUST, JAW, RIGID_HEAD, flame_arrays, flame_masks, write_pickles

from faces import load_face_model
from faces.face_model import REGION_NAMES, FaceModelError
from faces.flame_conversion import convert_flame, main
from faces.flame_face import PARENTS, FlameFace
from faces.rotations import axis_angle_to_matrix, rotate_points


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flame")
    model, masks = write_pickles(folder)
    assert main([str(model), str(folder / "flame.npz"), "--masks", str(masks)]) == 0
    return folder / "flame.npz"


@pytest.fixture(scope="module")
def face(file: Path) -> FlameFace:
    return FlameFace(file)


def drawn(*shape: int, scale: float = 0.4) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def slow_vertices(identity: np.ndarray, expression: np.ndarray, neck: torch.Tensor, jaw: torch.Tensor) -> np.ndarray:
    """Vertex by vertex and joint by joint with 4 x 4 matrices."""
    data = flame_arrays()
    shaped = (
        data["v_template"] + data["shapedirs"][:, :, :100] @ identity + data["shapedirs"][:, :, 300:350] @ expression
    )
    joints = data["J_regressor"] @ shaped
    still = torch.zeros(3, dtype=torch.float64)
    turns = [axis_angle_to_matrix(turn.double()).numpy() for turn in (still, neck, jaw, still, still)]
    corrective = np.concatenate([(turn - np.eye(3)).ravel() for turn in turns[1:]])
    posed = shaped + data["posedirs"] @ corrective
    transforms = []
    for joint, turn in enumerate(turns):
        local = np.eye(4)
        local[:3, :3] = turn
        local[:3, 3] = joints[joint] - (joints[PARENTS[joint]] if joint else 0)
        transforms.append(local if joint == 0 else transforms[PARENTS[joint]] @ local)
    result = np.zeros_like(posed)
    for vertex in range(len(posed)):
        for joint in range(5):
            back = np.eye(4)
            back[:3, 3] = -joints[joint]
            here = transforms[joint] @ back @ np.append(posed[vertex], 1)
            result[vertex] += data["weights"][vertex, joint] * here[:3]
    return result


def test_vertices_agree_with_a_slow_reference(face: FlameFace) -> None:
    identity, expression, jaw, head = drawn(100, scale=1), drawn(50, scale=1), drawn(3), drawn(4)[:3]
    slow = slow_vertices(identity.double().numpy(), expression.double().numpy(), head, jaw)
    np.testing.assert_allclose(face(identity, expression, jaw, head).numpy(), slow, atol=2e-6)


def test_a_batch_is_its_rows_and_chosen_vertices_are_those_of_the_whole(face: FlameFace) -> None:
    identity, expression, jaw, head = drawn(100), drawn(5, 50), drawn(5, 3), drawn(3)
    whole = face(identity, expression, jaw, head)
    assert whole.shape == (5, 40, 3)
    for row in range(5):
        torch.testing.assert_close(whole[row], face(identity, expression[row], jaw[row], head))
    ids = torch.tensor([3, 21, 35])
    torch.testing.assert_close(face(identity, expression, jaw, head, ids), whole[:, ids])
    assert torch.equal(face(None, torch.zeros(50)), face.template)


def test_the_head_turns_rigidly_about_the_neck_and_leaves_the_bust(face: FlameFace) -> None:
    rest, head = face(None, drawn(50)), drawn(3)
    turned = face(None, drawn(50), None, head)
    assert torch.equal(turned[list(BUST)], rest[list(BUST)])
    ids = [*RIGID_HEAD, *JAW]
    centre = rest[ids].mean(0)
    expected = rotate_points(rest[ids] - centre, head)
    torch.testing.assert_close(turned[ids] - turned[ids].mean(0), expected - expected.mean(0), atol=1e-5, rtol=1e-4)
    opened = face(None, drawn(50), drawn(3))
    assert torch.equal(opened[list(RIGID_HEAD)], rest[list(RIGID_HEAD)])
    assert (opened[list(JAW)] - rest[list(JAW)]).norm(dim=-1).min() > 1e-4


def test_gradients_are_finite_at_rest(face: FlameFace) -> None:
    head = torch.zeros(3, requires_grad=True)
    face(None, torch.zeros(50), None, head).square().sum().backward()
    assert torch.isfinite(head.grad).all() and head.grad.any()


def test_regions_are_those_of_the_masks_and_the_door_opens_it(face: FlameFace, file: Path) -> None:
    assert set(REGION_NAMES) <= set(face.regions)
    assert face.regions["lips"].tolist() == [30, 31, 32] and face.regions["jaw"].tolist() == list(JAW)
    assert load_face_model("flame", file).num_vertices == 40


def test_an_npz_of_masks_serves_as_well(tmp_path: Path, file: Path) -> None:
    model, _ = write_pickles(tmp_path)
    np.savez(tmp_path / "masks.npz", **flame_masks())
    convert_flame(model, tmp_path / "masks.npz", tmp_path / "other.npz")
    with np.load(file) as first, np.load(tmp_path / "other.npz") as second:
        assert all(np.array_equal(first[name], second[name]) for name in first.files)


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "sprung",)

    _, masks = write_pickles(tmp_path)
    (tmp_path / "trap.pkl").write_bytes(pickle.dumps({"v_template": Trap()}))
    with pytest.raises(FaceModelError, match="which no FLAME file needs"):
        convert_flame(tmp_path / "trap.pkl", masks, tmp_path / "out.npz")
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.update(weights=data["weights"][:, :4]), "weights is"),
        (lambda data: data.update(shapedirs=data["shapedirs"][..., :200]), "shapedirs is"),
        (lambda data: data["v_template"].__setitem__((0, 0), np.nan), "not finite"),
        (lambda data: data.pop("posedirs"), "posedirs"),
    ],
)
def test_files_of_another_layout_are_refused(change, said: str, tmp_path: Path) -> None:
    arrays = flame_arrays()
    change(arrays)
    model, masks = write_pickles(tmp_path, arrays)
    with pytest.raises(FaceModelError, match=said):
        convert_flame(model, masks, tmp_path / "out.npz")
    assert not list(tmp_path.glob("out.npz*"))


def test_without_a_file_it_says_which_to_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLAME_NPZ", raising=False)
    with pytest.raises(FaceModelError, match="from FLAME's authors"):
        load_face_model("flame")
    with pytest.raises(FaceModelError, match="no such file"):
        load_face_model("flame", tmp_path / "absent.npz")
    (tmp_path / "no.npz").write_text("nothing")
    with pytest.raises(FaceModelError, match="cannot be read"):
        load_face_model("flame", tmp_path / "no.npz")

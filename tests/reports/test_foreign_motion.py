from pathlib import Path

import numpy as np
import pytest

from faces.motion import FaceMotion, MotionError
from reports.errors import ReportError
from reports.foreign_motion import read_motion
from reports.metric_choice import choose_metrics

RNG = np.random.default_rng(0)
FRAMES = 12
EXPRESSION = RNG.uniform(0, 1, (FRAMES, 52)).astype(np.float32)
FLAME = RNG.normal(size=(FRAMES, 50)).astype(np.float32)
JAW, HEAD = (RNG.normal(0, 0.1, (FRAMES, 3)).astype(np.float32) for _ in range(2))


def write(path: Path, content) -> Path:
    if isinstance(content, dict):
        np.savez(path, **content)
    else:
        np.save(path, content)
    return path


@pytest.mark.parametrize(
    ("space", "columns", "has_head"),
    [
        ("arkit", [EXPRESSION], False),
        ("arkit", [EXPRESSION, HEAD], True),
        ("flame", [FLAME, JAW], False),
        ("flame", [FLAME, JAW, HEAD], True),
    ],
)
def test_bare_arrays_are_read_by_the_stated_columns(tmp_path: Path, space: str, columns: list, has_head: bool) -> None:
    motion, told = read_motion(write(tmp_path / "a.npy", np.concatenate(columns, 1)), space)
    assert told == has_head and motion.space == space
    np.testing.assert_array_equal(motion.expression, columns[0])
    np.testing.assert_array_equal(motion.jaw, JAW if space == "flame" else np.zeros((FRAMES, 3)))
    np.testing.assert_array_equal(motion.head, HEAD if has_head else np.zeros((FRAMES, 3)))


@pytest.mark.parametrize(
    ("arrays", "has_head"),
    [
        ({"expression": FLAME, "jaw": JAW}, False),
        ({"exp": FLAME, "jaw_pose": JAW, "global_pose": HEAD}, True),
        ({"expr": FLAME, "jaw": JAW, "pose": HEAD}, True),
        ({"exp": FLAME, "pose": np.concatenate([HEAD, JAW], 1)}, True),
        ({"expression": np.concatenate([FLAME, FLAME], 1), "jaw": JAW}, False),
    ],
)
def test_flame_parameters_are_found_under_their_usual_names(tmp_path: Path, arrays: dict, has_head: bool) -> None:
    motion, told = read_motion(write(tmp_path / "a.npz", arrays), "flame")
    assert told == has_head and motion.space == "flame"
    np.testing.assert_array_equal(motion.expression, FLAME)
    np.testing.assert_array_equal(motion.jaw, JAW)
    np.testing.assert_array_equal(motion.head, HEAD if has_head else np.zeros((FRAMES, 3)))


def test_our_own_npz_stays_what_it_is(tmp_path: Path) -> None:
    motion = FaceMotion(expression=EXPRESSION, head=HEAD)
    motion.save(tmp_path / "a.npz")
    read, has_head = read_motion(tmp_path / "a.npz", "arkit")
    assert has_head and read.to_bytes() == motion.to_bytes()


def test_another_rate_is_kept_for_whoever_checks_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", {"exp": FLAME, "jaw": JAW, "fps": np.array(30.0)})
    assert read_motion(path, "flame").motion.fps == 30


@pytest.mark.parametrize(
    ("name", "content", "space", "said"),
    [
        ("a.npy", EXPRESSION[:, :51], "arkit", r"shape \[12, 51\]; expected \[T, 52\] or \[T, 55\] for the arkit space: 52 coefficients, and"),
        ("a.npy", FLAME, "flame", r"expected \[T, 53\] or \[T, 56\] for the flame space: 50 coefficients, jaw \[3\]"),
        ("a.npy", EXPRESSION[0], "arkit", r"shape \[52\]"),
        ("a.npy", np.array([{"a": 1}], dtype=object), "arkit", "cannot be read"),
        ("a.npy", EXPRESSION * np.nan, "arkit", "expression is not finite"),
        ("a.npz", {"exp": FLAME}, "flame", r"exp \[12, 50\]: FLAME parameters without a jaw"),
        ("a.npz", {"exp": FLAME, "jaw": JAW[:5]}, "flame", r"jaw has shape \(5, 3\)"),
        ("a.npz", {"vertices": FLAME}, "flame", "not a motion of format"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_in_one_sentence(tmp_path: Path, name: str, content, space: str, said: str) -> None:
    path = tmp_path / name
    if name.endswith(".npy"):
        np.save(path, content, allow_pickle=True)
    else:
        write(path, content)
    with pytest.raises((ReportError, MotionError), match=said) as caught:
        read_motion(path, space)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_without_a_mesh_coefficients_are_scored_and_the_message_says_what_to_get() -> None:
    chosen = [info.name for info in choose_metrics(None, True, has_mesh=False)]
    assert chosen[0] == "coefficient_error_sd" and "head_jerk_ratio" in chosen and "lip_dtw_mm" not in chosen
    with pytest.raises(ReportError, match=r"lip_dtw_mm reads vertices.*flame\.is\.tue\.mpg\.de"):
        choose_metrics(["lip_dtw_mm"], False, has_mesh=False)

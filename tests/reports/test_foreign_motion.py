from pathlib import Path

import numpy as np
import pytest

from faces.arkit import ARKIT_NAMES
from faces.motion import FaceMotion, MotionError
from reports.errors import ReportError
from reports.foreign_motion import read_motion
from reports.metric_choice import choose_metrics
from reports.motion_files import MotionFiles

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


def write_curves(path: Path, values: np.ndarray) -> Path:
    rows = [ARKIT_NAMES, *values.tolist()]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def test_curves_without_a_head_have_none_and_percent_is_refused(tmp_path: Path) -> None:
    motion, has_head = read_motion(write_curves(tmp_path / "a.csv", 1.5 * EXPRESSION), "arkit")
    np.testing.assert_array_equal(motion.expression, 1.5 * EXPRESSION)
    assert not has_head
    with pytest.raises(ReportError, match=r"b\.csv has coefficients from .* divide percent by 100"):
        read_motion(write_curves(tmp_path / "b.csv", 100 * EXPRESSION), "arkit")
    (tmp_path / "c.csv").write_text("jawOpen\n1\n")
    with pytest.raises(ReportError, match=r"c\.csv: lacks the columns eyeBlinkLeft"):
        read_motion(tmp_path / "c.csv", "arkit")


def test_a_folder_in_which_some_files_have_a_head_is_refused_by_name(tmp_path: Path) -> None:
    for key in ("b", "c"):
        np.save(tmp_path / f"{key}.npy", EXPRESSION)
    frames = dict.fromkeys("abc", FRAMES)
    np.save(tmp_path / "a.npy", np.concatenate([EXPRESSION, HEAD], 1))
    with pytest.raises(ReportError, match=r"a\.npy says how the head turns and .*b\.npy does not, as 2 of 3 files"):
        MotionFiles(tmp_path, frames, "arkit")
    np.save(tmp_path / "a.npy", EXPRESSION)
    assert not MotionFiles(tmp_path, frames, "arkit").gives_head


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
        ("a.npz", {"expression": EXPRESSION, "head": HEAD}, "arkit", r"expression \[12, 52\], head \[12, 3\] without a format.*corpus is in arkit; expected an npz of FaceMotion"),
        ("a.npy", 100 * EXPRESSION, "arkit", "ARKit's are 0 to 1: divide percent by 100"),
        ("a.npy", EXPRESSION - 2, "arkit", r"coefficients from -1\.99"),
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

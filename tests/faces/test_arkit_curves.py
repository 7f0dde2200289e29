import csv
from pathlib import Path

import numpy as np
import pytest

from faces.arkit import ARKIT_NAMES
from faces.arkit_curves import read_arkit_csv
from faces.export import ExportError

ANGLES = (
    "HeadYaw",
    "HeadPitch",
    "HeadRoll",
    "LeftEyeYaw",
    "LeftEyePitch",
    "LeftEyeRoll",
    "RightEyeYaw",
    "RightEyePitch",
    "RightEyeRoll",
)
CURVES = np.random.default_rng(0).uniform(0, 1, (150, 52)).astype(np.float32)


def pascal(name: str) -> str:
    return name[0].upper() + name[1:]


def write(path: Path, header: list[str], rows: list[list]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def live_link(
    path: Path, fps: int, frames: int, first: int = 0, jitter: float = 0.0, without: tuple[int, ...] = ()
) -> Path:
    """As the app writes it: names in another order and case, the frame's number with a fraction, angles of head and eyes behind."""
    order = np.random.default_rng(1).permutation(52)
    rows = []
    for number in range(frames):
        at = first + number
        fraction = jitter * (number % 3) / 3
        timecode = f"17:59:{50 + at // fps:02d}:{at % fps + fraction:06.3f}"
        if number not in without:
            rows.append([timecode, 61, *CURVES[number, order].tolist(), *[0.3] * 9])
    return write(path, ["Timecode", "BlendShapeCount", *(pascal(ARKIT_NAMES[i]) for i in order), *ANGLES], rows)


@pytest.mark.parametrize(("fps", "frames"), [(25, 60), (30, 45), (60, 150), (60, 61)])
@pytest.mark.parametrize("first", [0, 7])
@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_files_of_live_link_face_are_read_with_their_rate(
    tmp_path: Path, fps: int, frames: int, first: int, jitter: float
) -> None:
    motion, has_head = read_arkit_csv(live_link(tmp_path / "a.csv", fps, frames, first, jitter))
    np.testing.assert_array_equal(motion.expression, CURVES[:frames])
    assert motion.fps == fps and motion.space == "arkit"
    assert not has_head and not motion.head.any(), "the unit and signs of its angles are not stated"


def test_a_timecode_that_gives_no_rate_is_told(tmp_path: Path) -> None:
    assert read_arkit_csv(live_link(tmp_path / "a.csv", 25, 20)).motion.fps == 25
    with pytest.raises(ExportError, match=r"b\.csv: its Timecode counts to frame 39 within one second"):
        read_arkit_csv(live_link(tmp_path / "b.csv", 60, 40))
    with pytest.raises(ExportError, match=r"c\.csv: frames are missing before row 32 by its Timecode"):
        read_arkit_csv(live_link(tmp_path / "c.csv", 25, 60, without=(30, 31, 32)))
    text = live_link(tmp_path / "d.csv", 25, 60).read_text()
    (tmp_path / "d.csv").write_text(text.replace("17:59:51:03", "17:59:51:01"))
    with pytest.raises(ExportError, match=r"row 30 has no later Timecode"):
        read_arkit_csv(tmp_path / "d.csv")
    (tmp_path / "d.csv").write_text(text.replace("17:59:51:03.000", "yesterday"))
    with pytest.raises(ExportError, match=r"row 30 has the Timecode 'yesterday'; expected hours"):
        read_arkit_csv(tmp_path / "d.csv")


@pytest.mark.parametrize("change", [str, pascal, str.upper, str.lower, lambda name: f" {name} "])
def test_the_names_alone_are_enough_in_any_case(tmp_path: Path, change) -> None:
    path = write(tmp_path / "a.csv", [change(name) for name in ARKIT_NAMES], CURVES.tolist())
    motion, has_head = read_arkit_csv(path)
    np.testing.assert_array_equal(motion.expression, CURVES)
    assert motion.fps == 25 and not has_head
    timed = [[number / 60, *row] for number, row in enumerate(CURVES.tolist())]
    assert read_arkit_csv(write(path, ["Time_s", *map(change, ARKIT_NAMES)], timed)).motion.fps == 60


def test_a_file_without_rows_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"a\.csv"):
        read_arkit_csv(write(tmp_path / "a.csv", list(ARKIT_NAMES), []))

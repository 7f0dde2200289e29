import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_up_videos import plain_pictures
from scipy.spatial.transform import Rotation

from corpora.tracker import (
    TrackerError,
    colour_histogram,
    pose_from_matrix,
    quiet_native_log,
    scores_to_arkit,
    track_pictures,
)
from corpora.video import VideoPicture, read_pictures
from faces.arkit import ARKIT_INDEX, ARKIT_NAMES, MIRROR_PERMUTATION
from faces.rotations import axis_angle_to_euler_numpy

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
MODEL = SHARED / "data/models/face_landmarker.task"
real = pytest.mark.skipif(not MODEL.is_file(), reason=f"real recordings and tracker model are not in {SHARED}")


def test_scores_are_placed_by_name_whatever_their_order():
    names = ["_neutral", *sorted(name for name in ARKIT_NAMES if name != "tongueOut")]
    scores = np.linspace(0, 1, len(names))
    vector = scores_to_arkit(names, scores)
    assert vector[ARKIT_INDEX["tongueOut"]] == 0
    for name, score in list(zip(names, scores, strict=True))[1:]:
        assert vector[ARKIT_INDEX[name]] == pytest.approx(score)


def test_unknown_score_names_are_not_dropped_silently():
    with pytest.raises(KeyError):
        scores_to_arkit(["jawOpen", "jawOpened"], [0.1, 0.2])


def test_pose_of_a_matrix_is_its_rotation_and_metres_even_where_it_scales():
    turn = np.array([0.2, -0.5, 0.1])
    matrix = np.eye(4)
    matrix[:3, :3] = 1.3 * Rotation.from_rotvec(turn).as_matrix()
    matrix[:3, 3] = (1.0, -2.0, -40.0)
    head, translation = pose_from_matrix(matrix)
    assert np.allclose(head, turn, atol=1e-5)
    assert np.allclose(translation, (0.01, -0.02, -0.4))


def test_histogram_sums_to_one_and_tells_colours_apart():
    red, blue = np.full((50, 40, 3), (200, 0, 0), np.uint8), np.full((50, 40, 3), (0, 0, 200), np.uint8)
    assert colour_histogram(red).sum() == pytest.approx(1)
    assert np.abs(colour_histogram(red) - colour_histogram(blue)).sum() == pytest.approx(2)


def test_native_log_is_silenced_and_standard_error_comes_back(capfd):
    import os

    with quiet_native_log():
        os.write(2, b"chatter")
    os.write(2, b"message")
    assert capfd.readouterr().err == "message"


def test_missing_mediapipe_says_how_to_install_it(tmp_path):
    code = (
        "import sys; sys.modules['mediapipe'] = None\n"
        "from corpora.tracker import require_mediapipe\n"
        "try:\n    require_mediapipe()\nexcept ValueError as error:\n    print(error)"
    )
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "pip install 'persona-faces[track]'" in answer.stdout


def test_file_that_is_no_model_is_named(tmp_path):
    pytest.importorskip("mediapipe")
    model = tmp_path / "face_landmarker.task"
    model.write_bytes(b"not a model" * 100)
    with pytest.raises(TrackerError, match=r"face_landmarker\.task"):
        track_pictures([VideoPicture(0.0, plain_pictures(1)[0])], model)


@pytest.mark.real
@real
def test_pictures_without_a_face_give_a_track_without_one():
    pictures = [VideoPicture(i / 25, picture) for i, picture in enumerate(plain_pictures(5))]
    track = track_pictures(pictures, MODEL)
    assert len(track) == 5 and track.found_share == 0 and track.landmarks.shape == (5, 478, 3)


@pytest.mark.real
@real
def test_mirrored_video_flips_yaw_roll_and_sides_but_not_pitch():
    pictures = [p for p in read_pictures(SHARED / "data/videos/celebv_2KGP_1.mp4") if p.time_s < 1.5]
    mirrored = [VideoPicture(p.time_s, np.ascontiguousarray(p.rgb[:, ::-1])) for p in pictures]
    track, mirror = track_pictures(pictures, MODEL), track_pictures(mirrored, MODEL)
    degrees, flipped = (np.rad2deg(axis_angle_to_euler_numpy(t.head)) for t in (track, mirror))
    assert np.abs(degrees[:, 1]).mean() > 8, "the clip must have a turned head to show anything"
    assert np.abs(degrees * (1, -1, -1) - flipped).mean(axis=0).max() < 2
    assert np.abs(track.translation * (-1, 1, 1) - mirror.translation).mean() < 0.01
    assert np.abs(track.expression - mirror.expression[:, MIRROR_PERMUTATION]).mean() < 0.05
    again = track_pictures(pictures, MODEL)
    assert np.array_equal(track.expression, again.expression) and np.array_equal(track.head, again.head)

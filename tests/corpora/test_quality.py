import numpy as np
import pytest
from made_up_videos import made_up_track

from corpora.clip_cutting import Span
from corpora.quality import (
    FACE_TOO_SMALL,
    MOUTH_OUTSIDE,
    SIDE_VIEW,
    STILL_PICTURE,
    TWO_FACES,
    UNSTEADY,
    judge_span,
    measure_span,
)

TIMES = np.arange(50) / 25
WHOLE = Span(0, 50)
ALTERNATING = np.where(np.arange(50) % 2 == 0, 1.0, -1.0)


def reason(track):
    dropped = judge_span(track, WHOLE, "somebody_1")
    return None if dropped is None else dropped.reason


def test_ordinary_track_is_kept_and_measured():
    track = made_up_track(TIMES, head=np.tile([0.0, 0.3, 0.0], (50, 1)))
    assert reason(track) is None
    measured = measure_span(track, WHOLE)
    assert measured["face_width_px"] == pytest.approx(100, abs=0.2)
    assert measured["yaw_deg"] == pytest.approx(17.2, abs=0.1)
    assert measured["jitter"] == 0.0


@pytest.mark.parametrize(("share", "size", "expected"), [(1.0, 0.8, TWO_FACES), (0.1, 0.8, None), (1.0, 0.2, None)])
def test_second_face_counts_when_it_is_large_and_often_there(share, size, expected):
    second = np.zeros(50, np.float32)
    second[: int(50 * share)] = size
    assert reason(made_up_track(TIMES, second_face=second)) == expected


def test_small_turned_still_cut_off_and_shaking_faces_are_told_apart():
    assert reason(made_up_track(TIMES, size=30.0)) == FACE_TOO_SMALL
    assert reason(made_up_track(TIMES, head=np.tile([0.0, 1.2, 0.0], (50, 1)))) == SIDE_VIEW
    assert reason(made_up_track(TIMES, head=np.tile([0.0, -1.2, 0.0], (50, 1)))) == SIDE_VIEW
    assert reason(made_up_track(TIMES, opening=np.full(50, 0.1))) == STILL_PICTURE
    assert reason(made_up_track(TIMES, centre=np.tile([5.0, 200.0], (50, 1)))) == MOUTH_OUTSIDE
    shaking = made_up_track(TIMES)
    shaking.landmarks[:, 152] += 1.0 * ALTERNATING[:, None]
    assert reason(shaking) is None
    shaking.landmarks[:, [33, 263, 10, 152]] += 1.0 * ALTERNATING[:, None, None]
    assert reason(shaking) == UNSTEADY


def test_detail_names_the_time_and_pictures_without_a_face_do_not_count():
    found = np.ones(50, bool)
    found[10:12] = False
    second = np.full(50, 0.9, np.float32)
    dropped = judge_span(made_up_track(TIMES, found=found, second_face=second), Span(5, 45), "somebody_1")
    assert dropped is not None and dropped.source == "somebody_1"
    assert "100%" in dropped.detail and "0.2 to 1.8 s" in dropped.detail

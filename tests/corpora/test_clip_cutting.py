from itertools import pairwise

import numpy as np
import pytest
from made_up_videos import made_up_track, plain_pictures, write_video
from scipy.spatial.transform import Rotation

from corpora.clip import ClipError
from corpora.clip_cutting import (
    CUT_COLOUR_CHANGE,
    PieceLimits,
    Span,
    motion_at_25,
    piece_bounds,
    scene_cuts,
    smooth_head,
    usable_spans,
)
from corpora.tracker import colour_histogram
from corpora.video import read_pictures
from faces.motion import FaceMotion


def test_cut_in_a_made_video_shows_in_the_histograms(tmp_path):
    pictures = plain_pictures(8, (200, 60, 40)) + plain_pictures(8, (30, 60, 150))
    path = write_video(tmp_path / "cut.mp4", pictures)
    histograms = [colour_histogram(p.rgb) for p in read_pictures(path)]
    change = np.array([0.0] + [0.5 * np.abs(b - a).sum() for a, b in pairwise(histograms)])
    track = made_up_track(np.arange(16) / 25, picture_change=change)
    assert change[8] > CUT_COLOUR_CHANGE
    assert scene_cuts(track).tolist() == [8]
    assert usable_spans(track) == [Span(0, 6), Span(10, 16)]


def test_face_that_jumps_or_changes_size_begins_a_new_shot_but_a_moving_one_does_not():
    times = np.arange(40) / 25
    drifting = np.linspace(0, 300, 40)[:, None] + np.zeros(2)
    assert len(scene_cuts(made_up_track(times, centre=drifting))) == 0
    jumping = np.where(np.arange(40) < 20, 100.0, 160.0)[:, None] + np.zeros(2)
    assert scene_cuts(made_up_track(times, centre=jumping)).tolist() == [20]
    growing = np.where(np.arange(40) < 25, 100.0, 150.0)
    assert scene_cuts(made_up_track(times, size=growing)).tolist() == [25]


def test_lost_face_ends_a_span_and_one_lost_picture_is_bridged():
    found = np.ones(60, bool)
    found[10] = False
    found[30:36] = False
    found[58:] = False
    spans = usable_spans(made_up_track(np.arange(60) / 25, found=found))
    assert spans == [Span(0, 30), Span(36, 58)]
    assert usable_spans(made_up_track(np.arange(5) / 25, found=np.zeros(5, bool))) == []


def test_pause_in_the_pictures_ends_a_span():
    times = np.arange(40) / 25
    times[20:] += 1.0
    assert [span.end for span in usable_spans(made_up_track(times))] == [18, 40]


def test_bridged_picture_takes_values_from_both_sides():
    found = np.ones(20, bool)
    found[10] = False
    opening = np.linspace(0.1, 0.5, 20)
    track = made_up_track(np.arange(20) / 25, found=found, opening=opening)
    track.expression[10] = 99
    _, motion = motion_at_25(track, Span(0, 20), smoothing=False)
    assert np.allclose(motion.expression[:, 17], opening, atol=1e-5)


@pytest.mark.parametrize("rate", [23.976, 25.0, 29.97, 60.0])
def test_values_at_25_frames_are_those_of_their_time_at_any_rate(rate):
    times = 0.013 + np.arange(round(4 * rate)) / rate
    truth = lambda t: 0.4 + 0.3 * np.sin(2 * np.pi * 0.7 * t)  # noqa: E731
    track = made_up_track(times, opening=truth(times))
    first, motion = motion_at_25(track, Span(0, len(track)))
    grid = (first + np.arange(len(motion))) / 25
    assert motion.fps == 25 and first == 0
    inside = (grid >= times[0]) & (grid <= times[-1])
    assert np.abs(motion.expression[inside, 17] - truth(grid[inside])).max() < 0.01


def test_uneven_times_do_no_harm():
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.01, 0.06, 120))
    head = np.stack([0.3 * np.sin(times), 0.5 * np.cos(times), 0 * times], axis=1)
    track = made_up_track(times, head=head, opening=0.3 + 0.2 * np.sin(2 * times))
    first, motion = motion_at_25(track, Span(0, 120), smoothing=False)
    grid = ((first + np.arange(len(motion))) / 25).clip(times[0], times[-1])
    assert np.abs(motion.expression[:, 17] - (0.3 + 0.2 * np.sin(2 * grid))).max() < 2e-3
    assert np.abs(motion.head[:, 0] - 0.3 * np.sin(grid)).max() < 2e-3


def test_lag_is_undone_by_reading_the_motion_later():
    times = np.arange(100) / 25
    pulse = np.exp(-(((np.arange(100) - 53) / 3.0) ** 2))
    first, motion = motion_at_25(made_up_track(times, opening=pulse), Span(0, 100), lag_frames=3)
    assert first == 0 and len(motion) == 97
    assert motion.expression[:, 17].argmax() == 50


def test_lead_is_undone_by_reading_the_motion_earlier_and_the_beginning_is_left_out():
    times = np.arange(100) / 25
    pulse = np.exp(-(((np.arange(100) - 53) / 3.0) ** 2))
    first, motion = motion_at_25(made_up_track(times, opening=pulse), Span(0, 100), lag_frames=-4)
    assert first == 4 and len(motion) == 100
    assert first + motion.expression[:, 17].argmax() == 57


def test_smoothing_removes_jitter_keeps_slow_turns_and_the_length():
    rng = np.random.default_rng(0)
    frames = np.arange(200) / 25
    slow = np.stack([0.2 * np.sin(frames), 0.6 * np.sin(0.8 * frames), 0.1 * np.cos(frames)], axis=1)
    noisy = slow + rng.normal(0, 0.02, slow.shape)
    motion = FaceMotion(expression=np.zeros((200, 52)), head=noisy, translation=noisy)
    smooth = smooth_head(motion)
    assert len(smooth) == 200
    assert np.abs(smooth.head - slow).mean() < 0.7 * np.abs(noisy - slow).mean()
    still = smooth_head(motion.replace(head=slow, translation=slow))
    assert np.abs(still.head - slow).max() < 2e-3 and np.abs(still.translation - slow).max() < 2e-3
    assert np.array_equal(still.expression, motion.expression)


def test_smoothing_does_not_depend_on_the_frame_of_reference():
    rng = np.random.default_rng(1)
    head = np.cumsum(rng.normal(0, 0.05, (60, 3)), axis=0)
    turned = Rotation.from_rotvec((0.0, 2.8, 0.0)) * Rotation.from_rotvec(head)
    plain = smooth_head(FaceMotion(expression=np.zeros((60, 52)), head=head)).head
    other = smooth_head(FaceMotion(expression=np.zeros((60, 52)), head=turned.as_rotvec())).head
    expected = Rotation.from_rotvec((0.0, 2.8, 0.0)) * Rotation.from_rotvec(plain)
    assert (expected.inv() * Rotation.from_rotvec(other)).magnitude().max() < 1e-4


@pytest.mark.parametrize("frames", [0, 10, 24, 25, 249, 250, 251, 500, 501, 777, 1780])
@pytest.mark.parametrize("loud", [False, True])
def test_pieces_cover_everything_within_the_limits(frames, loud):
    limits = PieceLimits(1.0, 10.0)
    loudness = np.random.default_rng(frames).uniform(size=frames) if loud else None
    bounds = piece_bounds(frames, limits, loudness)
    if frames < 25:
        assert bounds == []
        return
    assert len(bounds) == -(-frames // 250)
    assert bounds[0][0] == 0 and bounds[-1][1] == frames
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    assert all(25 <= end - start <= 250 for start, end in bounds)


def test_long_clips_are_cut_where_it_is_quiet():
    loudness = np.ones(400)
    loudness[188] = 0.0
    assert piece_bounds(400, PieceLimits(1.0, 10.0), loudness) == [(0, 188), (188, 400)]


@pytest.mark.parametrize("limits", [(0.1, 10.0), (6.0, 10.0), (float("nan"), 10.0), (1.0, float("nan"))])
def test_limits_that_no_piece_can_meet_are_refused(limits):
    with pytest.raises(ClipError, match="longest"):
        PieceLimits(*limits)

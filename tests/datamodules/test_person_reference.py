"""The first seconds of a raw video, with a made-up tracker."""

from pathlib import Path

import numpy as np
import pytest

import datamodules.person_reference as person_reference
from corpora.face_track import FaceTrack
from datamodules.person_reference import PersonReferenceError, read_person
from tests.corpora.made_up_videos import babble, made_up_track, plain_pictures, write_video


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model.task").write_bytes(b"a model")
    monkeypatch.setenv("FACE_LANDMARKER_TASK", str(tmp_path / "model.task"))
    path = tmp_path / "ada lovelace.mp4"
    write_video(path, plain_pictures(150), audio=babble(6.0)[0])
    return path


def follow(monkeypatch: pytest.MonkeyPatch, found: bool = True) -> list[int]:
    """Every picture shows a talking face, or none does; the counts of pictures that were tracked are kept."""
    counts: list[int] = []

    def track(pictures, model) -> FaceTrack:
        times = np.array([picture.time_s for picture in pictures])
        counts.append(len(times))
        opening = babble(len(times) / 25)[1]
        return made_up_track(times, opening=0.1 + 0.2 * opening, found=np.full(len(times), found))

    monkeypatch.setattr(person_reference, "track_pictures", track)
    return counts


def test_only_the_seconds_that_are_needed_are_tracked(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = follow(monkeypatch)
    reference = read_person(str(video), seconds=3.0)
    assert reference.person == "ada lovelace" and reference.num_frames == 75 and not reference.others
    assert 75 < counts[0] <= 101
    assert all(len(piece.clip.audio) == 640 * len(piece.clip.motion) for piece in reference.pieces)


def test_a_video_without_a_face_is_refused(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(monkeypatch, found=False)
    with pytest.raises(PersonReferenceError, match="no face"):
        read_person(str(video), seconds=3.0)


def test_a_video_that_is_too_short_is_refused(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(monkeypatch)
    short = tmp_path / "short.mp4"
    write_video(short, plain_pictures(40), audio=babble(1.6)[0])
    with pytest.raises(PersonReferenceError, match="at least 2 s"):
        read_person(str(short))


def test_a_silent_video_is_refused(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(monkeypatch)
    silent = tmp_path / "silent.mp4"
    write_video(silent, plain_pictures(100), audio=np.zeros(64000, np.float32))
    with pytest.raises(PersonReferenceError, match="silent"):
        read_person(str(silent))


@pytest.mark.parametrize("name", ["nowhere.mp4", "nowhere.npz"])
def test_a_file_that_is_not_there_is_named_before_a_tracker_is_looked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person_reference, "find_tracker_model", lambda given: pytest.fail("looked for a tracker"))
    for silent in (False, True):
        with pytest.raises(PersonReferenceError, match=f"{name} does not exist"):
            read_person(str(tmp_path / name), silent=silent)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1.9])
def test_seconds_that_are_no_length_are_refused(video: Path, seconds: float) -> None:
    with pytest.raises(PersonReferenceError, match="at least 2 s"):
        read_person(str(video), seconds=seconds)

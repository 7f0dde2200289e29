"""A tracked video says how far it is and changes nothing of what is tracked."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from corpora import tracking_progress
from corpora.tracking_progress import shown
from corpora.video import VideoPicture

PICTURES = [VideoPicture(second, np.zeros((2, 2, 3), np.uint8)) for second in (0.0, 1.0, 2.5, 4.0)]
CLIP = Path("[bold]ada.mp4")


@pytest.fixture
def every_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_progress, "LINE_EVERY_S", 0.0)


def test_pictures_pass_unchanged_and_no_earlier_than_they_are_asked_for() -> None:
    read: list[float] = []

    def source():
        for picture in PICTURES:
            read.append(picture.time_s)
            yield picture

    passing = shown(source(), CLIP, 4.0)
    assert next(passing) is PICTURES[0]
    assert read == [0.0]
    assert list(passing) == PICTURES[1:]


def test_a_log_gets_lines_with_seconds_and_what_is_left(every_picture: None, capsys: pytest.CaptureFixture) -> None:
    list(shown(PICTURES, CLIP, 4.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith("tracking [bold]ada.mp4: 1 of 4 s, ETA ")
    assert lines[-1] == "tracking [bold]ada.mp4: 4 s"


def test_a_length_that_no_header_tells_is_not_guessed(every_picture: None, capsys: pytest.CaptureFixture) -> None:
    list(shown(PICTURES, CLIP, 0.0))
    assert capsys.readouterr().err.splitlines()[-2:] == ["tracking [bold]ada.mp4: 2 s", "tracking [bold]ada.mp4: 4 s"]


def test_short_videos_write_nothing_into_a_log(capsys: pytest.CaptureFixture) -> None:
    list(shown(PICTURES, CLIP, 4.0))
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_the_name_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    list(shown(PICTURES, CLIP, 4.0))
    assert "tracking [bold]ada.mp4" in capsys.readouterr().err


def test_a_failure_while_tracking_ends_the_bar_and_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    def broken():
        yield PICTURES[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(shown(broken(), CLIP, 4.0))

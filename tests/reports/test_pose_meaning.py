"""Gestures near the words that call for them are counted against those near other words, not against pauses and the ends of clips."""

import math

import pytest
import torch

from faces.rotations import euler_to_axis_angle
from reports.pose_meaning import gesture_meaning, has_words

WORDS = [
    {"text": "find", "start_s": 1.0, "end_s": 1.4, "tags": []},
    {"text": "mushrooms", "start_s": 2.0, "end_s": 2.4, "tags": ["stressed"]},
    {"text": "shop", "start_s": 4.0, "end_s": 4.4, "tags": ["final"]},
]
META = {"extra": {"words": WORDS}}


def head_nodding_at(*seconds: float, frames: int = 250) -> torch.Tensor:
    t = torch.arange(frames, dtype=torch.float64) / 25
    pitch = sum((5 * torch.exp(-0.5 * ((t - at) / 0.11) ** 2) for at in seconds), torch.zeros_like(t))
    angles = torch.stack([pitch, torch.zeros_like(t), torch.zeros_like(t)], -1)
    return euler_to_axis_angle(torch.deg2rad(angles)).float()


def rates_of(head: torch.Tensor, meta: dict) -> dict[str, float]:
    return gesture_meaning({"model": [head]}, [meta], ["ada"])["model"]["nods_on_stress"]


def test_nods_in_pauses_count_neither_near_nor_elsewhere() -> None:
    rates = rates_of(head_nodding_at(2.2, 6.0, 7.0, 8.0), META)
    assert rates["near"] > 0 and rates["elsewhere"] == 0 and rates["ratio"] == math.inf


def test_the_rate_elsewhere_is_that_near_words_which_no_gesture_belongs_to() -> None:
    rates = rates_of(head_nodding_at(1.2, 2.2, 4.2, 8.0), META)
    # 0.6 s about each word are 15 frames: one nod near the stressed one, two near the two others.
    assert rates["near"] == pytest.approx(25 / 15) and rates["elsewhere"] == pytest.approx(2 * 25 / 30)


def test_frames_near_both_kinds_of_words_are_no_rate_elsewhere() -> None:
    beside = {**WORDS[0], "start_s": 2.4, "end_s": 2.8}
    rates = rates_of(head_nodding_at(2.44), {"extra": {"words": [WORDS[1], beside]}})
    assert rates["near"] > 0 and rates["elsewhere"] == 0


def test_frames_too_near_an_end_for_a_nod_are_not_counted_as_time_without_one() -> None:
    late = {**WORDS[0], "start_s": 9.3, "end_s": 9.96}
    first = {**WORDS[1], "start_s": 0.0, "end_s": 0.5}
    rates = rates_of(head_nodding_at(0.4, 9.4), {"extra": {"words": [first, late]}})
    # Of the stressed word frames 8 to 15 are left, of the other 231 to 241.
    assert rates["near"] == pytest.approx(25 / 8) and rates["elsewhere"] == pytest.approx(25 / 11)


def test_words_without_times_or_tags_cannot_be_measured() -> None:
    assert has_words([META]) and not has_words([{"extra": {"words": WORDS[:1]}}, {"extra": {}}])
    assert not has_words([{"extra": {"words": [{"text": "no", "tags": ["negation"]}]}}])

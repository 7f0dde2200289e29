"""Nods and shakes are found where they were planted, and their rates near words are what was counted."""

import math

import pytest
import torch

from faces.rotations import euler_to_axis_angle
from metrics.checks import MetricError
from metrics.gesture_meaning import (
    NOD_WINDOW,
    SHAKE_WINDOW,
    gesture_counts,
    gesture_rates,
    inner_frames,
    near_words,
    nods,
    shakes,
)


def head_of(pitch: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
    """Head rotations `[1, T, 3]` of angles in degrees [T]."""
    return euler_to_axis_angle(torch.deg2rad(torch.stack([pitch, yaw, torch.zeros_like(yaw)], -1)))[None].float()


def planted(frames: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """A slow drift with nods at frames 40 and 120 and a shake of 2.1 Hz from frame 150 to 175."""
    t = torch.arange(frames, dtype=torch.float64)
    pitch = 3 * torch.sin(t / 40) + sum(4 * torch.exp(-0.5 * ((t - at) / 2.75) ** 2) for at in (40, 120))
    phase = ((t - 150) / 25).clamp(0, 1)
    yaw = 4 * torch.cos(t / 50) + 6 * torch.sin(math.pi * phase) ** 2 * torch.sin(2 * math.pi * 2.1 * phase)
    return head_of(pitch, yaw), torch.ones(1, frames, dtype=torch.bool)


def test_planted_nods_and_a_shake_are_found_and_nothing_else() -> None:
    head, mask = planted()
    found = nods(head, mask)[0].nonzero().flatten().tolist()
    assert len(found) == 2 and abs(found[0] - 40) <= 1 and abs(found[1] - 120) <= 1
    turning = shakes(head, mask)[0].nonzero().flatten()
    assert len(turning) >= 1 and turning.min() >= 150 and turning.max() <= 175


def test_a_turn_to_one_side_and_back_is_no_shake_and_slow_motion_no_nod() -> None:
    t = torch.arange(200, dtype=torch.float64)
    once = 8 * torch.exp(-0.5 * ((t - 100) / 3) ** 2)
    slow = 8 * torch.sin(2 * math.pi * t / 150)
    mask = torch.ones(1, 200, dtype=torch.bool)
    assert not shakes(head_of(torch.zeros_like(t), once), mask).any()
    assert not nods(head_of(slow, once), mask).any() and not shakes(head_of(slow, slow), mask).any()


@pytest.mark.parametrize("degrees_a_second", [-20.0, -10.0, 10.0, 20.0])
def test_a_ramp_of_pitch_holds_no_nod_at_either_end(degrees_a_second: float) -> None:
    t = torch.arange(100, dtype=torch.float64) / 25
    head = head_of(degrees_a_second * (t - 2), torch.zeros_like(t))
    mask = torch.ones(1, 100, dtype=torch.bool)
    mask[0, 80:] = False
    assert not nods(head, mask).any() and not nods(head, torch.ones_like(mask)).any()


def test_a_nod_is_found_up_to_where_its_mean_has_all_its_frames() -> None:
    t = torch.arange(60, dtype=torch.float64)
    found = []
    for at in range(60):
        head = head_of(5 * torch.exp(-0.5 * ((t - at) / 2.75) ** 2), torch.zeros_like(t))
        found += nods(head, torch.ones(1, 60, dtype=torch.bool))[0].nonzero().flatten().tolist()
    assert found == list(range(8, 52))
    mask = torch.ones(1, 60, dtype=torch.bool)
    assert inner_frames(mask)[0].nonzero().flatten().tolist() == found and not inner_frames(mask[:, :16]).any()


def test_padding_changes_no_gesture_and_holds_none() -> None:
    head, mask = planted()
    padded = torch.cat([head, torch.full((1, 30, 3), 0.7)], 1)
    longer = torch.cat([mask, torch.zeros(1, 30, dtype=torch.bool)], 1)
    for find in (nods, shakes):
        assert torch.equal(find(padded, longer)[:, :200], find(head, mask))
        assert not find(padded, longer)[:, 200:].any()


def test_frames_near_a_word_are_those_of_its_window() -> None:
    assert near_words([(1.0, 1.2)], 100, NOD_WINDOW).nonzero().flatten().tolist() == list(range(23, 33))
    assert near_words([(1.0, 1.2)], 100, SHAKE_WINDOW).sum() == 25 and not near_words([], 100, NOD_WINDOW).any()


def test_rates_are_counts_by_seconds_and_their_interval_is_over_speakers() -> None:
    near = torch.zeros(2, 100, dtype=torch.bool)
    near[:, :25] = True
    gestures, mask = torch.zeros(2, 100, dtype=torch.bool), torch.ones(2, 100, dtype=torch.bool)
    gestures[0, [3, 9, 50]] = True
    gestures[1, [1, 60, 80]] = True
    mask[1, 75:] = False
    counts = gesture_counts(gestures, near, ~near, mask)
    assert counts.tolist() == [[2, 25, 1, 75], [1, 25, 1, 50]]
    rates = gesture_rates(counts, ["ada", "bob"])
    assert rates.near == pytest.approx(1.5) and rates.elsewhere == pytest.approx(0.4)
    assert rates.ratio == pytest.approx(3.75) and math.isnan(rates.low) and math.isnan(rates.high)
    six = gesture_rates(counts.repeat(3, 1), ["ada", "bob", "cyd", "dan", "eve", "fay"])
    assert six.ratio == pytest.approx(3.75) and six.low == pytest.approx(2.0) and six.high == pytest.approx(6.0)


def test_gestures_with_and_without_words_have_ratios_of_their_own() -> None:
    none = torch.tensor([[3.0, 25, 0, 75]], dtype=torch.float64)
    assert gesture_rates(none, ["ada"]).ratio == math.inf
    assert math.isnan(gesture_rates(0 * none, ["ada"]).ratio)


def test_what_does_not_fit_is_refused() -> None:
    mask = torch.ones(1, 9, dtype=torch.bool)
    with pytest.raises(MetricError, match="do not fit"):
        gesture_counts(mask, mask[:, :5], mask, mask)
    with pytest.raises(MetricError, match="one each"):
        gesture_rates(torch.zeros(2, 4), ["ada"])

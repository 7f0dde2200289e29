"""Opening, closures at bilabials, warping, speed, jerk, spread, ratios: against plain NumPy, and by hand."""

import numpy as np
import pytest
import torch
from metric_tester import filled

from metrics.bilabial_closure import LipClosureRecall, LipClosureTiming, bilabial_track, is_bilabial, lip_closure_recall
from metrics.checks import MetricError
from metrics.lip_dtw import cheapest_path, lip_dtw_mm
from metrics.motion_error import (
    LipJerkRatio,
)


def mouth(closures, frames=100, delay=0):
    time = np.arange(frames)[:, None] - delay
    return (10 * (1 - np.exp(-(((time - np.array(closures)) / 3.0) ** 2)).sum(1))).astype(np.float32)


def sounds(closures, frames=100):
    track = np.zeros(frames, bool)
    for frame in closures:
        track[frame - 1 : frame + 1] = True
    return track


CLOSING = [
    (mouth([20, 45, 80]), mouth([20, 45, 80]), sounds([20, 45, 80])),
    (mouth([20, 80], 90), mouth([20, 45, 80], 90), sounds([20, 45, 80], 90)),
    (mouth([22, 60], 95), mouth([20, 60], 95), sounds([20, 60], 95)),
    (mouth([30]), mouth([30, 70]), sounds([30])),
]


@pytest.mark.parametrize("make", [LipClosureRecall, LipClosureTiming])
def test_a_broken_opening_names_its_clip(make):
    broken = CLOSING[1][0].copy()
    broken[5] = np.nan
    metric = filled(make, [[CLOSING[0], (broken, *CLOSING[1][1:])]])
    assert torch.isnan(metric.compute()) and metric.bad_clips == ["clip-1"]


def test_sounds_at_which_the_truth_stays_open_are_not_asked_for():
    truth = torch.from_numpy(mouth([20]))[None]
    asked = torch.from_numpy(sounds([20, 60]))[None]
    mask = torch.ones_like(asked)
    assert lip_closure_recall(truth, truth, asked, mask).item() == 1
    assert lip_closure_recall(torch.full_like(truth, 8.0), truth, asked, mask).item() == 0
    assert torch.isnan(lip_closure_recall(truth, truth, torch.zeros_like(asked), mask)).all()
    still = torch.full_like(truth, 3.0)
    assert torch.isnan(lip_closure_recall(truth, still, asked, mask)).all(), "lips that never move close at nothing"


def test_bilabials_are_found_in_ipa_and_arpabet():
    rows = [["p", 0.0, 0.08], ["a:", 0.08, 0.2], ["\u02c8m", 0.2, 0.21], ["F", 0.3, 0.4], ["B", 0.44, 0.52]]
    assert bilabial_track(rows, 14).nonzero().flatten().tolist() == [0, 1, 5, 11, 12]


def test_a_sound_on_the_grid_of_the_frames_has_its_own_frames_alone():
    for frame in range(2000):
        track = bilabial_track([["p", frame * 0.04, (frame + 1) * 0.04]], 2001)
        assert track.nonzero().flatten().tolist() == [frame]
    assert bilabial_track([["p", 1.16, 1.2]], 40).nonzero().flatten().tolist() == [29]
    assert bilabial_track([["p", 1.1601, 1.2001]], 40).nonzero().flatten().tolist() == [29, 30]


def test_what_lies_before_the_clip_does_not_come_round_its_end():
    assert not bilabial_track([["p", -0.5, -0.3]], 40).any()
    assert bilabial_track([["p", -0.1, 0.1]], 40).nonzero().flatten().tolist() == [0, 1, 2]


CLOSING_THE_LIPS = ("p", "b", "m", "P", "B", "M", "B0", "M1", "EM", "m-", "p;", "bcl")
IN_IPA = (
    "p\u02b0",
    "b\u02b1",
    "m\u0325",
    "m\u0329",
    "p\u02d0",
    "\u02c8p",
    "b\u02c8",
    "p\u02b2",
    "\u1d50b",
    "p\u0361f",
    "\u0253",
)
OTHERS = (
    "pau",
    "breath",
    "BR",
    "mouth",
    "pos",
    "spn",
    "f",
    "v",
    "\u0271",
    "w",
    "n",
    "a:",
    "F",
    "V",
    "S",
    "ph",
    "sil",
    "",
    "'",
)


def test_sounds_that_close_the_lips_are_known_by_their_whole_symbol():
    assert [symbol for symbol in (*CLOSING_THE_LIPS, *IN_IPA) if not is_bilabial(symbol)] == []
    assert [symbol for symbol in OTHERS if is_bilabial(symbol)] == []


def test_a_track_that_is_not_bool_is_refused():
    opening = torch.zeros(1, 5)
    with pytest.raises(MetricError, match="bilabial track"):
        lip_closure_recall(opening, opening, opening, torch.ones(1, 5, dtype=torch.bool))


def test_warping_forgives_a_delay_and_not_an_offset():
    time = torch.arange(60, dtype=torch.float64).clamp(10, 50)
    lips = 0.01 * torch.sin(time / 5)[None, :, None, None].expand(1, 60, 4, 3)
    mask = torch.ones(1, 60, dtype=torch.bool)
    late = lips[:, (torch.arange(60) - 4).clamp(min=0)]
    assert lip_dtw_mm(late, lips, mask).item() < 1e-3 < 1 < 1000 * (late - lips).norm(dim=-1).mean()
    assert lip_dtw_mm(lips + torch.tensor([0.0, 0.002, 0.0]), lips, mask).item() == pytest.approx(2.0, rel=1e-6)
    assert lip_dtw_mm(lips, lips, mask).item() == 0


def test_the_cheapest_path_of_a_matrix_by_hand():
    assert cheapest_path(np.array([[1.0, 9, 9], [9, 9, 1], [9, 9, 1]])) == 11
    assert cheapest_path(np.array([[1.0, 5.0], [7.0, 2.0]])) == 3
    assert cheapest_path(np.array([[1.0, 2.0, 3.0]])) == 6
    assert cheapest_path(np.array([[4.0]])) == 4


def test_clips_too_short_for_a_derivative_are_not_counted():
    metric = LipJerkRatio()
    metric.update(torch.rand(1, 3, 4, 3), torch.rand(1, 3, 4, 3), torch.ones(1, 3, dtype=torch.bool), keys=["short"])
    metric.update(
        torch.ones(1, 9, 4, 3).cumsum(1) ** 3, torch.ones(1, 9, 4, 3).cumsum(1) ** 3, torch.ones(1, 9, dtype=torch.bool)
    )
    assert metric.compute().item() == pytest.approx(1) and metric.bad_clips == []

"""Opening, closures at bilabials, warping, speed, jerk, spread, ratios: against plain NumPy, and by hand."""

from itertools import product

import numpy as np
import pytest
import torch
from metric_tester import check_metric, filled, random_clips

from metrics.bilabial_closure import LipClosureRecall, LipClosureTiming, bilabial_track, lip_closure_recall
from metrics.checks import MetricError
from metrics.expression_richness import ExpressionDispersion, ExpressionDispersionRatio, ExpressionRichness
from metrics.lip_dtw import LipDynamicTimeWarping, cheapest_path, lip_dtw_mm
from metrics.motion_error import (
    HeadJerkRatio,
    HeadSpeedError,
    LandmarkVelocityDifference,
    LipJerkError,
    LipJerkRatio,
    LipSpeedError,
)
from metrics.mouth_opening import MouthOpeningDeviation, MouthOpeningDeviationPairs
from metrics.pose_diversity import PoseDeviationRatio, PoseRange

LIPS = random_clips((4, 3), (4, 3), scale=1e-3, seed=6)
HEADS = random_clips((3,), (3,), scale=0.02, seed=7)
OPENINGS = random_clips((), (), seed=8)
PAIRS = random_clips((5,), (5,), scale=1e-3, seed=9)
SCORES = random_clips((7,), (7,), seed=10)


def only_first(clips):
    return [clip[:1] for clip in clips]


def speed(curve: np.ndarray) -> np.ndarray:
    return np.linalg.norm(curve[1:].astype(float) - curve[:-1].astype(float), axis=-1)


def jerk(curve: np.ndarray) -> float:
    x = curve.astype(float)
    return float(np.linalg.norm(x[3:] - 3 * x[2:-1] + 3 * x[1:-2] - x[:-3], axis=-1).mean())


def spread(values: np.ndarray) -> float:
    values = values.astype(float)
    return float(np.mean([np.linalg.norm(a - b) for (i, a), (j, b) in product(enumerate(values), repeat=2) if i != j]))


def warped(prediction: np.ndarray, target: np.ndarray) -> float:
    """The textbook recursion, cell by cell."""
    cost = np.array([[np.sqrt(((p - t) ** 2).sum(-1).mean()) for t in target] for p in prediction])
    table = np.full((len(cost) + 1, len(cost) + 1), np.inf)
    table[0, 0] = 0
    for i, j in product(range(len(cost)), repeat=2):
        table[i + 1, j + 1] = cost[i, j] + min(table[i, j + 1], table[i + 1, j], table[i, j])
    return 1000 * table[-1, -1]


def ratio(clips, function) -> float:
    return sum(function(p) for p, _ in clips) / sum(function(t) for _, t in clips)


REFERENCES = [
    (MouthOpeningDeviation, OPENINGS, lambda c: np.mean(np.concatenate([np.abs(p - t) for p, t in c]))),
    (MouthOpeningDeviationPairs, PAIRS, lambda c: np.mean([np.abs(p - t).mean() for p, t in c])),
    (LipDynamicTimeWarping, LIPS, lambda c: sum(warped(p, t) for p, t in c) / sum(len(p) for p, _ in c)),
    (LipSpeedError, LIPS, lambda c: 25e3 * np.concatenate([np.abs(speed(p) - speed(t)) for p, t in c]).mean()),
    (
        LandmarkVelocityDifference,
        LIPS,
        lambda c: np.mean([np.abs(speed(p) - speed(t)).sum(-1).mean() for p, t in c]),
    ),
    (
        HeadSpeedError,
        HEADS,
        lambda c: np.degrees(25 * np.concatenate([np.abs(speed(p) - speed(t)) for p, t in c]).mean()),
    ),
    (LipJerkError, LIPS, lambda c: 25**3 * np.mean([abs(jerk(p) - jerk(t)) for p, t in c])),
    (LipJerkRatio, LIPS, lambda c: ratio(c, jerk)),
    (HeadJerkRatio, HEADS, lambda c: ratio(c, jerk)),
    (PoseDeviationRatio, HEADS, lambda c: ratio(c, lambda x: x.astype(float).std(0).mean())),
    (
        PoseRange,
        only_first(HEADS),
        lambda c: np.degrees(np.mean([np.ptp(p.astype(float), axis=0).mean() for (p,) in c])),
    ),
    (ExpressionRichness, only_first(SCORES), lambda c: np.mean([spread(p) for (p,) in c])),
    (ExpressionDispersion, only_first(SCORES), lambda c: np.mean([p.astype(float).std(0).mean() for (p,) in c])),
    (ExpressionDispersionRatio, SCORES, lambda c: ratio(c, lambda x: x.astype(float).std(0).mean())),
]


@pytest.mark.parametrize(("make", "clips", "reference"), REFERENCES, ids=[row[0].__name__ for row in REFERENCES])
def test_it_passes_the_shared_checks(make, clips, reference):
    check_metric(make, clips, reference)


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


def test_closure_recall_passes_the_shared_checks():
    check_metric(LipClosureRecall, CLOSING, lambda _: 7 / 9)


def test_closure_timing_passes_the_shared_checks():
    check_metric(LipClosureTiming, CLOSING, lambda _: 80 / 8)


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


def test_bilabials_are_found_in_ipa_and_arpabet():
    rows = [["p", 0.0, 0.08], ["a:", 0.08, 0.2], ["\u02c8m", 0.2, 0.21], ["F", 0.3, 0.4], ["B", 0.44, 0.52]]
    assert bilabial_track(rows, 14).nonzero().flatten().tolist() == [0, 1, 5, 11, 12]


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

"""Speech onsets, motion beats and the kernel between them, both ways."""

import numpy as np
import pytest
import torch
from metric_tester import check_metric, random_clips

from metrics.beat_alignment import (
    HeadBeatAlignment,
    HeadBeatConsistency,
    beat_alignment,
    beat_consistency,
    frame_energy,
    motion_beats,
    speech_onsets,
)
from metrics.checks import MetricError


def loud(clip: np.ndarray) -> np.ndarray:
    """A level between quiet and loud, which rises by more than the threshold now and then."""
    return np.exp(np.sin(np.cumsum(np.abs(clip)) * 0.7) - 3).astype(np.float32)


BEATS = [(h, loud(e)) for h, e in random_clips((3,), (), lengths=(40, 25, 60, 33), scale=0.3, seed=4)]


def onsets_by_hand(energy: np.ndarray) -> list[int]:
    level = np.log(np.maximum(energy, 1e-3))
    rise = np.concatenate([[0], np.diff(level)])
    padded = np.concatenate([[0], rise, [0]])
    return [t for t in range(len(rise)) if rise[t] >= 0.5 and rise[t] > padded[t] and rise[t] >= padded[t + 2]]


def beats_by_hand(head: np.ndarray) -> list[int]:
    step = np.linalg.norm(np.diff(head.astype(float), axis=0), axis=1)
    step = step / step.mean()
    return [
        t + 1
        for t in range(1, len(step) - 1)
        if step[t] < step[t - 1] and step[t] < step[t + 1] and max(step[t - 1], step[t + 1]) - step[t] >= 0.01
    ]


def kernels(events: list[int], others: list[int]) -> list[float]:
    return [max((np.exp(-(((a - b) / 25) ** 2) / 0.02) for b in others), default=0.0) for a in events]


def test_beat_consistency_passes_the_shared_checks():
    check_metric(
        HeadBeatConsistency,
        BEATS,
        lambda c: np.mean([k for h, e in c for k in kernels(onsets_by_hand(e), beats_by_hand(h))]),
    )


def test_beat_alignment_passes_the_shared_checks():
    check_metric(
        HeadBeatAlignment,
        BEATS,
        lambda c: np.mean([k for h, e in c for k in kernels(beats_by_hand(h), onsets_by_hand(e))]),
    )


def test_onsets_and_beats_by_hand():
    energy = torch.full((1, 20), 0.01)
    energy[0, [5, 6, 12]] = 0.3
    mask = torch.ones(1, 20, dtype=torch.bool)
    assert speech_onsets(energy, mask)[0].nonzero().flatten().tolist() == [5, 12]
    head = torch.zeros(1, 20, 3)
    head[0, :, 0] = torch.tensor([1.0, 1, 1, 0.1, 1, 1, 1, 1, 0.5, 1] * 2).cumsum(0)
    assert motion_beats(head, mask)[0].nonzero().flatten().tolist() == [3, 8, 13, 18]


def test_direction_matters_and_a_still_head_has_no_beats():
    onsets, beats = torch.zeros(1, 50, dtype=torch.bool), torch.zeros(1, 50, dtype=torch.bool)
    mask = torch.ones(1, 50, dtype=torch.bool)
    onsets[0, [10, 40]] = True
    assert beat_consistency(onsets, beats, mask).item() == 0 and torch.isnan(beat_alignment(onsets, beats, mask)).all()
    beats[0, 10] = True
    assert beat_consistency(onsets, beats, mask).item() == pytest.approx(0.5)
    assert beat_alignment(onsets, beats, mask).item() == 1
    with pytest.raises(MetricError, match="expected both bool"):
        beat_consistency(onsets.float(), beats, mask)


def test_energy_is_the_root_mean_square_of_a_frame():
    audio = torch.cat([torch.full((1, 640), 0.5), torch.tensor([[3.0, -3.0]]).repeat(1, 320), torch.ones(1, 100)], 1)
    assert frame_energy(audio).tolist() == [[0.5, 3.0]]

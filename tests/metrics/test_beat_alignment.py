"""Speech onsets, motion beats and the kernel between them, both ways."""

import pytest
import torch

from metrics.beat_alignment import (
    beat_alignment,
    beat_consistency,
    frame_energy,
    motion_beats,
    speech_onsets,
)
from metrics.checks import MetricError


def test_onsets_and_beats_by_hand():
    energy = torch.full((1, 20), 0.01)
    energy[0, [5, 6, 12]] = 0.3
    mask = torch.ones(1, 20, dtype=torch.bool)
    assert speech_onsets(energy, mask)[0].nonzero().flatten().tolist() == [5, 12]
    head = torch.zeros(1, 20, 3)
    head[0, :, 0] = torch.tensor([1.0, 1, 1, 0.1, 1, 1, 1, 1, 0.5, 1] * 2).cumsum(0)
    assert motion_beats(head, mask)[0].nonzero().flatten().tolist() == [3, 8, 13, 18]


def test_beats_are_strict_minima_so_a_hold_without_any_tremor_is_none():
    mask = torch.ones(1, 31, dtype=torch.bool)
    steps = torch.tensor([0.01] * 10 + [0.0] * 10 + [0.01] * 10)
    head = torch.zeros(1, 31, 3)
    head[0, 1:, 0] = steps.cumsum(0)
    assert not motion_beats(head, mask).any()
    steps[10:20] = 1e-3 * torch.tensor([5.0, 4, 3, 2, 1, 0, 1, 2, 3, 4])
    head[0, 1:, 0] = steps.cumsum(0)
    assert motion_beats(head, mask)[0].nonzero().flatten().tolist() == [16]


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

"""Speech made while training: the order and the sound are functions of (seed, epoch, sample), whatever was asked for before."""

import numpy as np
import pytest
import torch

from datamodules.errors import ShardError
from datamodules.recording_conditions import RecordingConditions
from datamodules.sampler import PlanSampler, SampleRequest
from datamodules.synthesised_speech import (
    HeldOutUtterances,
    LabelledWindow,
    SynthesisedSpeechDataModule,
    TrainingWindows,
    collate_windows,
)
from speech.phonemes import UNLABELLED


@pytest.fixture(scope="module")
def windows() -> TrainingWindows:
    return TrainingWindows(seed=1, window_frames=20, conditions=RecordingConditions())


def test_a_window_depends_on_its_place_alone(windows: TrainingWindows) -> None:
    requests = [SampleRequest(0, 0, 5), SampleRequest(1, 3, 5), SampleRequest(0, 1, 6)]
    forwards = [windows[request] for request in requests]
    fresh = TrainingWindows(seed=1, window_frames=20, conditions=RecordingConditions())
    backwards = [fresh[request] for request in reversed(requests)][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert np.array_equal(one.audio, other.audio) and np.array_equal(one.labels, other.labels)
    assert len({window.key for window in forwards}) == 3
    assert all(len(window.audio) == 640 * 20 and len(window.labels) == 40 for window in forwards)
    # Samples 5 and 6 of one epoch are windows of one utterance; the next epoch has another.
    assert forwards[0].key.split("-")[:2] == forwards[2].key.split("-")[:2] == ["0", "1"]


def test_another_seed_is_other_speech(windows: TrainingWindows) -> None:
    other = TrainingWindows(seed=2, window_frames=20, conditions=RecordingConditions())
    request = SampleRequest(0, 0, 5)
    assert not np.array_equal(windows[request].audio, other[request].audio)


def test_a_resumed_position_goes_on_with_the_same_requests() -> None:
    data = SynthesisedSpeechDataModule(global_batch=8)
    whole = list(PlanSampler(data.plan, lambda: 0, last_step=6))
    data.advance(4)
    state = data.state_dict()
    resumed = SynthesisedSpeechDataModule(global_batch=8)
    resumed.load_state_dict(state)
    assert list(PlanSampler(resumed.plan, lambda: resumed.consumed, last_step=6)) == whole[4:]
    with pytest.raises(ShardError, match="resume with the options"):
        SynthesisedSpeechDataModule(global_batch=8, seed=2).load_state_dict(state)


def test_held_out_utterances_are_the_same_in_all_conditions_and_for_all_runs() -> None:
    heard = HeldOutUtterances("val", 2)
    assert [condition for _, condition in heard.places] == ["clean", "clean", "noisy", "noisy"]
    clean, noisy = heard[1], heard[3]
    assert np.array_equal(clean.labels, noisy.labels) and not np.array_equal(clean.audio, noisy.audio)
    assert np.array_equal(heard[1].audio, HeldOutUtterances("val", 2)[1].audio)


def test_padding_is_silent_and_unlabelled() -> None:
    pieces = [LabelledWindow(str(n), "f1", "train", np.ones(640 * n, np.float32), np.full(2 * n, 7)) for n in (3, 1)]
    batch = collate_windows(pieces)
    assert batch.num_frames.tolist() == [3, 1] and len(batch) == 2
    assert batch.audio[1, 640:].abs().sum() == 0 and batch.audio[0].sum() == 640 * 3
    assert batch.labels[1].tolist() == [7, 7] + [UNLABELLED] * 4 and batch.labels.dtype == torch.int64


def test_a_batch_that_does_not_split_is_refused() -> None:
    with pytest.raises(ShardError, match="does not split"):
        SynthesisedSpeechDataModule(global_batch=9, accumulate=2)
    with pytest.raises(ShardError, match="window_frames=0"):
        SynthesisedSpeechDataModule(window_frames=0)

from types import SimpleNamespace

import pytest
import torch

from networks.controls import SHUFFLE_BLOCK_FRAMES, SpeakerMeanFace, reference_mean_face, time_shuffled
from speech.audio import SAMPLES_PER_FRAME


def batch(values: list[float], speakers: list[str], frames: list[int]) -> SimpleNamespace:
    longest = max(frames)
    expression = torch.tensor(values)[:, None, None].expand(-1, longest, 2).clone()
    for row, n in enumerate(frames):
        expression[row, n:] = 99.0
    return SimpleNamespace(
        expression=expression,
        jaw=torch.zeros(len(values), longest, 3),
        speakers=speakers,
        num_frames=torch.tensor(frames),
    )


def test_the_mean_face_weighs_frames_ignores_padding_and_keeps_speakers_apart() -> None:
    mean_face = SpeakerMeanFace()
    mean_face.observe(batch([1.0, 5.0, 3.0], ["a", "b", "a"], [10, 4, 30]))
    expression, jaw = mean_face(batch([0.0, 0.0], ["a", "b"], [3, 3]))
    assert torch.allclose(expression[0], torch.tensor((10 * 1.0 + 30 * 3.0) / 40))
    assert torch.allclose(expression[1], torch.tensor(5.0))
    assert jaw.shape == (2, 3, 3)


def test_a_speaker_never_observed_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\['z'\]"):
        SpeakerMeanFace()(batch([0.0], ["z"], [2]))


def test_shuffled_speech_has_the_same_blocks_in_another_order_and_leaves_the_padding() -> None:
    frames = 12 * SHUFFLE_BLOCK_FRAMES
    audio = torch.randn(2, (frames + 10) * SAMPLES_PER_FRAME)
    shuffled = time_shuffled(audio, torch.tensor([frames, frames]), ["k", "k"])
    samples = frames * SAMPLES_PER_FRAME
    assert torch.equal(shuffled[0, samples:], audio[0, samples:])
    assert not torch.equal(shuffled[0], audio[0])
    assert torch.equal(shuffled[0, :samples].sort().values, audio[0, :samples].sort().values)
    assert torch.equal(time_shuffled(audio, torch.tensor([frames, frames]), ["k", "k"]), shuffled)


def test_the_reference_mean_face_ignores_padding_and_the_truth() -> None:
    target = batch([7.0], ["a"], [4])
    target.reference_expression = torch.tensor([1.0, 3.0, 99.0])[None, :, None].expand(1, 3, 2)
    target.reference_jaw = torch.zeros(1, 3, 3)
    target.reference_mask = torch.tensor([[True, True, False]])
    expression, _ = reference_mean_face(target)
    assert expression.shape == (1, 4, 2) and torch.allclose(expression, torch.tensor(2.0))

"""Log-mel: four frames per motion frame, padding invariance, agreement with a slow reference."""

import numpy as np
import pytest
import torch

from speech.features import LogMel, mel_filterbank


def reference_log_mel(audio: np.ndarray, frame: int) -> np.ndarray:
    """One frame by its definition, in float64, with a direct Fourier sum."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    centre = frame * 160 + 80
    positions = np.arange(centre - 200, centre + 200)
    inside = (positions >= 0) & (positions < len(audio))
    samples = np.where(inside, audio[np.clip(positions, 0, len(audio) - 1)], 0.0) * window * 2 / window.sum()
    bins = np.arange(257)[:, None]
    power = np.abs((samples * np.exp(-2j * np.pi * bins * np.arange(400) / 512)).sum(1)) ** 2
    return (np.log10(power @ mel_filterbank().double().numpy() + 1e-8) + 6.0) / 1.5


@pytest.mark.parametrize("num_samples", [640, 1279, 16_000, 16_001])
def test_four_mel_frames_for_each_whole_motion_frame(num_samples):
    assert LogMel()(torch.zeros(2, num_samples)).shape == (2, 4 * (num_samples // 640), 80)


def test_frames_agree_with_a_slow_reference():
    audio = np.random.default_rng(0).normal(0, 0.1, 3200)
    fast = LogMel()(torch.tensor(audio, dtype=torch.float32)[None])[0]
    for frame in (0, 1, 9, 19):
        assert np.allclose(fast[frame].numpy(), reference_log_mel(audio, frame), atol=1e-3)


def test_zero_padding_changes_no_valid_frame():
    generator = torch.Generator().manual_seed(0)
    lengths = [640, 3200, 9600, 12_800]
    padded = torch.zeros(len(lengths), max(lengths))
    for row, length in zip(padded, lengths, strict=True):
        row[:length] = 0.1 * torch.randn(length, generator=generator)
    together = LogMel()(padded)
    for row, mel, length in zip(padded, together, lengths, strict=True):
        alone = LogMel()(row[None, :length])[0]
        torch.testing.assert_close(mel[: len(alone)], alone, atol=1e-5, rtol=0)


def test_a_delay_of_one_motion_frame_moves_the_features_by_four():
    audio = 0.1 * torch.randn(1, 6400, generator=torch.Generator().manual_seed(1))
    delayed = torch.cat([torch.zeros(1, 640), audio], dim=1)
    mel, late = LogMel()(audio), LogMel()(delayed)
    torch.testing.assert_close(late[:, 6:-2], mel[:, 2:-2], atol=1e-5, rtol=0)


def test_filters_have_unit_area_and_a_tone_peaks_in_its_filter():
    assert (mel_filterbank().sum(0) - 1).abs().max() < 0.15
    time = torch.arange(6400) / 16_000
    centres = mel_filterbank().argmax(0) * 16_000 / 512
    for hz in (200.0, 1000.0, 4000.0):
        peak = LogMel()(torch.sin(2 * torch.pi * hz * time)[None])[0, 10].argmax()
        assert abs(centres[peak] - hz) < 0.06 * hz + 32


def test_silence_and_full_scale_noise_stay_within_a_few_units():
    noise = torch.rand(1, 6400, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert LogMel()(torch.zeros(1, 6400)).abs().max() < 2
    assert LogMel()(noise).abs().max() < 5


def test_empty_audio_is_refused():
    with pytest.raises(ValueError, match="expected"):
        LogMel()(torch.zeros(1, 639))

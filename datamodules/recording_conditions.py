"""What rooms, microphones and other people do to speech, so that a network trained on clean synthesis hears through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from speech.audio import SAMPLE_RATE

_COLOUR_KNOTS = 8
_LONGEST_REVERBERATION_S = 0.6
_MUMBLERS = 4


@dataclass(frozen=True)
class RecordingConditions:
    """Reverberation, a coloured and band-limited channel, noise and level, each drawn anew for every clip.

    `reverberation`, `colour` and `noise` are probabilities. A room's response is the direct sound and exponentially decaying noise (0.1 to 0.6 s
    to -60 dB, 3 to 15 dB under the direct sound). The channel is a smooth curve of up to ±8 dB, half of the time with band edges from telephone to full.
    Noise has a signal-to-noise ratio from `snr_db`: coloured from white to brown, or half of the time the clip's own speech backwards in several
    copies, which sounds like people. The level ends between -38 and -14 dB of full scale.
    """

    reverberation: float = 0.4
    colour: float = 0.7
    noise: float = 0.7
    snr_db: tuple[float, float] = (3.0, 35.0)

    def __call__(self, audio: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Changed copy of `audio [N]` (float32, 16 kHz), clipped to [-1, 1]; a function of the arguments alone. Sounds do not move in time."""
        size = next_fast_len(len(audio) + round(_LONGEST_REVERBERATION_S * SAMPLE_RATE), real=True)
        spectrum = rfft(audio, size)
        if generator.random() < self.reverberation:
            spectrum = spectrum * rfft(_room_response(generator), size)
        if generator.random() < self.colour:
            spectrum = spectrum * _channel(generator, len(spectrum))
        changed = irfft(spectrum, size)[: len(audio)]
        if generator.random() < self.noise:
            noise = _mumble(audio, generator) if generator.random() < 0.5 else _coloured_noise(len(audio), generator)
            changed = changed + noise * (
                _level(changed) / _level(noise) * 10 ** (-generator.uniform(*self.snr_db) / 20)
            )
        target = 10 ** (generator.uniform(-38, -14) / 20)
        return np.clip(changed * (target / _level(changed)), -1, 1).astype(np.float32)


def _level(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) + 1e-8


def _room_response(generator: np.random.Generator) -> np.ndarray:
    decay_s = generator.uniform(0.1, _LONGEST_REVERBERATION_S)
    time = np.arange(round(decay_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = generator.standard_normal(len(time), dtype=np.float32) * 10 ** (-3 * time / decay_s)
    tail[: round(0.002 * SAMPLE_RATE)] = 0
    tail *= 10 ** (-generator.uniform(3, 15) / 20) / np.sqrt(np.sum(tail**2) + 1e-12)
    tail[0] = 1
    return tail


def _channel(generator: np.random.Generator, bins: int) -> np.ndarray:
    """Gains of a smooth random curve and of band edges."""
    place = np.linspace(0, 1, bins) ** 0.5  # finer at low frequencies, as hearing is
    gain_db = np.interp(place, np.linspace(0, 1, _COLOUR_KNOTS), generator.uniform(-8, 8, _COLOUR_KNOTS))
    if generator.random() < 0.5:
        frequency = np.linspace(0, SAMPLE_RATE / 2, bins)
        low, high = generator.uniform(50, 300), generator.uniform(3400, 8000)
        gain_db = gain_db - 30 * np.clip((low - frequency) / low, 0, 1) - 60 * np.clip((frequency - high) / 500, 0, 1)
    return 10 ** (gain_db / 20)


def _coloured_noise(length: int, generator: np.random.Generator) -> np.ndarray:
    size = next_fast_len(length, real=True)
    spectrum = rfft(generator.standard_normal(size, dtype=np.float32))
    bins = np.maximum(np.arange(len(spectrum)), size * 50 // SAMPLE_RATE + 1)
    return irfft(spectrum * bins ** -generator.uniform(0, 1), size)[:length]


def _mumble(audio: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    backwards = audio[::-1]
    return np.sum([np.roll(backwards, int(shift)) for shift in generator.integers(len(audio), size=_MUMBLERS)], axis=0)

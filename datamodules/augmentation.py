"""Mild changes to the sound of a training window; the motion stays as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AudioAugmentation:
    """A gain drawn from ±`gain_db`, and with `noise_probability` white noise at a signal-to-noise ratio from
    `noise_snr_db` (dB).
    """

    gain_db: float = 6.0
    noise_probability: float = 0.3
    noise_snr_db: tuple[float, float] = (15.0, 40.0)

    def __call__(self, audio: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Changed copy of `audio [N]`, clipped to [-1, 1]; a function of the arguments alone."""
        gain = 10 ** (generator.uniform(-self.gain_db, self.gain_db) / 20)
        noisy = generator.random() < self.noise_probability
        snr_db = generator.uniform(*self.noise_snr_db)
        changed = audio * np.float32(gain)
        if noisy:
            level = np.sqrt(np.mean(np.square(changed, dtype=np.float64))) * 10 ** (-snr_db / 20)
            changed = changed + generator.standard_normal(len(audio), dtype=np.float32) * np.float32(level)
        return np.clip(changed, -1.0, 1.0)

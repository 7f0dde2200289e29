"""Log-mel features in step with the motion: exactly four frames of 10 ms for each motion frame of 40 ms."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from speech.audio import SAMPLE_RATE, SAMPLES_PER_FRAME

NUM_MELS = 80
MEL_FRAMES_PER_MOTION_FRAME = 4
HOP = SAMPLES_PER_FRAME // MEL_FRAMES_PER_MOTION_FRAME
WINDOW = SAMPLE_RATE * 25 // 1000
FFT_SIZE = 512

# The floor lies under the noise of ordinary recordings, so that digital silence is not far from room silence.
_POWER_FLOOR = 1e-8
# Mean and standard deviation of log10 power over real speech at usual levels, rounded.
_LOG_MEAN = -6.0
_LOG_STD = 1.5


def mel_filterbank(num_mels: int = NUM_MELS, fft_size: int = FFT_SIZE, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Triangular filters [fft_size // 2 + 1, num_mels] of unit area, evenly spaced in mel from 0 Hz to half the rate.

    Mel scale of Slaney's Auditory Toolbox (1998): linear up to 1 kHz (200/3 Hz a mel), then 27 mel per factor 6.4. It is
    wider at low frequencies than the HTK formula, so that no filter falls between two bins.
    """
    frequencies = torch.linspace(0, sample_rate / 2, fft_size // 2 + 1, dtype=torch.float64)
    top = 15 + 27 * math.log(sample_rate / 2 / 1000) / math.log(6.4)
    mels = torch.linspace(0, top, num_mels + 2, dtype=torch.float64)
    edges = torch.where(mels < 15, mels * 200 / 3, 1000 * torch.exp((mels - 15) * math.log(6.4) / 27))
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - low) / (centre - low)
    falling = (high - frequencies[:, None]) / (high - centre)
    area = (high - low) / 2
    bin_width = sample_rate / fft_size
    return (torch.minimum(rising, falling).clamp(min=0) * bin_width / area).float()


class LogMel(nn.Module):
    """`[B, N]` audio (16 kHz, within [-1, 1]) to `[B, 4 * (N // 640), 80]` log-mel power at about unit scale.

    Hann windows of 25 ms every 10 ms, frame k centred on sample 160 k + 80, so that four frames lie symmetrically in
    their motion frame. Both ends are padded with zeros, never reflected: audio followed by zeros gives the same frames as
    the audio alone. The values are (log10(power + floor) + 6.0) / 1.5 with a fixed floor and fixed constants, so they
    depend on nothing outside the window. Samples beyond the last whole motion frame are not used.
    """

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(WINDOW)
        # Power is relative to a full-scale tone of amplitude 1 in the pass band of one filter.
        self.register_buffer("window", window * (2 / window.sum()), persistent=False)
        self.register_buffer("filters", mel_filterbank(), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        num_samples = audio.shape[-1] // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME
        if audio.ndim != 2 or num_samples == 0:
            raise ValueError(f"audio has shape {list(audio.shape)}; expected [B, N] with N >= {SAMPLES_PER_FRAME}")
        side = (FFT_SIZE - HOP) // 2
        padded = functional.pad(audio[:, :num_samples].float(), (side, side))
        with torch.autocast(audio.device.type, enabled=False):
            spectrum = torch.stft(padded, FFT_SIZE, HOP, WINDOW, self.window, center=False, return_complex=True)
            power = spectrum.real * spectrum.real + spectrum.imag * spectrum.imag
            mel = power.transpose(1, 2) @ self.filters
            return (torch.log10(mel + _POWER_FLOOR) - _LOG_MEAN) / _LOG_STD

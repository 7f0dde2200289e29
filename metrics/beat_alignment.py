"""Whether the head moves with the speech: distances in time between speech onsets and motion beats.

Head rotations `[B, T, 3]` axis-angle in radians, speech energy `[B, T]` (root mean square of the samples of each 40 ms frame), masks
`[B, T]`, 25 frames/s. Direction and beat detector matter: published numbers are comparable only within one script.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from metrics.checks import MetricError, check_curve, check_mask
from metrics.masked import clip_mean, frame_differences
from metrics.weighted_mean import WeightedMean

FPS = 25.0
SIGMA_S = 0.1
DROP = 0.01
ONSET_RISE = 0.5
_FLOOR = 1e-3


def frame_energy(audio: Tensor, samples_per_frame: int = 640) -> Tensor:
    """Root mean square of each motion frame's samples: audio `[B, N]` in [-1, 1] -> `[B, N // samples_per_frame]`."""
    frames = audio[:, : audio.shape[1] // samples_per_frame * samples_per_frame]
    return frames.unflatten(1, (-1, samples_per_frame)).square().mean(-1).sqrt()


def speech_onsets(energy: Tensor, mask: Tensor) -> Tensor:
    """Frames `[B, T]` bool at which speech sets in: peaks of the rise of log energy (natural logarithm) of at least 0.5, about 4 dB."""
    check_curve(energy, mask, "B T")
    level = torch.where(mask, energy, 0.0).clamp(min=_FLOOR).log()
    rise = torch.nn.functional.pad(level.diff(dim=1), (1, 0))
    before, after = torch.nn.functional.pad(rise, (1, 0))[:, :-1], torch.nn.functional.pad(rise, (0, 1))[:, 1:]
    return (rise >= ONSET_RISE) & (rise > before) & (rise >= after) & mask


def motion_beats(head: Tensor, mask: Tensor, drop: float = DROP) -> Tensor:
    """Frames `[B, T]` bool at which the head is slowest before it turns faster: strict local minima of its speed that lie `drop` below a neighbour.

    Strict as in TalkSHOW's and AIST++'s scripts: a hold of several frames of exactly one speed is no beat there, nor here. Tracked heads have none of these
    (their holds tremble); of a method that repeats frames it is to be known.
    The speed is the length of the step of the axis-angle vector divided by its mean over the clip; frame t is the step from t - 1 to t.
    TalkSHOW's rule (threshold 0.01, ProbTalk 0.1), whose steps of joint angles are divided by constants of its corpus instead.
    """
    check_curve(head, mask, "B T 3")
    steps, pairs = frame_differences(head, mask)
    length = steps.norm(dim=-1)
    speed = length / clip_mean(length, pairs)[:, None]
    left, middle, right = speed[:, :-2], speed[:, 1:-1], speed[:, 2:]
    whole = pairs[:, :-2] & pairs[:, 1:-1] & pairs[:, 2:]
    is_beat = (middle < left) & (middle < right) & (torch.maximum(left, right) - middle >= drop) & whole
    beats = torch.zeros_like(mask)
    beats[:, 2:-1] = is_beat
    return beats


def beat_consistency(onsets: Tensor, beats: Tensor, mask: Tensor, fps: float = FPS, sigma: float = SIGMA_S) -> Tensor:
    """Mean over speech onsets of exp(-d² / 2 sigma²), d = seconds to the nearest motion beat: each clip `[B]`, 0 to 1, NaN without onsets.

    Both are frames `[B, T]` bool. The kernel and direction of TalkSHOW, ProbTalk and SAiD (sigma 0.1 s); onsets without any beat in the clip
    count 0 (SAiD; TalkSHOW leaves such joints out). AIST++'s alignment of dance has sigma 3 frames at 60 frames/s.
    """
    _check_events(onsets, beats, mask)
    return _mean_kernel(onsets & mask, beats & mask, fps, sigma)[0].float()


def beat_alignment(onsets: Tensor, beats: Tensor, mask: Tensor, fps: float = FPS, sigma: float = SIGMA_S) -> Tensor:
    """The other direction: mean over motion beats of the kernel of the distance to the nearest speech onset, each clip `[B]`; NaN without beats.

    A head that moves seldom but then with the speech scores high here and low in `beat_consistency`.
    """
    return beat_consistency(beats, onsets, mask, fps, sigma)


def head_beat_consistency(head: Tensor, energy: Tensor, mask: Tensor) -> Tensor:
    """`beat_consistency` of head rotation and speech energy, each clip `[B]`; NaN where the head holds NaN."""
    return _or_nan(beat_consistency(speech_onsets(energy, mask), motion_beats(head, mask), mask), head, energy, mask)


def head_beat_alignment(head: Tensor, energy: Tensor, mask: Tensor) -> Tensor:
    """`beat_alignment` of head rotation and speech energy, each clip `[B]`; NaN where the head holds NaN."""
    return _or_nan(beat_alignment(speech_onsets(energy, mask), motion_beats(head, mask), mask), head, energy, mask)


def _mean_kernel(events: Tensor, others: Tensor, fps: float, sigma: float) -> tuple[Tensor, Tensor]:
    times = torch.arange(events.shape[1], device=events.device, dtype=torch.float64) / fps
    closeness = torch.exp(-(times[:, None] - times[None]).square() / (2 * sigma**2))
    nearest = torch.where(others[:, None], closeness, 0.0).amax(2)
    count = events.sum(1)
    return torch.where(events, nearest, 0.0).sum(1) / count, count


def _or_nan(values: Tensor, head: Tensor, energy: Tensor, mask: Tensor) -> Tensor:
    return torch.where(_is_finite(head, energy, mask), values, torch.nan)


def _is_finite(head: Tensor, energy: Tensor, mask: Tensor) -> Tensor:
    return ((head.isfinite().all(-1) & energy.isfinite()) | ~mask).all(1)


def _check_events(onsets: Tensor, beats: Tensor, mask: Tensor) -> None:
    check_mask(onsets, mask)
    if onsets.shape != beats.shape or onsets.dtype != torch.bool or beats.dtype != torch.bool:
        raise MetricError(
            f"onsets are {onsets.dtype} {list(onsets.shape)} and beats {beats.dtype} {list(beats.shape)}; expected both bool [B, T]"
        )


class _HeadBeats(WeightedMean):
    function: Callable[..., Tensor]
    events: Callable[[Tensor, Tensor, Tensor], Tensor]  # bool [B, T]: what the values of a clip are means over

    def update(  # type: ignore[override]
        self, head: Tensor, energy: Tensor, mask: Tensor, keys: Sequence[str] | None = None
    ) -> None:
        """Head rotations `[B, T, 3]`, speech energy `[B, T]` and their mask `[B, T]`."""
        values = type(self).function(head, energy, mask)
        # A spoilt clip has no events to weigh it by, yet must show.
        weights = torch.where(_is_finite(head, energy, mask), self.events(head, energy, mask).sum(1), 1)
        super().update(values, weights, keys)


class HeadBeatConsistency(_HeadBeats):
    """`head_beat_consistency` over everything seen; every speech onset weighs the same (TalkSHOW; SAiD averages clips)."""

    function = staticmethod(head_beat_consistency)

    @staticmethod
    def events(head: Tensor, energy: Tensor, mask: Tensor) -> Tensor:
        return speech_onsets(energy, mask)


class HeadBeatAlignment(_HeadBeats):
    """`head_beat_alignment` over everything seen; every motion beat weighs the same."""

    function = staticmethod(head_beat_alignment)

    @staticmethod
    def events(head: Tensor, energy: Tensor, mask: Tensor) -> Tensor:
        return motion_beats(head, mask)

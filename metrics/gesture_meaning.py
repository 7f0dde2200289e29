"""Whether head gestures come with the words they belong to: nods on stress, shakes on negation, against the rate on other words.

Head rotations `[B, T, 3]` axis-angle in radians at 25 frames/s, masks `[B, T]`. Gestures are found by rules that know nothing of words, so that
truth, generated motion and controls are counted alike; a threshold in degrees misses people who gesture less than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from faces.rotations import axis_angle_to_euler
from metrics.checks import MetricError, check_curve
from metrics.intervals import bootstrap_interval

FPS = 25.0
DEGREES = 180 / math.pi
NOD_DEG, SHAKE_DEG = 1.0, 0.75
# Frames over which the mean is taken that a nod stands out from, and within which to each side it is the largest.
_NOD_WINDOW, _NOD_REACH = 17, 5
# Frames between turning points of a shake.
_TURN, _TURNS_OF_A_SHAKE = (3, 10), 3
_NEVER = 1 << 40


class WordWindow(NamedTuple):
    """Seconds before and after the marked words that count as near them."""

    before_s: float
    after_s: float


# A nod is on the stressed vowel, a shake begins with the word and outlasts it.
NOD_WINDOW, SHAKE_WINDOW = WordWindow(0.1, 0.1), WordWindow(0.1, 0.7)


def inner_frames(mask: Tensor) -> Tensor:
    """Frames `[B, T]` bool with 0.32 s of the clip to either side, where a nod can be told from a drift: only there are gestures counted."""
    return _half_windows(mask) == _NOD_WINDOW // 2


def nods(head: Tensor, mask: Tensor, least_deg: float = NOD_DEG) -> Tensor:
    """Frames `[B, T]` bool at the lowest point of a nod: peaks of the pitch at least `least_deg` below (nose down) its mean over the 0.68 s around
    them. There are none outside `inner_frames`: from the one-sided mean beside a clip's end any drift stands out.
    """
    pitch = _from_local_mean(head, mask)
    largest = functional.max_pool1d(pitch, 2 * _NOD_REACH + 1, 1, _NOD_REACH)
    return (pitch >= least_deg) & (pitch == largest) & inner_frames(mask)


def shakes(head: Tensor, mask: Tensor, least_deg: float = SHAKE_DEG) -> Tensor:
    """Frames `[B, T]` bool at the inner turning points of a shake: at least three turns in a row, each 0.12 to 0.4 s after the one before, the yaw
    having swung by twice `least_deg` before and after each. A turn to one side and back is one.
    """
    check_curve(head, mask, "B T 3")
    yaw = DEGREES * axis_angle_to_euler(head.double())[..., 1]
    found = torch.zeros_like(mask)
    for row, (angles, length) in enumerate(zip(yaw.tolist(), mask.sum(1).tolist(), strict=True)):
        run: list[int] = []
        for turn in [*_turning_points(angles[:length], 2 * least_deg), _NEVER]:
            if run and not _TURN[0] <= turn - run[-1] <= _TURN[1]:
                if len(run) >= _TURNS_OF_A_SHAKE:
                    found[row, run[1:-1]] = True
                run = []
            run.append(turn)
    return found


def near_words(spans: Sequence[tuple[float, float]], num_frames: int, window: WordWindow) -> Tensor:
    """Frames [T] bool within `window` of any span of (start, end) seconds."""
    times = torch.arange(num_frames, dtype=torch.float64) / FPS
    near = torch.zeros(num_frames, dtype=torch.bool)
    for start, end in spans:
        near |= (times >= start - window.before_s) & (times <= end + window.after_s)
    return near


def gesture_counts(gestures: Tensor, near: Tensor, elsewhere: Tensor, mask: Tensor) -> Tensor:
    """Gestures near, frames near, gestures elsewhere, frames elsewhere of each clip `[B, 4]`, float64, from frames `[B, T]` bool.

    `elsewhere`: the frames that the base rate is taken of, those near other words; leave out those near words that another gesture belongs to.
    """
    shapes = {"gestures": gestures.shape, "near": near.shape, "elsewhere": elsewhere.shape}
    if any(shape != mask.shape for shape in shapes.values()):
        found = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise MetricError(f"{found} and mask {list(mask.shape)} do not fit; expected [B, T] of all")
    here, elsewhere = near & mask, elsewhere & mask
    parts = (gestures & here, here, gestures & elsewhere, elsewhere)
    return torch.stack([part.sum(1) for part in parts], 1).double()


class GestureRates(NamedTuple):
    """Gestures a second near the words and `elsewhere`, near others, their `ratio` and its 95 % interval over speakers; NaN where nothing was counted,
    and the interval of fewer than five speakers."""

    near: float
    elsewhere: float
    ratio: float
    low: float
    high: float


def gesture_rates(counts: Tensor, speakers: Sequence[str], seed: int = 0) -> GestureRates:
    """Rates of `gesture_counts` `[N, 4]` summed over N clips; the interval is `bootstrap_interval` over speakers of the ratio of the sums.

    The ratio is infinite where there are gestures near the words and none elsewhere. Raises MetricError unless there is a speaker for each clip.
    """
    if len(speakers) != len(counts) or not len(counts):
        raise MetricError(f"received counts of {len(counts)} clips and {len(speakers)} speakers; expected one each")
    names = sorted(set(speakers))
    sums = np.zeros((len(names), 4))
    np.add.at(sums, [names.index(name) for name in speakers], counts.numpy())
    near, elsewhere = (float(FPS * part) for part in _rates(sums.sum(0)))

    def ratios(drawn: np.ndarray) -> np.ndarray:
        found = _ratio(*_rates(sums[drawn].sum(1)))
        return found[~np.isnan(found)]

    low, high = bootstrap_interval(len(names), ratios, seed=seed, method="nearest")
    return GestureRates(near, elsewhere, float(_ratio(*_rates(sums.sum(0)))), low, high)


def _rates(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., 0] / sums[..., 1], sums[..., 2] / sums[..., 3]


def _ratio(near: np.ndarray, elsewhere: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(near, elsewhere)


def _from_local_mean(head: Tensor, mask: Tensor) -> Tensor:
    """The pitch less its mean over a centred window, shorter beside a clip's ends, degrees `[B, T]`; 0 at padding."""
    check_curve(head, mask, "B T 3")
    angle = torch.where(mask, DEGREES * axis_angle_to_euler(head.double())[..., 0], 0.0)
    half = _half_windows(mask)
    here = torch.arange(mask.shape[1], device=mask.device)
    sums = functional.pad(angle.cumsum(1), (1, 0))
    total = sums.gather(1, here + half + 1) - sums.gather(1, here - half)
    return torch.where(mask, angle - total / (2 * half + 1), 0.0)


def _half_windows(mask: Tensor) -> Tensor:
    """Frames `[B, T]` to either side of each that a mean takes in: as many to both, and no more than the clip has; 0 at padding."""
    here = torch.arange(mask.shape[1], device=mask.device)
    left = mask.sum(1, keepdim=True) - 1 - here
    return torch.minimum(here, left).clamp(min=0, max=_NOD_WINDOW // 2)


def _turning_points(angles: Sequence[float], swing: float) -> list[int]:
    """Where a curve turns, having gone by at least `swing` before and going back by as much after."""
    low = high = 0
    rising: bool | None = None
    turns: list[int] = []
    for frame, angle in enumerate(angles):
        high = frame if angle > angles[high] else high
        low = frame if angle < angles[low] else low
        if rising is not False and angles[high] - angle >= swing:
            turns += [high] if rising else []
            rising, low, high = False, frame, frame
        elif rising is not True and angle - angles[low] >= swing:
            turns += [] if rising is None else [low]
            rising, low, high = True, frame, frame
    return turns

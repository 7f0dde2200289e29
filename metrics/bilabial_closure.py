"""Whether the lips close where the speech needs them closed (p, b, m), and when: openings `[B, T]` in mm against phoneme times."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metrics.checks import MetricError, check_pair
from metrics.lip_closure import closure_frames
from metrics.weighted_mean import WeightedMean

# With the lips closed, of one letter: IPA (also implosive), ARPAbet and espeak in lower case. Longer names are whitelisted whole, as "pau" is a pause.
BILABIALS = frozenset("pbm\u0253")
# TIMIT's closures and syllabic m, affricates, geminates.
LONGER_BILABIALS = frozenset({"pcl", "bcl", "em", "pf", "pp", "bb", "mm"})
# ARPAbet's stress digits, and what espeak writes behind a consonant: palatal, syllabic, long.
_MARKS = re.compile(r"[0-9;:,'\-]")
CLOSED_SHARE = 0.1
SLACK_FRAMES = 1
SEARCH_FRAMES = 5
MS_PER_FRAME = 40.0
# Times are binary fractions: 1.16 s times 25 is 28.999999999999996 frames.
_GRID = 1e-6


def bilabial_track(phonemes: Sequence[Sequence], num_frames: int, fps: float = 25.0) -> Tensor:
    """Frames `[T]` bool during which the speech has a bilabial, from rows `[symbol, start_s, end_s]` (see `is_bilabial`).

    A frame counts when any part of it lies in the sound, to a millionth of a frame, so that a sound on the frames' own grid has its own frames alone.
    What lies before the clip does not count. Two bilabials in a row are one closure, as on the lips.
    """
    track = torch.zeros(num_frames, dtype=torch.bool)
    for symbol, start, end in phonemes:
        if is_bilabial(symbol):
            first, stop = np.floor(start * fps + _GRID), np.ceil(end * fps - _GRID)
            track[max(0, int(first)) : max(0, int(stop))] = True
    return track


def is_bilabial(symbol: str) -> bool:
    """Whether a phoneme closes the lips: p, b, m of IPA with any diacritics, stress and length, of ARPAbet (`P`, `EM`, stress digits), of espeak (`m-`, `p;`)
    or of TIMIT (`bcl`). A word or another label that begins with one of them (`pau`, `breath`) does not.
    """
    letters = [
        letter for letter in unicodedata.normalize("NFD", symbol.strip()) if unicodedata.category(letter)[0] not in "MS"
    ]
    # Modifier letters are prenasalised, aspirated, palatal, long and the stress marks.
    plain = "".join(letter for letter in letters if unicodedata.category(letter) != "Lm")
    bare = _MARKS.sub("", plain).lower()
    return bare in BILABIALS or bare in LONGER_BILABIALS


def lip_closure_recall(prediction: Tensor, target: Tensor, bilabial: Tensor, mask: Tensor) -> Tensor:
    """Share of the bilabials at which the truth closes its lips and the prediction does too, each clip `[B]`; NaN without any.

    Closed: the smallest opening during the sound is at most the truth's 5th percentile over the clip plus a tenth of its range to the 95th,
    in mm, the same bar for both; a truth that never moves closes nothing. Chance is not zero: a mouth that never opens has full recall, and lips moving to another sentence have about
    0.3 on the synthetic corpus; read it beside the mouth-opening deviation and the shuffled control. Own definition; the published scripts
    have none (Imitator has a training loss on the same sounds).
    """
    matched, events, _, _ = _closures(prediction, target, bilabial, mask)
    return (matched / events).float()


def lip_closure_timing_ms(prediction: Tensor, target: Tensor, bilabial: Tensor, mask: Tensor) -> Tensor:
    """Mean distance in time from the truth's closure at a bilabial to the prediction's nearest closure, each clip `[B]`, ms.

    Closures are `metrics.lip_closure.closure_frames` (relative to each curve's own range); the truth's lie within a frame of the
    sound, only pairs within 200 ms count, NaN without any.
    """
    _, _, delay, timed = _closures(prediction, target, bilabial, mask)
    return (delay / timed).float()


def _closures(
    prediction: Tensor, target: Tensor, bilabial: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each clip: closures that the prediction makes, closures asked for, summed distance in ms of those timed, their number."""
    check_pair(prediction, target, mask, "B T")
    if bilabial.shape != mask.shape or bilabial.dtype != torch.bool:
        raise MetricError(
            f"the bilabial track is {bilabial.dtype} of shape {list(bilabial.shape)}; expected bool {list(mask.shape)} as bilabial_track gives it"
        )
    ours, theirs = (curve.detach().double().cpu().numpy() for curve in (prediction, target))
    sounds, valid = bilabial.cpu().numpy(), mask.cpu().numpy()
    rows = [_clip_closures(ours[i][valid[i]], theirs[i][valid[i]], sounds[i][valid[i]]) for i in range(len(valid))]
    counts = torch.tensor(rows, dtype=torch.float64, device=prediction.device).reshape(-1, 4)
    return counts[:, 0], counts[:, 1], counts[:, 2], counts[:, 3]


def _clip_closures(
    prediction: np.ndarray, target: np.ndarray, bilabial: np.ndarray
) -> tuple[float, float, float, float]:
    if not (np.isfinite(prediction).all() and np.isfinite(target).all()):
        return (float("nan"),) * 4
    if not bilabial.any() or target.max() == target.min():
        return 0.0, 0.0, 0.0, 0.0
    low, high = np.percentile(target, [5, 95])
    bar = low + CLOSED_SHARE * (high - low)
    ours_at, theirs_at = closure_frames(prediction), closure_frames(target)
    matched = asked = delay = timed = 0.0
    for start, stop in _runs(bilabial):
        if target[start:stop].min() > bar:
            continue
        asked += 1
        matched += prediction[start:stop].min() <= bar
        here = theirs_at[(theirs_at >= start - SLACK_FRAMES) & (theirs_at < stop + SLACK_FRAMES)]
        if len(here) and len(ours_at):
            distance = np.abs(ours_at[:, None] - here[None]).min()
            if distance <= SEARCH_FRAMES:
                delay, timed = delay + MS_PER_FRAME * distance, timed + 1
    return matched, asked, delay, timed


def _runs(track: np.ndarray) -> list[tuple[int, int]]:
    """First and one past the last frame of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], track.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


class LipClosureRecall(WeightedMean):
    """`lip_closure_recall` over everything seen; every closure weighs the same."""

    higher_is_better = True

    def update(  # type: ignore[override]
        self, prediction: Tensor, target: Tensor, bilabial: Tensor, mask: Tensor, keys: Sequence[str] | None = None
    ) -> None:
        """Mouth openings `[B, T]` in mm of prediction and truth, the bilabial track `[B, T]` and the mask."""
        matched, events, _, _ = _closures(prediction, target, bilabial, mask)
        self.total += matched.sum()
        self.weight += events.sum()
        self.note_bad_clips(~matched.isfinite(), keys)


class LipClosureTiming(WeightedMean):
    """`lip_closure_timing_ms` over everything seen; every timed closure weighs the same."""

    higher_is_better = False

    def update(  # type: ignore[override]
        self, prediction: Tensor, target: Tensor, bilabial: Tensor, mask: Tensor, keys: Sequence[str] | None = None
    ) -> None:
        """Mouth openings `[B, T]` in mm of prediction and truth, the bilabial track `[B, T]` and the mask."""
        _, _, delay, timed = _closures(prediction, target, bilabial, mask)
        self.total += delay.sum()
        self.weight += timed.sum()
        self.note_bad_clips(~delay.isfinite(), keys)

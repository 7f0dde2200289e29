"""From a track at the video's own times to pieces of 25 frames/s: where to cut, resampling, smoothing. Pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

from corpora.clip import ClipError
from corpora.face_track import FaceTrack
from faces.motion import FaceMotion
from speech.audio import MOTION_FPS, SAMPLES_PER_FRAME

# Between neighbouring pictures: share of colours that change, and movement and growth of the face relative to its width.
CUT_COLOUR_CHANGE = 0.4
CUT_FACE_SHIFT = 0.35
CUT_FACE_GROWTH = 1.3
# The tracker looks for the face where it was before, so landmarks beside a cut may still belong to the other shot.
CUT_MARGIN_PICTURES = 2
# Shorter losses are interpolated over.
BRIDGED_GAP_S = 0.1
# A pause in the pictures themselves, such as a frozen capture or deleted frames.
TIME_GAP_S = 0.25
# Savitzky-Golay over 7 frames of 25/s, second order: passes motion below about 4 Hz, takes the tracker's jitter.
SMOOTHING_WINDOW, SMOOTHING_ORDER = 7, 2
QUIET_SEARCH_S = 1.0


@dataclass(frozen=True)
class Span:
    """Pictures `start` to `end` (exclusive) of a track that belong to one shot with one face."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class PieceLimits:
    """Shortest and longest piece in seconds. Raises `ClipError` for limits that no piece can meet."""

    min_s: float = 1.0
    max_s: float = 10.0

    def __post_init__(self) -> None:
        if not (self.min_s >= 0.2 and self.max_s >= 2 * self.min_s):
            raise ClipError(
                f"clips of {self.min_s:g} to {self.max_s:g} s were asked for; the shortest must be 0.2 s or more "
                "and the longest at least twice the shortest"
            )

    @property
    def min_frames(self) -> int:
        return int(np.ceil(self.min_s * MOTION_FPS - 1e-6))

    @property
    def max_frames(self) -> int:
        return int(self.max_s * MOTION_FPS + 1e-6)


def scene_cuts(track: FaceTrack) -> np.ndarray:
    """Indices of pictures that begin a new shot: another picture (colour histogram), or a face that jumps or changes size at once."""
    cuts = track.picture_change > CUT_COLOUR_CHANGE
    both = track.found[1:] & track.found[:-1]
    centre = track.landmarks[:, :, :2].mean(axis=1)
    width = np.maximum(track.face_width(), 1e-6)
    smaller, larger = np.minimum(width[1:], width[:-1]), np.maximum(width[1:], width[:-1])
    shift = np.linalg.norm(np.diff(centre, axis=0), axis=1)
    # Heads turn and so the width of the face changes gradually; eyes and height do not both, so growth is asked of the whole face.
    height = np.maximum(np.ptp(track.landmarks[:, :, 1], axis=1), 1e-6)
    growth = np.maximum(height[1:] / height[:-1], height[:-1] / height[1:])
    cuts[1:] |= both & (
        (shift > CUT_FACE_SHIFT * smaller) | ((growth > CUT_FACE_GROWTH) & (larger > CUT_FACE_GROWTH * smaller))
    )
    return np.flatnonzero(cuts)


def usable_spans(track: FaceTrack) -> list[Span]:
    """Longest runs of pictures with a face, without a scene cut or a pause inside; losses up to 0.1 s are bridged."""
    if not track.found.any():
        return []
    breaks = set(scene_cuts(track).tolist())
    breaks |= set((np.flatnonzero(np.diff(track.times) > TIME_GAP_S) + 1).tolist())
    usable = _bridge_short_losses(track.found, track.times)
    edges = sorted({0, len(track), *breaks})
    spans = []
    for begin, end in pairwise(edges):
        begin += CUT_MARGIN_PICTURES if begin in breaks else 0
        end -= CUT_MARGIN_PICTURES if end in breaks else 0
        spans += [Span(begin + run.start, begin + run.end) for run in _runs(usable[begin : max(begin, end)])]
    return spans


def motion_at_25(
    track: FaceTrack, span: Span, *, lag_frames: float = 0.0, smoothing: bool = True
) -> tuple[int, FaceMotion]:
    """Motion of a span on the grid of motion frames: (index of its first frame, motion in the arkit space).

    Frame k lies at k / 25 s from the start of the container, beside sample 640 k of the sound. Values between pictures are
    interpolated at the pictures' real times (linearly, rotations on the sphere), so a varying frame rate does no harm. With
    `lag_frames` = d the motion is read d / 25 s later, which undoes a mouth that runs d frames behind the sound. `smoothing` runs
    Savitzky-Golay (window 7, order 2) over head rotation and translation; expression is never smoothed.
    """
    pictures = np.arange(span.start, span.end)[track.found[span.start : span.end]]
    times = track.times[pictures] - lag_frames / MOTION_FPS
    # Half a frame of tolerance at both ends: the first picture of many files lies some milliseconds after zero.
    first = max(0, int(np.ceil(times[0] * MOTION_FPS - 0.5)))
    last = int(np.floor(times[-1] * MOTION_FPS + 0.5))
    if last < first:
        return first, _motion(track, pictures[:0], float(MOTION_FPS))
    grid = np.arange(first, last + 1) / MOTION_FPS
    position = np.interp(grid, times, np.arange(len(pictures)))
    # At one frame a second, "seconds" of resample_at are picture numbers.
    motion = _motion(track, pictures, 1.0).resample_at(position).replace(fps=float(MOTION_FPS))
    return first, smooth_head(motion) if smoothing else motion


def smooth_head(motion: FaceMotion) -> FaceMotion:
    """Savitzky-Golay (window 7, order 2) over head rotation and translation; a shorter motion comes back as it is.

    Rotations are filtered as unit quaternions of continuous sign and normalised again: within 7 frames this is a local fit on the
    sphere, without the wrap of angles (adamesh.md 1.3 filters Euler angles with the same window and order).
    """
    if len(motion) < SMOOTHING_WINDOW:
        return motion
    quaternions = Rotation.from_rotvec(motion.head.astype(np.float64)).as_quat()
    flips = np.sign(np.einsum("tc,tc->t", quaternions[1:], quaternions[:-1]))
    quaternions[1:] *= np.cumprod(np.where(flips < 0, -1.0, 1.0))[:, None]
    head = Rotation.from_quat(_filter(quaternions)).as_rotvec()
    translation = None if motion.translation is None else _filter(motion.translation.astype(np.float64))
    return motion.replace(head=head, translation=translation)


def piece_bounds(num_frames: int, limits: PieceLimits, loudness: np.ndarray | None = None) -> list[tuple[int, int]]:
    """Cut `num_frames` into the fewest pieces within `limits`: [(start, end exclusive)], covering everything.

    Cuts lie near even spacing, moved by up to a second to where `loudness` [num_frames] is least. Nothing where it is too short.
    """
    if num_frames < limits.min_frames:
        return []
    bounds = [0]
    for pieces_left in range(int(np.ceil(num_frames / limits.max_frames)), 1, -1):
        start = bounds[-1]
        even = start + (num_frames - start) // pieces_left
        search = int(QUIET_SEARCH_S * MOTION_FPS)
        # Whatever the cut, the rest must still fit into the pieces that are left, and no piece may be too short or long.
        lowest = max(even - search, start + limits.min_frames, num_frames - (pieces_left - 1) * limits.max_frames)
        highest = min(even + search, start + limits.max_frames, num_frames - (pieces_left - 1) * limits.min_frames)
        if loudness is None or highest <= lowest:
            bounds.append(min(max(even, lowest), max(highest, lowest)))
        else:
            bounds.append(lowest + int(np.argmin(loudness[lowest : highest + 1])))
    return list(zip(bounds, [*bounds[1:], num_frames], strict=True))


def frame_loudness(audio: np.ndarray) -> np.ndarray:
    """Root mean square of each motion frame's 640 samples, averaged over five frames [num_frames]."""
    frames = audio[: len(audio) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME].reshape(-1, SAMPLES_PER_FRAME)
    level = np.sqrt(np.square(frames).mean(axis=1))
    return np.convolve(level, np.ones(5) / 5, mode="same") if len(level) >= 5 else level


def _motion(track: FaceTrack, pictures: np.ndarray, fps: float) -> FaceMotion:
    return FaceMotion(
        expression=track.expression[pictures],
        head=track.head[pictures],
        translation=track.translation[pictures],
        space="arkit",
        fps=fps,
    )


def _filter(values: np.ndarray) -> np.ndarray:
    return savgol_filter(values, SMOOTHING_WINDOW, SMOOTHING_ORDER, axis=0, mode="interp")


def _runs(usable: np.ndarray) -> list[Span]:
    """Maximal runs of true values."""
    padded = np.concatenate([[False], usable, [False]]).astype(np.int8)
    changes = np.diff(padded)
    starts, ends = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    return [Span(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def _bridge_short_losses(found: np.ndarray, times: np.ndarray) -> np.ndarray:
    usable = found.copy()
    for gap in _runs(~found):
        inside = gap.start > 0 and gap.end < len(found)
        if inside and times[gap.end] - times[gap.start - 1] <= BRIDGED_GAP_S + 1e-6:
            usable[gap.start : gap.end] = True
    return usable

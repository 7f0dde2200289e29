"""Which tracked recordings are fit to learn from, and figures of those that are. Reasons are short categories for a table."""

from __future__ import annotations

import numpy as np

from corpora.clip import Dropped
from corpora.clip_cutting import Span
from corpora.face_track import (
    CHIN,
    EYE_OUTER_CORNERS,
    FOREHEAD,
    NOSE_TIP,
    OUTER_LIP_CORNERS,
    OUTER_LOWER_LIP,
    OUTER_UPPER_LIP,
    FaceTrack,
)
from faces.rotations import axis_angle_to_euler_numpy

NO_FACE = "no face"
TWO_FACES = "two faces"
FACE_LOST = "face lost"
FACE_TOO_SMALL = "face too small"
MOUTH_OUTSIDE = "mouth outside the picture"
SIDE_VIEW = "side view"
STILL_PICTURE = "still picture"
UNSTEADY = "unsteady track"

# A second face counts from this size relative to the main one; smaller ones are passers-by and pictures on the wall.
SECOND_FACE_SIZE = 0.4
SECOND_FACE_SHARE = 0.2
# The narrowest of the development recordings, 74 pixels wide, still tracks well; lips of a face of 40 are about ten pixels apart.
MIN_FACE_PIXELS = 40
OUTSIDE_SHARE = 0.2
# Beyond this the far half of the mouth is guessed by the model.
SIDE_YAW_RAD = np.deg2rad(60)
SIDE_SHARE = 0.5
# Real speech moves the inner lips by 0.016 (deviation, in eye distances) in the quietest recording seen; a photograph by less than a tenth of it.
STILL_MOUTH = 0.002
# Second difference of stable points in eye distances: 0.005 to 0.016 in good recordings, 0.03 with occlusion.
UNSTEADY_JITTER = 0.06
_STABLE_POINTS = (*EYE_OUTER_CORNERS, FOREHEAD, CHIN)
_MOUTH_OUTLINE = (*OUTER_LIP_CORNERS, OUTER_UPPER_LIP, OUTER_LOWER_LIP)


def judge_span(track: FaceTrack, span: Span, source: str) -> Dropped | None:
    """Why the pictures of `span` are not fit to learn from, or None where they are."""
    seen = _seen(track, span)
    where = f"{track.times[span.start]:.1f} to {track.times[span.end - 1]:.1f} s"

    def dropped(reason: str, detail: str) -> Dropped:
        return Dropped(source, reason, f"{detail} ({where})")

    crowded = float((track.second_face[seen] > SECOND_FACE_SIZE).mean())
    if crowded > SECOND_FACE_SHARE:
        return dropped(
            TWO_FACES, f"a second face in {crowded:.0%} of the pictures; crop the video to the one who speaks"
        )
    width = float(np.median(track.face_width()[seen]))
    if width < MIN_FACE_PIXELS:
        return dropped(FACE_TOO_SMALL, f"the face is {width:.0f} pixels wide; {MIN_FACE_PIXELS} are needed")
    outside = mouth_outside_share(track, seen)
    if outside > OUTSIDE_SHARE:
        return dropped(MOUTH_OUTSIDE, f"the mouth is cut off in {outside:.0%} of the pictures")
    sideways = float((np.abs(axis_angle_to_euler_numpy(track.head[seen])[:, 1]) > SIDE_YAW_RAD).mean())
    if sideways > SIDE_SHARE:
        return dropped(SIDE_VIEW, f"the head is turned by more than 60 degrees in {sideways:.0%} of the pictures")
    movement = float(track.mouth_opening()[seen].std())
    if movement < STILL_MOUTH:
        return dropped(STILL_PICTURE, "the mouth does not move; this may be a photograph")
    shaking = jitter(track, seen)
    if shaking > UNSTEADY_JITTER:
        return dropped(UNSTEADY, f"landmarks jump by {shaking:.2f} eye distances from picture to picture")
    return None


def measure_span(track: FaceTrack, span: Span) -> dict[str, float]:
    """Figures for a clip's metadata: median face width in pixels, median absolute yaw in degrees, jitter in eye distances."""
    seen = _seen(track, span)
    yaw = np.rad2deg(np.abs(axis_angle_to_euler_numpy(track.head[seen])[:, 1]))
    return {
        "face_width_px": round(float(np.median(track.face_width()[seen])), 1),
        "yaw_deg": round(float(np.median(yaw)), 1),
        "jitter": round(jitter(track, seen), 4),
    }


def mouth_outside_share(track: FaceTrack, pictures: np.ndarray) -> float:
    """Share of `pictures` (indices) in which a point of the mouth's outline lies outside the picture."""
    mouth = track.landmarks[pictures][:, _MOUTH_OUTLINE, :2]
    width, height = track.size
    outside = (mouth < 0).any(axis=2) | (mouth[..., 0] > width) | (mouth[..., 1] > height)
    return float(outside.any(axis=1).mean())


def jitter(track: FaceTrack, pictures: np.ndarray) -> float:
    """Mean absolute second difference of eye corners, forehead and chin about the nose tip, in eye distances; 0 under 3 `pictures`."""
    if len(pictures) < 3:
        return 0.0
    points = track.landmarks[pictures]
    relative = points[:, _STABLE_POINTS] - points[:, [NOSE_TIP]]
    relative = relative / np.maximum(track.eye_distance()[pictures], 1e-6)[:, None, None]
    return float(np.abs(np.diff(relative, n=2, axis=0)).mean())


def _seen(track: FaceTrack, span: Span) -> np.ndarray:
    return np.arange(span.start, span.end)[track.found[span.start : span.end]]

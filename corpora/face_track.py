"""What a tracker saw in one video: the main face frame by frame, at the video's own times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_LANDMARKS = 478
# Indices into MediaPipe's canonical face mesh (facemesh topology of google-ai-edge/mediapipe).
INNER_UPPER_LIP, INNER_LOWER_LIP = 13, 14
INNER_LIP_CORNERS = (78, 308)
OUTER_UPPER_LIP, OUTER_LOWER_LIP = 0, 17
OUTER_LIP_CORNERS = (61, 291)
EYE_OUTER_CORNERS = (33, 263)
FACE_SIDES = (234, 454)
FOREHEAD, CHIN, NOSE_TIP = 10, 152, 1


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """T pictures of a video; values of pictures without a face (`found` false) are zeros.

    `times` [T] seconds from the start of the container, strictly increasing, not necessarily even. `found` [T] bool.
    `expression` [T,52] scores in the order of `faces.arkit.ARKIT_NAMES`. `head` [T,3] axis-angle, radians, and `translation` [T,3]
    metres from the camera; axes as in `faces.rotations` (x to the viewer's right, y up, z towards the viewer).
    `landmarks` [T,478,3] pixels of the analysed picture, x right, y *down*, z away from the viewer on the scale of x.
    `second_face` [T] size of the second largest face as a share of the main face's, 0 where there is none.
    `picture_change` [T] distance between the colour histograms of a picture and the one before, 0 (same) to 1.
    `size` (width, height) of the analysed pictures.
    """

    times: np.ndarray
    found: np.ndarray
    expression: np.ndarray
    head: np.ndarray
    translation: np.ndarray
    landmarks: np.ndarray
    second_face: np.ndarray
    picture_change: np.ndarray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def found_share(self) -> float:
        """Share of pictures with a face; 0 for a video without pictures."""
        return float(self.found.mean()) if len(self) else 0.0

    @property
    def duration_s(self) -> float:
        """Seconds from the first picture to the end of the last, which is taken to last as long as the median picture."""
        if len(self) < 2:
            return 0.0
        return float(self.times[-1] - self.times[0] + np.median(np.diff(self.times)))

    def face_width(self) -> np.ndarray:
        """Distance [T] between the sides of the face in pixels of the analysed picture."""
        return self._distance(*FACE_SIDES)

    def eye_distance(self) -> np.ndarray:
        """Distance [T] between the outer corners of the eyes in space, pixels."""
        return self._distance(*EYE_OUTER_CORNERS)

    def mouth_opening(self) -> np.ndarray:
        """Distance [T] between the inner edges of the lips over that between the outer corners of the eyes."""
        return self._relative(INNER_UPPER_LIP, INNER_LOWER_LIP)

    def mouth_distances(self) -> np.ndarray:
        """Inner height, outer height, inner width and outer width of the mouth [T,4] over the distance of the eyes' outer corners."""
        pairs = (
            (INNER_UPPER_LIP, INNER_LOWER_LIP),
            (OUTER_UPPER_LIP, OUTER_LOWER_LIP),
            INNER_LIP_CORNERS,
            OUTER_LIP_CORNERS,
        )
        return np.stack([self._relative(*pair) for pair in pairs], axis=1)

    def _distance(self, first: int, second: int) -> np.ndarray:
        return np.linalg.norm(self.landmarks[:, first] - self.landmarks[:, second], axis=1)

    def _relative(self, first: int, second: int) -> np.ndarray:
        return self._distance(first, second) / np.maximum(self.eye_distance(), 1e-6)

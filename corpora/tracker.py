"""Tracking of a face by MediaPipe's FaceLandmarker: blend-shape scores, head rotation and translation, landmarks.

Model and method: Lugaresi et al. 2019, "MediaPipe"; Kartynnik et al. 2019, "Real-time Facial Surface Geometry from Monocular Video";
Grishchenko et al. 2023, "Blendshapes GHUM". MediaPipe is an optional extra and is imported when the first video is tracked.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from corpora.clip import ClipError
from corpora.face_track import NUM_LANDMARKS, FaceTrack
from corpora.video import VideoPicture, read_pictures
from faces.arkit import ARKIT_INDEX, NUM_ARKIT

TRACKER_NAME = "mediapipe_face_landmarker"
MAX_FACES = 2
CENTIMETRES_TO_METRES = 0.01
# Two boxes that overlap more than this (intersection over union) are one face found twice.
SAME_FACE_OVERLAP = 0.5
HISTOGRAM_BINS = 8
HISTOGRAM_PIXELS = 128


class TrackerError(ClipError):
    """The tracker cannot work; the message says what is missing and what to do."""


def require_mediapipe() -> ModuleType:
    """The package `mediapipe`. Raises `TrackerError` telling how to install it."""
    try:
        import mediapipe
    except ImportError as error:
        raise TrackerError(
            f"tracking faces needs the package mediapipe, which cannot be imported ({error}); "
            "install it: pip install 'persona-faces[track]'"
        ) from error
    return mediapipe


def tracker_version() -> str:
    """Version of the installed MediaPipe, "" where there is none."""
    try:
        return importlib.metadata.version("mediapipe")
    except importlib.metadata.PackageNotFoundError:
        return ""


def track_video(path: str | Path, model: str | Path) -> FaceTrack:
    """Follow the main face through the video `path` with the model file `model` (`face_landmarker.task`).

    The main face is the largest one, then whoever is nearest to it in the next picture. Raises `VideoError` for an unreadable
    video and `TrackerError` where MediaPipe or its model does not work.
    """
    return track_pictures(read_pictures(path), model)


def track_pictures(pictures: Iterable[VideoPicture], model: str | Path) -> FaceTrack:
    """As `track_video`, for pictures that are already decoded; they share one size."""
    collected = _Collected()
    with _landmarker(model) as detect:
        for picture in pictures:
            collected.add(picture, detect(picture))
    return collected.track()


@contextmanager
def _landmarker(model: str | Path) -> Iterator[Any]:
    """A function from a picture to MediaPipe's result; one landmarker follows one video, so no state passes between videos."""
    mediapipe = require_mediapipe()
    vision = mediapipe.tasks.vision
    options = vision.FaceLandmarkerOptions(
        # The content and not the path: native code cannot open every path that Python can.
        base_options=mediapipe.tasks.BaseOptions(model_asset_buffer=Path(model).read_bytes()),
        running_mode=vision.RunningMode.VIDEO,
        num_faces=MAX_FACES,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    with quiet_native_log():
        try:
            landmarker = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise TrackerError(
                f"MediaPipe cannot use the model {model} ({error}); give the official face_landmarker.task"
            ) from error
    last_ms = -1

    def detect(picture: VideoPicture) -> Any:
        nonlocal last_ms
        first = last_ms < 0
        last_ms = max(last_ms + 1, round(picture.time_s * 1000))
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture.rgb)
        if first:
            with quiet_native_log():
                return landmarker.detect_for_video(image, last_ms)
        return landmarker.detect_for_video(image, last_ms)

    with landmarker:
        yield detect


@contextmanager
def quiet_native_log() -> Iterator[None]:
    """Send what native code writes to standard error (file descriptor 2) nowhere meanwhile.

    MediaPipe and TensorFlow Lite print a dozen start-up lines per landmarker that no Python setting turns off. Exceptions are not
    affected; the landmarker is silent after its first picture, so only creation and that picture run under this.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def scores_to_arkit(names: Iterable[str], scores: Iterable[float]) -> np.ndarray:
    """MediaPipe's scores as [52] float32 in ARKit order, by name: `_neutral` is dropped, what MediaPipe lacks (`tongueOut`) is 0."""
    vector = np.zeros(NUM_ARKIT, np.float32)
    for name, score in zip(names, scores, strict=True):
        if name != "_neutral":
            vector[ARKIT_INDEX[name]] = score
    return vector


def pose_from_matrix(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MediaPipe's facial transformation matrix [4,4] as head rotation [3] (axis-angle, radians) and translation [3] (metres).

    The matrix maps the canonical face (centimetres; x right, y up, z towards the viewer, as ours) to camera space with the camera at the
    origin looking along -z, so neither axis nor sign changes. It may scale; the nearest rotation is taken.
    """
    matrix = np.asarray(matrix, np.float64)
    left, _, right = np.linalg.svd(matrix[:3, :3])
    rotation = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    head = Rotation.from_matrix(rotation).as_rotvec()
    return head.astype(np.float32), (matrix[:3, 3] * CENTIMETRES_TO_METRES).astype(np.float32)


def colour_histogram(rgb: np.ndarray) -> np.ndarray:
    """Share of pixels [512] in each of 8 x 8 x 8 colours of a picture [H,W,3], from at most about 128 x 128 of its pixels."""
    step = max(1, max(rgb.shape[:2]) // HISTOGRAM_PIXELS)
    bins = (rgb[::step, ::step].reshape(-1, 3) // (256 // HISTOGRAM_BINS)).astype(np.int64)
    index = (bins[:, 0] * HISTOGRAM_BINS + bins[:, 1]) * HISTOGRAM_BINS + bins[:, 2]
    return np.bincount(index, minlength=HISTOGRAM_BINS**3) / len(index)


class _Collected:
    """Rows of a FaceTrack, picture by picture, and what is needed to keep following the same face."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {
            name: []
            for name in (
                "times",
                "found",
                "expression",
                "head",
                "translation",
                "landmarks",
                "second_face",
                "picture_change",
            )
        }
        self.size = (0, 0)
        self.last_histogram: np.ndarray | None = None
        self.last_centre: np.ndarray | None = None

    def add(self, picture: VideoPicture, result: Any) -> None:
        height, width = picture.rgb.shape[:2]
        self.size = (width, height)
        faces = [_landmark_pixels(face, width, height) for face in result.face_landmarks]
        main = self._main_face(faces)
        row: dict[str, Any] = {
            "times": picture.time_s,
            "found": main is not None,
            "picture_change": self._picture_change(picture.rgb),
            "second_face": 0.0,
            "expression": np.zeros(NUM_ARKIT, np.float32),
            "head": np.zeros(3, np.float32),
            "translation": np.zeros(3, np.float32),
            "landmarks": np.zeros((NUM_LANDMARKS, 3), np.float32),
        }
        if main is not None:
            scores = result.face_blendshapes[main]
            row["expression"] = scores_to_arkit([s.category_name for s in scores], [s.score for s in scores])
            row["head"], row["translation"] = pose_from_matrix(result.facial_transformation_matrixes[main])
            row["landmarks"] = faces[main]
            row["second_face"] = _second_face_share(faces, main)
        for name, value in row.items():
            self.rows[name].append(value)

    def track(self) -> FaceTrack:
        shapes = {
            "expression": (NUM_ARKIT,),
            "head": (3,),
            "translation": (3,),
            "landmarks": (NUM_LANDMARKS, 3),
        }
        arrays: dict[str, np.ndarray] = {}
        for name, values in self.rows.items():
            kind = {"times": np.float64, "found": np.bool_}.get(name, np.float32)
            arrays[name] = np.array(values, dtype=kind).reshape(len(values), *shapes.get(name, ()))
        return FaceTrack(size=self.size, **arrays)

    def _main_face(self, faces: list[np.ndarray]) -> int | None:
        """The face nearest to where the main face was last, or else the largest; nearest must mean closer than its own size."""
        if not faces:
            return None
        centres = [face[:, :2].mean(axis=0) for face in faces]
        sizes = [_box_size(face) for face in faces]
        chosen = int(np.argmax(sizes))
        if self.last_centre is not None:
            distances = [float(np.linalg.norm(centre - self.last_centre)) for centre in centres]
            nearest = int(np.argmin(distances))
            chosen = nearest if distances[nearest] < sizes[nearest] else chosen
        self.last_centre = centres[chosen]
        return chosen

    def _picture_change(self, rgb: np.ndarray) -> float:
        histogram = colour_histogram(rgb)
        change = 0.0
        if self.last_histogram is not None:
            change = 0.5 * float(np.abs(histogram - self.last_histogram).sum())
        self.last_histogram = histogram
        return change


def _landmark_pixels(face: Any, width: int, height: int) -> np.ndarray:
    points = np.array([(point.x, point.y, point.z) for point in face], np.float32)
    return points * np.array([width, height, width], np.float32)


def _box_size(face: np.ndarray) -> float:
    low, high = face[:, :2].min(axis=0), face[:, :2].max(axis=0)
    return float(np.sqrt(np.prod(high - low)))


def _second_face_share(faces: list[np.ndarray], main: int) -> float:
    others = [
        _box_size(face) for i, face in enumerate(faces) if i != main and _overlap(face, faces[main]) < SAME_FACE_OVERLAP
    ]
    return max(others, default=0.0) / max(_box_size(faces[main]), 1e-6)


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of the boxes around two faces."""
    low = np.maximum(first[:, :2].min(axis=0), second[:, :2].min(axis=0))
    high = np.minimum(first[:, :2].max(axis=0), second[:, :2].max(axis=0))
    shared = float(np.prod(np.maximum(high - low, 0.0)))
    return shared / max(_box_size(first) ** 2 + _box_size(second) ** 2 - shared, 1e-6)

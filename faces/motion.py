"""The motion container that every room passes on: what a face did, frame by frame."""

from __future__ import annotations

import dataclasses
import io
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from faces.arkit import NUM_ARKIT

IDENTITY_SPACES = ("", "procedural", "ict", "flame")
_FORMAT = "face-motion/1"
_ARRAYS = ("expression", "head", "jaw", "identity")
_LABELS = ("format", "space", "identity_space")


class MotionError(ValueError):
    """A motion cannot be made, read or combined; the message says what was received and what was expected."""


@dataclass(frozen=True, eq=False)
class FaceMotion:
    """T frames of facial motion; every array becomes float32 and is checked for shape and finiteness.

    `expression` [T,E]: coefficients of the expression `space` ("arkit": E is 52, order of `faces.arkit.ARKIT_NAMES`; or "flame").
    `head` [T,3]: rotation, axis-angle in radians; `jaw` [T,3]: likewise, zeros where the space does not use it (None means zeros).
    `translation` [T,3] metres or None; axes are x right, y up, z towards the viewer.
    `identity` [I]: shape coefficients in `identity_space` (one of `IDENTITY_SPACES`; "" means unknown; None means length 0).
    `fps`: frames a second; frame i shows time i / fps.

    Raises `MotionError` naming the field, and the first bad frame where a value is not finite.
    """

    expression: np.ndarray
    head: np.ndarray
    jaw: np.ndarray = None  # type: ignore[assignment]
    translation: np.ndarray | None = None
    identity: np.ndarray = None  # type: ignore[assignment]
    identity_space: str = ""
    space: str = "arkit"
    fps: float = 25.0

    def __post_init__(self) -> None:
        expression = _as_float32("expression", self.expression)
        if expression.ndim != 2:
            raise MotionError(f"expression has shape {expression.shape}; expected [frames, coefficients]")
        frames = len(expression)
        jaw = np.zeros((frames, 3), np.float32) if self.jaw is None else _as_float32("jaw", self.jaw)
        identity = np.zeros(0, np.float32) if self.identity is None else _as_float32("identity", self.identity)
        head = _as_float32("head", self.head)
        per_frame = {"head": head, "jaw": jaw}
        if self.translation is not None:
            per_frame["translation"] = _as_float32("translation", self.translation)
        for name, values in per_frame.items():
            if values.shape != (frames, 3):
                raise MotionError(
                    f"{name} has shape {values.shape}; expected {(frames, 3)} beside {frames} frames of expression"
                )
        if identity.ndim != 1:
            raise MotionError(f"identity has shape {identity.shape}; expected one vector per clip, [coefficients]")
        self._check_labels(expression.shape[1])
        for name, values in {"expression": expression, "identity": identity, **per_frame}.items():
            _require_finite(name, values)
            object.__setattr__(self, name, values)
        object.__setattr__(self, "fps", float(self.fps))

    def _check_labels(self, num_coefficients: int) -> None:
        if not isinstance(self.space, str) or not self.space:
            raise MotionError(f"space is {self.space!r}; expected the name of the expression space, such as 'arkit'")
        if self.space == "arkit" and num_coefficients != NUM_ARKIT:
            raise MotionError(
                f"expression has {num_coefficients} coefficients; the arkit space has {NUM_ARKIT}: map them by name (faces.arkit)"
            )
        if self.identity_space not in IDENTITY_SPACES:
            raise MotionError(f"identity_space is {self.identity_space!r}; expected one of {IDENTITY_SPACES}")
        if isinstance(self.fps, str) or not np.isfinite(self.fps) or self.fps <= 0:
            raise MotionError(f"fps is {self.fps!r}; expected a positive number of frames a second")

    def __len__(self) -> int:
        return len(self.expression)

    @property
    def duration(self) -> float:
        """Seconds; a frame lasts 1 / fps."""
        return len(self) / self.fps

    def __getitem__(self, frames: slice) -> FaceMotion:
        """The frames of a slice without step, as views of the same memory; same rate and identity."""
        if not isinstance(frames, slice):
            raise TypeError(
                f"a motion is cut by slices, not by {type(frames).__name__}; use motion[i : i + 1] for one frame"
            )
        if frames.step not in (None, 1):
            raise MotionError(f"slice step is {frames.step}; dropping frames changes the rate: use resample(fps)")
        return self._with_frames(lambda values: values[frames])

    def _with_frames(self, change: Any, **fields: Any) -> FaceMotion:
        translation = None if self.translation is None else change(self.translation)
        expression, head, jaw = change(self.expression), change(self.head), change(self.jaw)
        return self.replace(expression=expression, head=head, jaw=jaw, translation=translation, **fields)

    def replace(self, **fields: Any) -> FaceMotion:
        """A copy with some fields changed; validated again."""
        return dataclasses.replace(self, **fields)

    @staticmethod
    def concatenate(motions: Sequence[FaceMotion]) -> FaceMotion:
        """Join motions in time. Raises `MotionError` unless they share space, rate, identity and having a translation."""
        if not motions:
            raise MotionError("nothing to concatenate; expected at least one motion")
        first = motions[0]
        for index, motion in enumerate(motions[1:], start=1):
            for name in ("space", "fps", "identity_space"):
                if getattr(motion, name) != getattr(first, name):
                    raise MotionError(
                        f"motion {index} has {name} {getattr(motion, name)!r}, the first {getattr(first, name)!r}; convert one of them first"
                    )
            if not np.array_equal(motion.identity, first.identity):
                raise MotionError(
                    f"motion {index} has another identity than the first; replace(identity=...) to agree on one"
                )
            if motion.expression.shape[1] != first.expression.shape[1]:
                raise MotionError(
                    f"motion {index} has {motion.expression.shape[1]} coefficients, the first {first.expression.shape[1]}"
                )
            if (motion.translation is None) != (first.translation is None):
                raise MotionError(
                    f"motion {index} and the first: one has a translation, the other none; add or drop it first"
                )
        fields = {name: np.concatenate([getattr(m, name) for m in motions]) for name in ("expression", "head", "jaw")}
        if first.translation is not None:
            fields["translation"] = np.concatenate([m.translation for m in motions if m.translation is not None])
        return first.replace(**fields)

    def resample(self, fps: float) -> FaceMotion:
        """The same motion at another rate: round(duration * fps) frames, frame i at time i / fps (see `resample_at`)."""
        if not np.isfinite(fps) or fps <= 0:
            raise MotionError(f"cannot resample to fps {fps!r}; expected a positive number of frames a second")
        if fps == self.fps:
            return self
        times = np.arange(round(self.duration * fps)) / fps
        return self.resample_at(times).replace(fps=fps)

    def resample_at(self, times_s: np.ndarray) -> FaceMotion:
        """The motion at `times_s` [N] seconds; keeps `fps`, so the caller sets it where the spacing changed.

        Coefficients and translation are interpolated linearly, rotations on the sphere (slerp, the shorter way);
        times before the first and after the last frame hold that frame. Raises `MotionError` for an empty motion.
        """
        times = np.asarray(times_s, dtype=np.float64)
        if times.ndim != 1 or not np.isfinite(times).all():
            raise MotionError(
                f"times have shape {times.shape} or are not finite; expected one dimension of finite seconds"
            )
        if len(self) == 0:
            raise MotionError("a motion of 0 frames cannot be resampled")
        position = np.clip(times * self.fps, 0, len(self) - 1)

        def linear(values: np.ndarray) -> np.ndarray:
            before = np.minimum(position.astype(np.int64), max(len(values) - 2, 0))
            after = np.minimum(before + 1, len(values) - 1)
            weight = (position - before)[:, None].astype(np.float32)
            return values[before] * (1 - weight) + values[after] * weight

        translation = None if self.translation is None else linear(self.translation)
        head, jaw = _slerp(self.head, position), _slerp(self.jaw, position)
        return self.replace(expression=linear(self.expression), head=head, jaw=jaw, translation=translation)

    def to_bytes(self) -> bytes:
        """The motion as the bytes of an npz file; equal motions give equal bytes."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        if self.translation is not None:
            arrays["translation"] = self.translation
        buffer = io.BytesIO()
        np.savez(
            buffer,
            format=np.array(_FORMAT),
            space=np.array(self.space),
            identity_space=np.array(self.identity_space),
            fps=np.array(self.fps, np.float64),
            **arrays,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, source: str = "motion bytes") -> FaceMotion:
        """Read what `to_bytes` gave. Raises `MotionError` naming `source` if it is damaged, foreign or not finite."""
        try:
            stored = _read_npz(content)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            ValueError,
            KeyError,
            MemoryError,
        ) as error:
            raise MotionError(
                f"{source}: not a readable motion file ({error}); it may be truncated or of another kind: write it again with FaceMotion.save"
            ) from error
        missing = [name for name in (*_LABELS, *_ARRAYS, "fps") if name not in stored]
        if missing or str(stored["format"]) != _FORMAT:
            found = str(stored.get("format", "none"))
            raise MotionError(
                f"{source}: not a motion of format {_FORMAT} (format {found}, missing {missing}); expected a file of FaceMotion.save"
            )
        if stored["fps"].shape != () or stored["fps"].dtype.kind != "f":
            raise MotionError(
                f"{source}: fps has shape {stored['fps'].shape} and type {stored['fps'].dtype}; expected one number"
            )
        try:
            return cls(
                **{name: stored[name] for name in _ARRAYS},
                translation=stored.get("translation"),
                identity_space=str(stored["identity_space"]),
                space=str(stored["space"]),
                fps=float(stored["fps"]),
            )
        except MotionError as error:
            raise MotionError(f"{source}: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an npz file under exactly this name, whole or not at all."""
        path = Path(path)
        partial = path.with_name(path.name + ".tmp")
        try:
            partial.write_bytes(self.to_bytes())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FaceMotion:
        """Read a file of `save`. Raises `MotionError` naming the file if it is absent, damaged, foreign or not finite."""
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise MotionError(f"{path}: cannot be read ({error.strerror}); expected a motion file (.npz)") from error
        return cls.from_bytes(content, source=str(path))


def _as_float32(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise MotionError(f"{name} has type {array.dtype}; expected real numbers")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def _require_finite(name: str, values: np.ndarray) -> None:
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    first = np.argwhere(bad)[0]
    where = f"coefficient {first[0]}" if values.ndim == 1 else f"frame {first[0]}, component {first[1]}"
    raise MotionError(
        f"{name} is not finite: first at {where} ({values[tuple(first)]}), {int(bad.sum())} value(s) in all; mend or cut these"
    )


def _slerp(axis_angle: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Axis-angle [T,3] at fractional frame positions [N] in [0, T-1], along great circles of the rotation group."""
    if len(axis_angle) == 1:
        return np.repeat(axis_angle, len(position), axis=0)
    if len(position) == 0 or not axis_angle.any():
        return np.zeros((len(position), 3), np.float32)
    turn = Slerp(np.arange(len(axis_angle)), Rotation.from_rotvec(axis_angle.astype(np.float64)))
    return turn(position).as_rotvec().astype(np.float32)


def _read_npz(content: bytes) -> dict[str, np.ndarray]:
    archive = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("one bare array instead of named ones")
    with archive:
        return {name: archive[name] for name in archive.files}

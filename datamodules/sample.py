"""One sample of a shard: a SpeechClip and the tar members that hold it. No pickle in either direction.

Members of the sample `<key>`: `audio.flac` (16 kHz mono), `motion.npz` (FaceMotion), `meta.json` (ClipMeta),
and, where somebody cached them, `units.npy` (integer speech units `[k * T]`) and `features.npy` (float speech
features `[k * T, D]`) with a whole number k per motion frame; `meta.extra["features_encoder"]` names the
encoder.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from corpora.clip import ClipError, ClipMeta, SpeechClip
from datamodules.errors import SampleError
from faces.motion import FaceMotion, MotionError
from speech.audio import AudioError, decode_flac, encode_flac

AUDIO, MOTION, META, UNITS, FEATURES = "audio.flac", "motion.npz", "meta.json", "units.npy", "features.npy"
REQUIRED_MEMBERS = (AUDIO, MOTION, META)
OPTIONAL_MEMBERS = (UNITS, FEATURES)


@dataclass(frozen=True, eq=False)
class Sample:
    """A clip with the optional arrays cached beside it: `units [k * T]` integers, `features [k * T, D]`
    float32.
    """

    clip: SpeechClip
    units: np.ndarray | None = None
    features: np.ndarray | None = None


def encode_sample(
    clip: SpeechClip, units: np.ndarray | None = None, features: np.ndarray | None = None
) -> dict[str, bytes]:
    """The members of a clip, extension to bytes."""
    members = {
        AUDIO: encode_flac(clip.audio),
        MOTION: clip.motion.to_bytes(),
        META: json.dumps(clip.meta.to_dict(), ensure_ascii=False, sort_keys=True).encode("utf-8"),
    }
    if units is not None:
        members[UNITS] = array_bytes(units)
    if features is not None:
        members[FEATURES] = array_bytes(np.asarray(features, dtype=np.float32))
    return members


def decode_sample(key: str, members: Mapping[str, bytes], shard: str = "?") -> Sample:
    """Inverse of `encode_sample` (up to FLAC's 16 bits). `shard` is only named in errors.

    Raises SampleError naming shard, key and member for a missing, damaged or inconsistent member.
    """
    missing = [name for name in REQUIRED_MEMBERS if name not in members]
    if missing:
        raise SampleError(f"shard {shard}, sample {key}: member {missing[0]} is missing; found {sorted(members)}")
    meta = decode_meta(key, members[META], shard)
    motion = decode_motion(key, members[MOTION], shard)
    try:
        audio = decode_flac(members[AUDIO])
    except (AudioError, RuntimeError, OSError) as error:
        raise damaged(shard, key, AUDIO, error) from error
    try:
        clip = SpeechClip(key=key, audio=audio, motion=motion, meta=meta)
    except ClipError as error:
        raise SampleError(f"shard {shard}, sample {key}: audio and motion do not belong together: {error}") from error
    units = _decode_cached(clip, UNITS, members, shard, dimensions=1)
    features = _decode_cached(clip, FEATURES, members, shard, dimensions=2)
    return Sample(clip, units, None if features is None else features.astype(np.float32, copy=False))


def decode_meta(key: str, data: bytes, shard: str = "?") -> ClipMeta:
    """Metadata of a sample; raises SampleError."""
    try:
        return ClipMeta.from_dict(json.loads(data))
    except (ClipError, TypeError, ValueError) as error:
        raise damaged(shard, key, META, error) from error


def decode_motion(key: str, data: bytes, shard: str = "?") -> FaceMotion:
    """Motion of a sample; raises SampleError, also for values that are not finite."""
    try:
        return FaceMotion.from_bytes(data)
    except (MotionError, ValueError, OSError) as error:
        raise damaged(shard, key, MOTION, error) from error


def damaged(shard: str, key: str, member: str, error: Exception) -> SampleError:
    """The error for a member that cannot be decoded."""
    return SampleError(
        f"shard {shard}, sample {key}: {member} cannot be used ({error}); "
        "run `python prepare.py check` on the folder, then prepare this corpus again"
    )


def array_bytes(array: np.ndarray) -> bytes:
    """The bytes of an npy file without pickled objects."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _decode_cached(
    clip: SpeechClip, member: str, members: Mapping[str, bytes], shard: str, dimensions: int
) -> np.ndarray | None:
    if member not in members:
        return None
    try:
        array = np.load(io.BytesIO(members[member]), allow_pickle=False)
    except (ValueError, OSError) as error:
        raise damaged(shard, clip.key, member, error) from error
    if array.ndim != dimensions or len(array) == 0 or len(array) % len(clip.motion):
        raise SampleError(
            f"shard {shard}, sample {clip.key}: {member} has shape {array.shape}; expected {dimensions} dimension(s), "
            f"the first a multiple of the {len(clip.motion)} motion frames"
        )
    return array

"""Semantic units: each motion frame of speech as the number of its nearest cluster, found by k-means over a whole
corpus.

The features are those of a pretrained encoder where there is one (HuBERT in the paper), else `MfccContext`; both are
called alike and have a `fingerprint`, which the units keep: units of another encoder mean something else and are
refused.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from speech.audio import SAMPLES_PER_FRAME
from speech.encoders import PretrainedEncoder
from speech.features import MEL_FRAMES_PER_MOTION_FRAME, NUM_MELS, LogMel
from speech.tensor_file import load_tensor_file, save_tensor_file

_FORMAT = "semantic-units/1"
# What a file of units is called, and where clips and corpora with cached units have their fingerprint.
UNITS_FILE, UNITS_RECORD = "semantic_units.safetensors", "semantic_units"
_ASSIGNED_AT_ONCE = 16_384


class UnitsError(ValueError):
    """Semantic units cannot be fitted, read or used; the message says what was received and what was expected."""


class MfccContext(nn.Module):
    """Audio `[B, N]` and `num_frames` [B] to `[B, T, 65]` at 25 frames/s: 13 cepstral coefficients of five motion
    frames, two to each side.

    Cepstra are the orthonormal DCT of the log-mel, averaged over a motion frame, less their mean over the clip, which
    holds much of voice and channel. Beyond a clip's ends lie zeros. Nothing is learned. The stand-in for an encoder:
    what it clusters is sound, not yet meaning.
    """

    COEFFICIENTS, CONTEXT = 13, 2
    fingerprint = "mfcc-context-1"
    width = COEFFICIENTS * (2 * CONTEXT + 1)
    transform: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.log_mel = LogMel()
        order = torch.arange(self.COEFFICIENTS, dtype=torch.float64)
        position = (torch.arange(NUM_MELS, dtype=torch.float64) + 0.5) * math.pi / NUM_MELS
        transform = torch.cos(position[:, None] * order) * (2 / NUM_MELS) ** 0.5
        transform[:, 0] /= 2**0.5
        self.register_buffer("transform", transform.float(), persistent=False)

    @torch.no_grad()
    def forward(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        frames = audio.shape[1] // SAMPLES_PER_FRAME
        valid = (torch.arange(frames, device=audio.device) < num_frames[:, None]).unsqueeze(-1)
        blocks = audio[:, : frames * SAMPLES_PER_FRAME].unflatten(1, (frames, SAMPLES_PER_FRAME))
        mel = self.log_mel(blocks.masked_fill(~valid, 0.0).flatten(1))
        cepstra = mel.unflatten(1, (-1, MEL_FRAMES_PER_MOTION_FRAME)).mean(2) @ self.transform
        cepstra = cepstra.masked_fill(~valid, 0.0)
        mean = cepstra.sum(1, keepdim=True) / num_frames.clamp(min=1).view(-1, 1, 1)
        cepstra = (cepstra - mean).masked_fill(~valid, 0.0)
        padded = nn.functional.pad(cepstra, (0, 0, self.CONTEXT, self.CONTEXT))
        return padded.unfold(1, 2 * self.CONTEXT + 1, 1).flatten(2).masked_fill(~valid, 0.0)


def encoder_identity(encoder: PretrainedEncoder) -> str:
    """What cached features and units call a pretrained encoder: its name and the fingerprint of its weights."""
    return f"{encoder.name} {encoder.fingerprint}"


def encoder_features(encoded: np.ndarray, num_frames: int) -> np.ndarray:
    """What units cluster of a pretrained encoder's features `[k * num_frames, D]`, one row a motion frame."""
    return average_pairs(encoded.reshape(num_frames, -1))


def average_pairs(features: np.ndarray) -> np.ndarray:
    """Two 50 Hz frames side by side `[T, 2 H]`, as the pretrained encoders give them, to their mean `[T, H]`."""
    if features.ndim != 2 or features.shape[1] % 2:
        raise UnitsError(f"features have shape {features.shape}; expected [T, 2 H], two encoder frames side by side")
    first, second = np.split(np.asarray(features, np.float32), 2, axis=1)
    return (first + second) / 2


@dataclass(frozen=True, eq=False)
class SemanticUnits:
    """`centroids` `[K, F]` of features divided by `scale` `[F]` (each feature's standard deviation in the corpus), and
    the `encoder`'s fingerprint.
    """

    centroids: np.ndarray
    scale: np.ndarray
    encoder: str

    def __post_init__(self) -> None:
        for name in ("centroids", "scale"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float32))
        if self.centroids.ndim != 2 or self.scale.shape != self.centroids.shape[1:]:
            raise UnitsError(
                f"centroids have shape {self.centroids.shape}, scale {self.scale.shape}; expected [K, F] and [F]"
            )
        if not (np.isfinite(self.centroids).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise UnitsError("centroids and scale must be finite and scale positive; fit the units again")

    def __len__(self) -> int:
        return len(self.centroids)

    @property
    def fingerprint(self) -> str:
        """`units-<12 hex>` over centroids, scale and encoder."""
        digest = hashlib.sha256(self.encoder.encode())
        for array in (self.centroids, self.scale):
            digest.update(f"{array.shape}".encode() + array.tobytes())
        return f"units-{digest.hexdigest()[:12]}"

    def assign(self, features: np.ndarray, encoder: str) -> np.ndarray:
        """Units [T] int64 of features `[T, F]` at 25 frames/s made by `encoder` (its fingerprint); of equally near ones
        the lowest.

        Raises UnitsError for another encoder, another width or values that are not finite.
        """
        if encoder != self.encoder:
            raise UnitsError(
                f"the features are of encoder {encoder}, but the units were fitted on {self.encoder}; "
                "use that encoder or fit new units"
            )
        features = np.asarray(features, np.float32)
        if features.ndim != 2 or features.shape[1] != self.centroids.shape[1]:
            raise UnitsError(f"features have shape {features.shape}; expected [T, {self.centroids.shape[1]}]")
        if not np.isfinite(features).all():
            raise UnitsError("features hold values that are not finite; make them again")
        return nearest_centroids(features / self.scale, self.centroids)[0]

    def save(self, path: str | os.PathLike[str]) -> None:
        arrays = {"centroids": self.centroids, "scale": self.scale}
        save_tensor_file(path, arrays, {"format": _FORMAT, "encoder": self.encoder})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SemanticUnits:
        """Raises UnitsError for a file that holds no units."""
        try:
            arrays, metadata = load_tensor_file(path, _FORMAT)
            return cls(arrays["centroids"], arrays["scale"], metadata["encoder"])
        except UnitsError:
            raise
        except (ValueError, KeyError) as error:
            raise UnitsError(f"no semantic units in {path}: {error}") from error


def nearest_centroids(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number [T] int64 of the nearest centroid of each point `[T, F]`, and squared distances [T]."""
    numbers = np.empty(len(points), np.int64)
    distances = np.empty(len(points), np.float32)
    half_norms = 0.5 * np.square(centroids).sum(1)
    for start in range(0, len(points), _ASSIGNED_AT_ONCE):
        part = points[start : start + _ASSIGNED_AT_ONCE]
        score = part @ centroids.T - half_norms
        best = score.argmax(1)
        numbers[start : start + len(part)] = best
        nearest = np.square(part).sum(1) - 2 * score[np.arange(len(part)), best]
        distances[start : start + len(part)] = np.maximum(nearest, 0)
    return numbers, distances

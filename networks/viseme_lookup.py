"""Nearest-sound lookup: every frame of speech gets the mean face of the training sound that it is nearest to."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from networks.fitted_baselines import FittedBaseline, smoothed
from networks.style_encoder import Style
from speech.audio import MOTION_FPS
from speech.semantic_units import MfccContext
from speech.unit_clustering import fit_semantic_units

# Of every training clip: enough for the mean face and the mean sound of a class, and little memory for a large corpus.
FRAMES_PER_CLIP = 64
# A symbol with fewer frames than this in all of the training is no class of its own.
FEWEST_FRAMES = 20
# Share of the mean within-class variance that is added to each direction before it is inverted.
SHRINKAGE = 0.1


class VisemeLookup(FittedBaseline):
    """Classes of sound, each with its mean cepstra (`MfccContext`) and its mean displacement from the resting face; nothing else is learned.

    Classes are the phonemes where every training clip says when they are spoken, else `num_sounds` clusters of the cepstra
    (k-means, `seed`). At speaking time only sound is heard, also where a corpus would know the phonemes: a frame belongs to the class whose
    mean is nearest under the within-class covariance of the training frames, and the faces of the classes are averaged over `smoothing`
    frames by a triangle, in place of coarticulation. Raises ValueError for more phonemes than `num_sounds`, and for no training frames.
    """

    projection: Tensor
    used: Tensor
    sounds: Tensor
    faces: Tensor

    def __init__(self, space: str = "arkit", num_sounds: int = 96, smoothing: int = 5, seed: int = 1) -> None:
        super().__init__(space)
        if num_sounds < 2 or smoothing < 1 or smoothing % 2 == 0:
            raise ValueError(
                f"got num_sounds={num_sounds}, smoothing={smoothing}; expected at least 2 sounds and an odd number of frames"
            )
        self.num_sounds, self.smoothing, self.seed = num_sounds, smoothing, seed
        self.features = MfccContext()
        inputs = self.features.width
        self.register_buffer("projection", torch.eye(inputs))
        self.register_buffer("sounds", torch.zeros(num_sounds, inputs))
        self.register_buffer("used", torch.zeros(num_sounds, dtype=torch.bool))
        self.register_buffer("faces", torch.zeros(num_sounds, self.num_channels))

    @torch.no_grad()
    def fit(self, training: Iterable[Any], validation: Iterable[Any] | None) -> None:
        found = [self._drawn(part, row) for part in self.displaced(training) for row in range(len(part.num_frames))]
        if not found:
            raise ValueError("the lookup got no training clips; is the training split empty?")
        heard, displacement = torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found])
        symbols = [symbol for f in found for symbol in f[2]]
        labels = self._phonemes(symbols) if all(any(f[2]) for f in found) else self._clusters(heard)
        known = labels >= 0
        heard, displacement, labels = heard[known], displacement[known], labels[known]
        classes = int(labels.max()) + 1
        count = torch.bincount(labels, minlength=classes).clamp(min=1).unsqueeze(-1)
        sounds = torch.zeros(classes, heard.shape[1]).index_add_(0, labels, heard) / count
        self.projection.copy_(_whitening(heard - sounds[labels]))
        self.sounds[:classes] = sounds @ self.projection
        self.used.copy_(torch.arange(self.num_sounds) < classes)
        self.faces[:classes] = torch.zeros(classes, self.num_channels).index_add_(0, labels, displacement) / count

    def speak(self, speech: Tensor, num_frames: Tensor, style: Style) -> Tensor:
        faces = self.faces[self.nearest_sounds(speech, num_frames)]
        return self.around(style, smoothed(faces, num_frames, self.smoothing), num_frames)

    def nearest_sounds(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        """The class `[B, T]` of every frame."""
        distance = torch.cdist(self.features(audio, num_frames) @ self.projection, self.sounds)
        return distance.masked_fill(~self.used, torch.inf).argmin(-1)

    def _drawn(self, part: Any, row: int) -> tuple[Tensor, Tensor, list[str]]:
        """What some frames of one clip sound and look like, and their phonemes ("" where unknown); drawn from the clip's key."""
        frames = int(part.num_frames[row])
        generator = np.random.default_rng([self.seed, zlib.crc32(part.keys[row].encode())])
        chosen = torch.from_numpy(np.sort(generator.permutation(frames)[:FRAMES_PER_CLIP]))
        heard = self.features(part.audio[row : row + 1], part.num_frames[row : row + 1])[0]
        spoken = frame_phonemes(part.phonemes[row], frames)
        return heard[chosen], part.displacement[row][chosen], [spoken[frame] for frame in chosen.tolist()]

    def _phonemes(self, symbols: list[str]) -> Tensor:
        names, counts = np.unique(np.array([symbol for symbol in symbols if symbol]), return_counts=True)
        kept = names[counts >= min(FEWEST_FRAMES, counts.max())]
        if len(kept) > self.num_sounds:
            raise ValueError(f"the training clips speak {len(kept)} phonemes; set net.num_sounds to at least that many")
        number = {name: index for index, name in enumerate(kept.tolist())}
        return torch.tensor([number.get(symbol, -1) for symbol in symbols])

    def _clusters(self, heard: Tensor) -> Tensor:
        units = fit_semantic_units(
            [heard.numpy()], self.features.fingerprint, min(self.num_sounds, len(heard)), 1, self.seed
        )
        return torch.cdist(heard / torch.from_numpy(units.scale), torch.from_numpy(units.centroids)).argmin(-1)


def frame_phonemes(phonemes: list[list[Any]], frames: int) -> list[str]:
    """The symbol spoken at the middle of each of `frames` motion frames, from `[symbol, start_s, end_s]` in order; "" where there is none."""
    spoken, place = [], 0
    for frame in range(frames):
        time = (frame + 0.5) / MOTION_FPS
        while place < len(phonemes) and phonemes[place][2] <= time:
            place += 1
        inside = place < len(phonemes) and phonemes[place][1] <= time
        spoken.append(str(phonemes[place][0]) if inside else "")
    return spoken


def _whitening(residuals: Tensor) -> Tensor:
    """The map `[D, D]` under which residuals `[N, D]` have about the identity as covariance; shrunk towards their mean variance."""
    covariance = residuals.double().T @ residuals.double() / len(residuals)
    values, vectors = torch.linalg.eigh(covariance)
    spread = values.clamp(min=0) + SHRINKAGE * values.mean().clamp(min=1e-12)
    return (vectors / spread.sqrt()).float()

"""Baselines that are fitted in closed form on the training clips, with no gradient steps: the mean face and ridge regression."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from networks.conformer import valid_frames
from networks.expression_baseline import ExpressionBaseline
from networks.ridge_regression import RidgeRegression
from networks.style_encoder import Style

# Where there is no validation split to choose it on.
USUAL_STRENGTH = 0.01


class HearsAudio(nn.Module):
    """The front end of a network that takes audio as it is."""

    takes_cached_features = False


class Displaced(NamedTuple):
    """What a baseline is fitted on: audio `[B, N]`, `num_frames` [B], and normalised coefficients `[B, T, E + 3]` around the mean face
    of each clip's reference; `phonemes`: `[symbol, start_s, end_s]` of each clip, empty where they are not known; `keys` of the clips.
    """

    audio: Tensor
    num_frames: Tensor
    displacement: Tensor
    phonemes: list[list[Any]]
    keys: list[str]


class FittedBaseline(ExpressionBaseline):
    """A baseline with a `fit` in place of training."""

    def __init__(self, space: str = "arkit") -> None:
        super().__init__(space)
        self.front_end = HearsAudio()

    @abstractmethod
    def fit(self, training: Iterable[Any], validation: Iterable[Any] | None) -> None:
        """Fit on whole clips of speech-face batches, statistics being set; `validation` holds other speakers, None where there are none."""

    @torch.no_grad()
    def displaced(self, batches: Iterable[Any]) -> Iterator[Displaced]:
        """Every batch as what there is to predict: the face around what the reference shows at rest."""
        for batch in batches:
            reference = self.normalise(batch.reference_expression, batch.reference_jaw)
            resting = self.style_of(reference, batch.reference_num_frames).resting
            displacement = self.normalise(batch.expression, batch.jaw) - resting.unsqueeze(1)
            phonemes = [meta.get("extra", {}).get("phonemes") or [] for meta in batch.metas]
            yield Displaced(batch.audio, batch.num_frames, displacement, phonemes, batch.keys)


class MeanFace(FittedBaseline):
    """The reference's mean face, held still: what a method must beat to have heard anything."""

    def fit(self, training: Iterable[Any], validation: Iterable[Any] | None) -> None:
        """There is nothing to fit."""

    def speak(self, speech: Tensor, num_frames: Tensor, style: Style) -> Tensor:
        still = self.mean.new_zeros(len(num_frames), int(num_frames.max()), self.num_channels)
        return self.around(style, still, num_frames)


class RidgeFace(FittedBaseline):
    """Ridge regression from log-mel of +-`context` motion frames to displacements from the resting face; its strength is chosen on the
    validation speakers. `score.py`'s control of that name is plainer: it predicts raw coefficients and knows no reference.
    """

    def __init__(self, space: str = "arkit", context: int = 6) -> None:
        super().__init__(space)
        self.regression = RidgeRegression(self.num_channels, context)

    def fit(self, training: Iterable[Any], validation: Iterable[Any] | None) -> None:
        for part in self.displaced(training):
            self.regression.observe(part.audio, part.num_frames, part.displacement)
        if validation is None:
            self.regression.weight.copy_(self.regression.solve(USUAL_STRENGTH))
        else:
            parts = self.displaced(validation)
            self.regression.choose_strength((p.audio, p.num_frames, p.displacement) for p in parts)

    def speak(self, speech: Tensor, num_frames: Tensor, style: Style) -> Tensor:
        return self.around(style, self.regression(speech, num_frames), num_frames)


def smoothed(values: Tensor, num_frames: Tensor, width: int) -> Tensor:
    """Triangular moving average over `width` (odd) frames of `[B, T, C]`; frames beyond a clip's ends count nothing."""
    mask = valid_frames(num_frames, values.shape[1]).unsqueeze(-1).to(values.dtype)
    half = width // 2
    kernel = (half + 1 - torch.arange(-half, half + 1).abs()).to(values)

    def summed(x: Tensor) -> Tensor:
        padded = nn.functional.pad(x.transpose(1, 2), (half, half))
        return (padded.unfold(2, width, 1) * kernel).sum(-1).transpose(1, 2)

    return summed(values * mask) / summed(mask).clamp(min=kernel.min())

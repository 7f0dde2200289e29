"""What the baselines of the expression half share: they know of a person what every method is given, a reference clip's mean face."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from networks.coefficient_space import CoefficientSpace
from networks.conformer import valid_frames
from networks.style_encoder import Style, mean_and_deviation


class ExpressionBaseline(CoefficientSpace, ABC):
    """Speech to expression and jaw around the resting face of a reference: it stands for the neutral template that the
    mesh methods are given of every person, and every baseline predicts displacements from it.

    A subclass says how it speaks in normalised units (`speak`), has a `front_end` for `speech_of`, and may give the style a learned vector.
    Identity coefficients are accepted, as by `ExpressionAdapter`, and not used.
    """

    num_identity = 0
    front_end: nn.Module

    @abstractmethod
    def speak(self, speech: Tensor, num_frames: Tensor, style: Style) -> Tensor:
        """Normalised coefficients `[B, T, E + 3]` for speech of any length; zero at padding and in constant dimensions."""

    def style_vector(self, speakers: Sequence[str] | None, batch: int) -> Tensor:
        """The learned vector `[B, S]` of speakers, or of nobody in particular; S is 0 where a method learns none."""
        return self.mean.new_zeros(batch, 0)

    def style_of(self, reference: Tensor, num_frames: Tensor, speakers: Sequence[str] | None = None) -> Style:
        """Style of a normalised reference `[B, R, E + 3]`; where `speakers` are given, with their learned vectors."""
        rest = mean_and_deviation(reference, valid_frames(num_frames, reference.shape[1]))
        return Style(self.style_vector(speakers, len(reference)), *rest)

    def null_style(self, batch: int) -> Style:
        """Nobody: the corpus' mean face and average spread."""
        average = self.mean.new_zeros(batch, self.num_channels)
        return Style(self.style_vector(None, batch), average, average + 1)

    @torch.no_grad()
    def encode_style(self, reference: Tensor, reference_num_frames: Tensor | None = None) -> Style:
        """The style of a reference `[B, R, E + 3]` in raw units (expression, then jaw) of somebody never trained on."""
        if reference_num_frames is None:
            reference_num_frames = torch.full((len(reference),), reference.shape[1], device=reference.device)
        normalised = self.normalise(reference[..., : self.num_expression], reference[..., self.num_expression :])
        return self.style_of(normalised, reference_num_frames)

    @torch.no_grad()
    def generate(
        self,
        speech: Tensor,
        num_frames: Tensor,
        reference: Tensor | None = None,
        reference_num_frames: Tensor | None = None,
        identity: Tensor | None = None,
        identity_known: Tensor | None = None,
        guidance: float = 1.0,
        style: Style | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Raw expression `[B, T, E]` and jaw `[B, T, 3]` in evaluation mode; arguments as `ExpressionAdapter.generate`."""
        was_training = self.training
        self.eval()
        try:
            null = self.null_style(len(num_frames))
            if reference is not None:
                style = self.encode_style(reference, reference_num_frames)
            coefficients = self.speak(speech, num_frames, null if style is None else style)
            if guidance != 1.0 and style is not None:
                plain = self.speak(speech, num_frames, null)
                coefficients = plain + guidance * (coefficients - plain)
        finally:
            self.train(was_training)
        return self.raw_output(coefficients)

    def around(self, style: Style, displacement: Tensor, num_frames: Tensor) -> Tensor:
        """The resting face plus displacements `[B, T, E + 3]`, zero at padding and in constant dimensions."""
        keep = valid_frames(num_frames, displacement.shape[1]).unsqueeze(-1) & (self.std > 0)
        return (style.resting.unsqueeze(1) + displacement).masked_fill(~keep, 0.0)


class OneHotStyle(nn.Module):
    """One learned vector for each training speaker, which is a one-hot code times a matrix (Cudeiro et al., 2019).

    Somebody else gets the mean of all vectors, the code with 1 / N at every place: the papers condition an unseen person on each
    training speaker in turn, and report the average.
    """

    def __init__(self, names: Sequence[str], width: int) -> None:
        super().__init__()
        if not names:
            raise ValueError("there are no style names; a one-hot style needs the speakers that are trained on")
        self.names = tuple(names)
        self._index = {name: index for index, name in enumerate(self.names)}
        self.embedding = nn.Embedding(len(self.names), width)

    def forward(self, speakers: Sequence[str] | None, batch: int) -> Tensor:
        """`[B, width]`; without speakers, and for those that were not trained on, the mean vector."""
        average = self.embedding.weight.mean(0)
        if speakers is None:
            return average.expand(batch, -1)
        rows = [self.embedding.weight[self._index[s]] if s in self._index else average for s in speakers]
        return torch.stack(rows)

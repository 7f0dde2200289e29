"""The control that a network must beat: ridge regression from log-mel context to expression and jaw, in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from networks.conformer import valid_frames
from networks.speech_front_end import silence_behind_end
from speech.features import MEL_FRAMES_PER_MOTION_FRAME, NUM_MELS, LogMel

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


class RidgeRegression(nn.Module):
    """Audio `[B, N]` to raw coefficients `[B, T, C]`, linear in the log-mel of +-`context` motion frames and a constant.

    The four mel frames of a motion frame are averaged; beyond a clip's ends lie zeros. `observe` adds clips to the normal
    equations in float64, `solve` fits all strengths at once from them; the strength is relative to the mean variance
    of the inputs, so that it means the same for any amount of data. Without `solve` the output is zero.
    """

    weight: Tensor

    def __init__(self, num_outputs: int, context: int = 6) -> None:
        super().__init__()
        self.context = context
        self.log_mel = LogMel()
        inputs = (2 * context + 1) * NUM_MELS + 1
        self.register_buffer("weight", torch.zeros(inputs, num_outputs))
        self.register_buffer("gram", torch.zeros(inputs, inputs, dtype=torch.float64), persistent=False)
        self.register_buffer("moment", torch.zeros(inputs, num_outputs, dtype=torch.float64), persistent=False)

    gram: Tensor
    moment: Tensor

    def inputs(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        """Stacked context `[B, T, inputs]`; the last input is 1."""
        mel = self.log_mel(silence_behind_end(audio, num_frames))
        mel = mel.unflatten(1, (-1, MEL_FRAMES_PER_MOTION_FRAME)).mean(2)
        mel = mel.masked_fill(~valid_frames(num_frames, mel.shape[1]).unsqueeze(-1), 0.0)
        padded = nn.functional.pad(mel, (0, 0, self.context, self.context))
        stacked = padded.unfold(1, 2 * self.context + 1, 1).flatten(2)
        return torch.cat([stacked, stacked.new_ones(*stacked.shape[:2], 1)], dim=-1)

    @torch.no_grad()
    def observe(self, audio: Tensor, num_frames: Tensor, target: Tensor) -> None:
        """Add clips with raw coefficients `[B, T, C]` to the normal equations; their order does not matter."""
        mask = valid_frames(num_frames, target.shape[1])
        inputs = self.inputs(audio, num_frames)[:, : target.shape[1]][mask].double()
        self.gram += inputs.T @ inputs
        self.moment += inputs.T @ target[mask].double()

    def solve(self, strength: float) -> Tensor:
        """Weights `[inputs, C]` for one strength; the constant is not shrunk. Raises ValueError before any `observe`."""
        count = self.gram[-1, -1]
        if count == 0:
            raise ValueError("ridge regression has seen no frames; observe() training clips first")
        mean = self.gram[-1, :-1] / count
        covariance = self.gram[:-1, :-1] / count - torch.outer(mean, mean)
        cross = self.moment[:-1] / count - torch.outer(mean, self.moment[-1] / count)
        penalty = strength * covariance.diagonal().mean().clamp(min=1e-12)
        slope = torch.linalg.solve(covariance + penalty * torch.eye(len(mean), dtype=torch.float64), cross)
        return torch.cat([slope, self.moment[-1:] / count - mean[None] @ slope]).float()

    @torch.no_grad()
    def forward(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        return self.inputs(audio, num_frames) @ self.weight

    @torch.no_grad()
    def choose_strength(self, validation: Iterable[tuple[Tensor, Tensor, Tensor]]) -> float:
        """Take the strength with the least squared error on other speakers' (audio, num_frames, target); returns it."""
        candidates = torch.stack([self.solve(strength) for strength in STRENGTHS])
        errors = torch.zeros(len(STRENGTHS), dtype=torch.float64)
        for audio, num_frames, target in validation:
            mask = valid_frames(num_frames, target.shape[1])
            inputs = self.inputs(audio, num_frames)[:, : target.shape[1]][mask]
            errors += (inputs @ candidates - target[mask]).double().square().sum((1, 2))
        best = int(errors.argmin())
        self.weight.copy_(candidates[best])
        return STRENGTHS[best]


def fit_ridge(
    training: Iterable[Any], validation: Iterable[Any] | None = None, context: int = 6
) -> Callable[[Any], tuple[Tensor, Tensor]]:
    """Fit on speech-face batches; returns batch -> raw expression `[B, T, E]` and jaw `[B, T, 3]`.

    The strength is chosen on `validation`, which should hold other speakers; without it a strength of 0.01 is taken.
    """
    model: RidgeRegression | None = None
    for batch in training:
        target = torch.cat([batch.expression, batch.jaw], dim=-1)
        model = model or RidgeRegression(target.shape[-1], context)
        model.observe(batch.audio, batch.num_frames, target)
    if model is None:
        raise ValueError("ridge regression got no training batches; is the training split empty?")
    if validation is None:
        model.weight.copy_(model.solve(strength=0.01))
    else:
        model.choose_strength(
            (batch.audio, batch.num_frames, torch.cat([batch.expression, batch.jaw], dim=-1)) for batch in validation
        )
    fitted = model

    def predict(batch: Any) -> tuple[Tensor, Tensor]:
        coefficients = fitted(batch.audio, batch.num_frames)
        num_expression = batch.expression.shape[-1]
        return coefficients[..., :num_expression], coefficients[..., num_expression:]

    return predict

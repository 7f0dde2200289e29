"""Bad input is refused here, in one sentence: what came, what was expected, what to do."""

from __future__ import annotations

from torch import Tensor

_AXES = {
    "B": ("clips", "give both the same clips in the same order"),
    "S": ("samples", "draw the same number for each clip"),
    "T": ("frames", "cut or resample one of them to the other's length and frame rate"),
    "V": ("vertices", "score both on the same face model and region"),
    "P": ("lip pairs", "measure both at the same pairs of vertices"),
    "C": ("coefficients", "map both by name to one space"),
}


class MetricError(ValueError):
    """Input that a metric cannot score."""


def check_pair(prediction: Tensor, target: Tensor, mask: Tensor | None, axes: str) -> None:
    """Prediction and truth must both have the shape that `axes` spells, as "B T V 3", and the mask `[B, T]` its first two."""
    names = axes.split()
    shapes = f"shapes {list(prediction.shape)} and {list(target.shape)}"
    for name, curve in (("prediction", prediction), ("truth", target)):
        if curve.ndim != len(names) or any(
            n.isdigit() and int(n) != s for n, s in zip(names, curve.shape, strict=True)
        ):
            raise MetricError(
                f"the {name} has shape {list(curve.shape)} ({shapes}); expected [{', '.join(names)}] of both"
            )
    for name, ours, theirs in zip(names, prediction.shape, target.shape, strict=True):
        if ours != theirs:
            noun, advice = _AXES[name]
            raise MetricError(f"the prediction has {ours} {noun} and the truth {theirs} ({shapes}); {advice}")
    if mask is not None:
        check_mask(prediction, mask)


def check_curve(values: Tensor, mask: Tensor, axes: str) -> None:
    """One curve of the shape that `axes` spells, and its mask."""
    check_pair(values, values, mask, axes)


def check_mask(values: Tensor, mask: Tensor) -> None:
    if mask.shape != values.shape[:2]:
        raise MetricError(
            f"the mask has shape {list(mask.shape)} for values of shape {list(values.shape)}; expected [B, T], True = valid frame"
        )

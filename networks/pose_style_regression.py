"""PoseGPT's style vector predicted from how a head is held and moves, or from the style matrix S: ridge regression on the bank's own styles, in
closed form.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from networks.pose_statistics import reference_statistics
from networks.pose_vqvae import PoseVQVAE
from networks.style_bank import StyleBank
from networks.style_matrix import StyleMatrix, pooled
from networks.style_retrieval import StyleClip, style_matrix_of

PENALTIES = tuple(10.0**exponent for exponent in range(-2, 5))
# Principal components of S, found on so many styles spread evenly over the bank: their Gram matrix is small.
COMPONENTS, LANDMARKS = 128, 1024
_STYLES_AT_ONCE = 1024


def predict_style(known: Tensor, vqvae: PoseVQVAE, bank: StyleBank, reference: Sequence[StyleClip]) -> Tensor:
    """The style vector [W] that a linear map of projected pose statistics gives for a reference.

    `known` `[N, W]` are the learned vectors of the bank's styles. The penalty is the one of `PENALTIES` whose error is lowest
    when each style is left out in turn.
    """
    inputs = (bank.statistics @ bank.projection).double()
    query = (reference_statistics([clip.head for clip in reference], vqvae.representation) @ bank.projection).double()
    return ridge_prediction(inputs, known.double().cpu(), query).to(known)


def predict_style_from_s(known: Tensor, vqvae: PoseVQVAE, bank: StyleBank, reference: Sequence[StyleClip]) -> Tensor:
    """The style vector [W] that a linear map of the principal components of S gives for a reference with units.

    S is dense and shrunk, as in the distance `shrunk`; its components are in units of the first one's deviation over the bank. The penalty is chosen as
    in `predict_style`, the components being those of the whole bank.
    """
    matrix = pooled([style_matrix_of(clip, vqvae, bank.num_units) for clip in reference])
    inputs, query = components_of_s(bank, matrix)
    return ridge_prediction(inputs, known.double().cpu(), query).to(known)


@torch.no_grad()
def components_of_s(bank: StyleBank, matrix: StyleMatrix) -> tuple[Tensor, Tensor]:
    """Principal components `[N, P]` float64 of the bank's style matrices, and those [P] of `matrix`; P at most `COMPONENTS`."""
    number = len(bank)
    landmarks = torch.linspace(0, number - 1, min(number, LANDMARKS)).round().long()
    rows = bank.dense(landmarks).flatten(1)
    centre = rows.mean(0)
    rows = rows - centre
    values, vectors = torch.linalg.eigh((rows @ rows.T).double())
    # In order of increasing variance; what rounding leaves of nothing is left out.
    kept = values > 1e-6 * values[-1].clamp(min=1e-12)
    values, vectors = values[kept][-COMPONENTS:], vectors[:, kept][:, -COMPONENTS:]
    directions = rows.T @ (vectors / values.sqrt()).float()
    inputs = torch.cat(
        [(bank.dense(part).flatten(1) - centre) @ directions for part in torch.arange(number).split(_STYLES_AT_ONCE)]
    )
    query = (matrix.dense().flatten() - centre) @ directions
    unit = inputs.std(0, unbiased=False).max().clamp(min=1e-12) if len(values) else torch.ones(())
    return (inputs / unit).double(), (query / unit).double()


def ridge_prediction(inputs: Tensor, targets: Tensor, query: Tensor) -> Tensor:
    """Prediction [W] at `query` [P] by ridge regression with an intercept of `targets` `[N, W]` on `inputs` `[N, P]`.

    Leave-one-out errors come from the hat matrix's diagonal (Allen, 1974), so nothing is fitted twice.
    """
    centre, mean = inputs.mean(0), targets.mean(0)
    x, y = inputs - centre, targets - mean
    left, values, right = torch.linalg.svd(x, full_matrices=False)
    errors = []
    for penalty in PENALTIES:
        shares = values.square() / (values.square() + penalty)
        fitted = left @ (shares[:, None] * (left.T @ y))
        # The intercept has a leverage of its own, 1 / N.
        leverage = (left.square() @ shares + 1 / len(x)).clamp(max=1 - 1e-9)
        errors.append(((y - fitted) / (1 - leverage)[:, None]).square().mean())
    penalty = PENALTIES[int(torch.stack(errors).argmin())]
    weights = right.T @ ((values / (values.square() + penalty))[:, None] * (left.T @ y))
    return mean + (query - centre) @ weights

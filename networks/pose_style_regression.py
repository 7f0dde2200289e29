"""PoseGPT's style vector predicted from how a head is held and moves: ridge regression on the bank's own styles, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from networks.pose_statistics import reference_statistics
from networks.pose_vqvae import PoseVQVAE
from networks.style_bank import StyleBank
from networks.style_retrieval import StyleClip

PENALTIES = tuple(10.0**exponent for exponent in range(-2, 5))


def predict_style(known: Tensor, vqvae: PoseVQVAE, bank: StyleBank, reference: Sequence[StyleClip]) -> Tensor:
    """The style vector [W] that a linear map of projected pose statistics gives for a reference.

    `known` `[N, W]` are the learned vectors of the bank's styles. The penalty is the one of `PENALTIES` whose error is lowest
    when each style is left out in turn.
    """
    inputs = (bank.statistics @ bank.projection).double()
    query = (reference_statistics([clip.head for clip in reference], vqvae.representation) @ bank.projection).double()
    return ridge_prediction(inputs, known.double().cpu(), query).to(known)


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

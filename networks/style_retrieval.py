"""A person's pose style by retrieval: the two algorithms of AdaMesh's pose adapter, and mixtures for people who are
like nobody known.

AdaMesh's second algorithm fills the database (`build_style_bank`), its adaptation asks it (`retrieve_style`); what the
paper leaves open (columns without frames, the distance) is in `StyleBank.distances`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from networks.pose_vqvae import PoseVQVAE
from networks.style_bank import Metric, StyleBank, StyleBankError
from networks.style_matrix import StyleMatrix, pooled, style_matrix, units_of_steps

LEAST_REFERENCE_FRAMES = 50
# Statistics are taken over pieces of about this many frames and averaged: a head's spread grows with the time watched.
_PIECE_FRAMES = 100
# Frames over which `pose_statistics` looks at change: 40 ms to 1 s.
_LAGS = (1, 3, 6, 12, 25)
# Radians; a head that does not move at all must not have a deviation of zero, whose logarithm is infinite.
_STILL = 1e-4


class StyleClip(NamedTuple):
    """A clip of a source video: head rotations `[T, 3]` (axis-angle, radians, 25 frames/s) and the semantic unit [T] of
    each frame, None where there is no speech.

    Only tuning a style reads the sound: `audio` `[640 T]` (16 kHz) and, for networks that hear them, an encoder's
    `features` `[T, F]`.
    """

    source: str
    head: Tensor
    units: Tensor | None
    audio: Tensor | None = None
    features: Tensor | None = None


class RetrievedStyle(NamedTuple):
    """The nearest style's `style_index`, `source` and `distance`; the `distances` [N] of all; `from_speech` is False
    where pose statistics alone decided.
    """

    style_index: int
    source: str
    distance: float
    distances: Tensor
    from_speech: bool


class MixedStyle(NamedTuple):
    """A style vector [W], and the style indices [k] with the weights [k] it was mixed of."""

    embedding: Tensor
    indices: Tensor
    weights: Tensor


@torch.no_grad()
def build_style_bank(clips: Iterable[StyleClip], vqvae: PoseVQVAE, num_units: int, unit_fingerprint: str) -> StyleBank:
    """The database: for each source, S pooled over its clips, indexed in the sources' alphabetical order.

    The order of the clips changes nothing but the last bits. PoseGPT then learns one embedding for each index.
    """
    matrices: dict[str, list[StyleMatrix]] = {}
    statistics: dict[str, list[tuple[int, Tensor]]] = {}
    for clip in clips:
        matrices.setdefault(clip.source, []).append(style_matrix_of(clip, vqvae, num_units))
        statistics.setdefault(clip.source, []).append((len(clip.head), pose_statistics(clip.head, vqvae)))
    sources = sorted(matrices)
    if not sources:
        raise StyleBankError("a style bank needs at least one clip, got none; is the training split empty?")
    return StyleBank(
        sources,
        [pooled(matrices[source]) for source in sources],
        torch.stack([_weighted_mean(statistics[source]) for source in sources]),
        within_source_whitening([torch.stack([values for _, values in statistics[source]]) for source in sources]),
        vqvae.fingerprint(),
        unit_fingerprint,
    )


@torch.no_grad()
def retrieve_style(
    reference: Sequence[StyleClip],
    vqvae: PoseVQVAE,
    bank: StyleBank,
    unit_fingerprint: str | None,
    metric: Metric = "shrunk",
) -> RetrievedStyle:
    """The known style nearest to a reference, without any gradient step: its S, pooled over its clips, to the nearest
    stored S.

    The clips' own sources do not matter. With the metric `statistics`, and wherever a clip has no units (a reference
    without speech), the nearest by pose statistics alone. Of equally near styles the lowest index. Raises
    StyleBankError for a reference under 2 s in all, for another VQ-VAE or other units than the bank's, and where
    `shared` finds no style with enough units in common.
    """
    frames = sum(len(clip.head) for clip in reference)
    if frames < LEAST_REFERENCE_FRAMES:
        raise StyleBankError(
            f"the reference has {frames / 25:.2f} s of head motion; "
            f"expected at least {LEAST_REFERENCE_FRAMES / 25:g} s, better 10 s"
        )
    from_speech = metric != "statistics" and all(clip.units is not None for clip in reference)
    bank.require_match(vqvae.fingerprint(), (unit_fingerprint or "none") if from_speech else None)
    if from_speech:
        matrices = [style_matrix_of(clip, vqvae, bank.num_units) for clip in reference]
        distances = bank.distances(pooled(matrices), "shared" if metric == "shared" else "shrunk")
    else:
        distances = bank.statistics_distances(reference_statistics(reference, vqvae))
    index = int(distances.sort(stable=True).indices[0])
    if not torch.isfinite(distances[index]):
        raise StyleBankError(
            "no style of the bank shares enough units with the reference; give a longer one or use shrunk"
        )
    return RetrievedStyle(index, bank.sources[index], float(distances[index]), distances, from_speech)


def mix_styles(embeddings: Tensor, distances: Tensor, k: int = 5) -> MixedStyle:
    """The mean of the k nearest styles' embeddings `[N, W]`, weighted by 1 / distance^2 (Shepard, 1968); styles at
    distance 0 count alone.
    """
    if k < 1 or distances.shape != embeddings.shape[:1]:
        raise StyleBankError(
            f"got k = {k}, distances {list(distances.shape)} and embeddings {list(embeddings.shape)}; expected k >= 1, [N] and [N, W]"
        )
    nearest, indices = distances.sort(stable=True)
    nearest, indices = nearest[:k].double(), indices[:k]
    exact = nearest == 0
    # Relative to the nearest, so that no square overflows; an infinite distance weighs nothing.
    weights = exact.double() if exact.any() else (nearest[0] / nearest).square()
    weights = weights / weights.sum()
    mixed = (weights.to(embeddings).unsqueeze(1) * embeddings[indices.to(embeddings.device)]).sum(0)
    return MixedStyle(mixed, indices, weights)


def style_matrix_of(clip: StyleClip, vqvae: PoseVQVAE, num_units: int) -> StyleMatrix:
    """S of one clip. Raises StyleBankError where it has no units, or not as many as frames."""
    if clip.units is None or len(clip.head) != len(clip.units):
        found = "no units" if clip.units is None else f"{len(clip.units)} units"
        raise StyleBankError(
            f"the clip of {clip.source!r} has {len(clip.head)} frames but {found}; expected as many units as frames"
        )
    latents = _evaluated(vqvae, clip.head)
    return style_matrix(latents, units_of_steps(clip.units, vqvae.stride), num_units)


def reference_statistics(reference: Sequence[StyleClip], vqvae: PoseVQVAE) -> Tensor:
    """`pose_statistics` [P] of several clips as of one, each weighing by its length."""
    return _weighted_mean([(len(clip.head), pose_statistics(clip.head, vqvae)) for clip in reference if len(clip.head)])


def pose_statistics(head: Tensor, vqvae: PoseVQVAE) -> Tensor:
    """How a head `[T, 3]`, T > 0, is held and moves: [21] on the CPU.

    Of its three angles from the corpus' mean head: the mean, the logarithm of the deviation over time, and the
    logarithms of the root mean square change over 1, 3, 6, 12 and 25 frames, which together tell amplitude from speed;
    each averaged over pieces of about 4 s.
    """
    angles = vqvae.representation.from_centre(head)
    pieces = angles.tensor_split(max(1, round(len(angles) / _PIECE_FRAMES)))
    return torch.stack([_statistics_of_piece(piece) for piece in pieces]).mean(0).cpu()


def _statistics_of_piece(angles: Tensor) -> Tensor:
    spreads = [angles.std(0, unbiased=False)]
    for lag in _LAGS:
        lag = min(lag, len(angles) - 1)
        spreads.append((angles[lag:] - angles[: len(angles) - lag]).square().mean(0).sqrt())
    return torch.cat([angles.mean(0), torch.cat(spreads).clamp(min=_STILL).log()])


def within_source_whitening(statistics: list[Tensor]) -> Tensor:
    """`[P, P]` W so that |(a - b) W| counts differences by how little clips of one source differ (within-class
    covariance normalisation; Hatch et al., 2006).

    `statistics` holds, for each source, those of its clips `[n, P]`. The covariance is shrunk towards its diagonal by P
    / (P + degrees of freedom). Where no source has two clips, each statistic is divided by its deviation between
    sources.
    """
    width = statistics[0].shape[1]
    differences = torch.cat([clips - clips.mean(0) for clips in statistics]).double()
    freedom = len(differences) - len(statistics)
    if freedom == 0:
        between = torch.cat(statistics).double().std(0, unbiased=False)
        return torch.diag(1 / torch.where(between > 1e-6, between, 1.0)).float()
    covariance = differences.T @ differences / freedom
    variance = covariance.diagonal().clamp(min=1e-6)
    keep = freedom / (freedom + width)
    covariance = keep * covariance + torch.diag((1 - keep) * variance + 1e-9)
    return torch.linalg.cholesky(torch.linalg.inv(covariance)).float()


def _evaluated(vqvae: PoseVQVAE, head: Tensor) -> Tensor:
    """Latents `[S, D]` of one clip with dropout off."""
    was_training = vqvae.training
    vqvae.eval()
    try:
        return vqvae.encode(head.unsqueeze(0), torch.tensor([len(head)], device=head.device))[0]
    finally:
        vqvae.train(was_training)


def _weighted_mean(parts: list[tuple[int, Tensor]]) -> Tensor:
    frames = torch.tensor([float(number) for number, _ in parts])
    return (frames[:, None] * torch.stack([values for _, values in parts])).sum(0) / frames.sum()

"""A person's pose style by retrieval: the two algorithms of AdaMesh's pose adapter, and mixtures for people who are like nobody known.

AdaMesh's second algorithm fills the database (`build_style_bank`), its adaptation asks it (`retrieve_style`); what the paper leaves open
(columns without frames, the distance) is in `StyleBank.distances`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from networks.pose_vqvae import PoseVQVAE
from networks.style_bank import Metric, StyleBank, StyleBankError
from networks.style_matrix import StyleMatrix, pooled, style_matrix, units_of_steps

LEAST_REFERENCE_FRAMES = 50


class StyleClip(NamedTuple):
    """A clip of a source video: head rotations `[T, 3]` (axis-angle, radians, 25 frames/s) and the semantic unit [T] of each frame."""

    source: str
    head: Tensor
    units: Tensor


class RetrievedStyle(NamedTuple):
    """The nearest style's `style_index`, `source` and `distance`; the `distances` [N] of all; `from_speech` is False where pose statistics alone decided."""

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
        matrix = style_matrix_of(clip.head, clip.units, vqvae, num_units)
        matrices.setdefault(clip.source, []).append(matrix)
        statistics.setdefault(clip.source, []).append((len(clip.head), pose_statistics(clip.head, vqvae)))
    sources = sorted(matrices)
    if not sources:
        raise StyleBankError("a style bank needs at least one clip, got none; is the training split empty?")
    return StyleBank(
        sources,
        [pooled(matrices[source]) for source in sources],
        torch.stack([_weighted_mean(statistics[source]) for source in sources]),
        vqvae.fingerprint(),
        unit_fingerprint,
    )


@torch.no_grad()
def retrieve_style(
    head: Tensor,
    units: Tensor | None,
    vqvae: PoseVQVAE,
    bank: StyleBank,
    unit_fingerprint: str | None,
    metric: Metric = "shrunk",
) -> RetrievedStyle:
    """The known style nearest to a reference, without any gradient step: head `[T, 3]` and units [T] to its S, and that to the nearest stored S.

    Without units (a reference without speech) the nearest by pose statistics alone. Of equally near styles the lowest index. Raises StyleBankError for a
    reference under 2 s, for another VQ-VAE or other units than the bank's, and where `shared` finds no style with enough units in common.
    """
    if len(head) < LEAST_REFERENCE_FRAMES:
        raise StyleBankError(
            f"the reference has {len(head) / 25:.2f} s of head motion; expected at least {LEAST_REFERENCE_FRAMES / 25:g} s, better 10 s"
        )
    bank.require_match(vqvae.fingerprint(), None if units is None else unit_fingerprint or "none")
    if units is None:
        distances = bank.statistics_distances(pose_statistics(head, vqvae))
    else:
        distances = bank.distances(style_matrix_of(head, units, vqvae, bank.num_units), metric)
    index = int(distances.sort(stable=True).indices[0])
    if not torch.isfinite(distances[index]):
        raise StyleBankError(
            "no style of the bank shares enough units with the reference; give a longer one or use shrunk"
        )
    return RetrievedStyle(index, bank.sources[index], float(distances[index]), distances, units is not None)


def mix_styles(embeddings: Tensor, distances: Tensor, k: int = 5) -> MixedStyle:
    """The mean of the k nearest styles' embeddings `[N, W]`, weighted by 1 / distance^2 (Shepard, 1968); styles at distance 0 count alone."""
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


def style_matrix_of(head: Tensor, units: Tensor, vqvae: PoseVQVAE, num_units: int) -> StyleMatrix:
    """S of one clip: head `[T, 3]` and units [T], both 25 frames/s."""
    if len(head) != len(units):
        raise StyleBankError(f"the clip has {len(head)} frames of head motion but {len(units)} units; expected as many")
    latents = _evaluated(vqvae, head)
    return style_matrix(latents, units_of_steps(units, vqvae.stride), num_units)


def pose_statistics(head: Tensor, vqvae: PoseVQVAE) -> Tensor:
    """Of head `[T, 3]`: mean and deviation over time of its 6 channels, and the root mean square of their change a frame: [18]."""
    channels = vqvae.representation(head)
    speed = channels.diff(dim=0).square().mean(0).sqrt() if len(head) > 1 else torch.zeros_like(channels[0])
    return torch.cat([channels.mean(0), channels.std(0, unbiased=False), speed]).cpu()


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

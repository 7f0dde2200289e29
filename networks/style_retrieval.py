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

from networks.pose_statistics import pose_statistics, reference_statistics, telling_apart, weighted_mean
from networks.pose_vqvae import PoseVQVAE
from networks.style_bank import Metric, StyleBank, StyleBankError
from networks.style_matrix import StyleMatrix, pooled, style_matrix, units_of_steps

LEAST_REFERENCE_FRAMES = 50


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
    matrices: dict[str, StyleMatrix] = {}
    statistics: dict[str, list[tuple[int, Tensor]]] = {}
    for clip in clips:
        own = style_matrix_of(clip, vqvae, num_units)
        # Pooled at once: a matrix for each clip of a large corpus would not fit into memory.
        matrices[clip.source] = pooled([matrices[clip.source], own]) if clip.source in matrices else own
        statistics.setdefault(clip.source, []).append(
            (len(clip.head), pose_statistics(clip.head, vqvae.representation))
        )
    sources = sorted(matrices)
    if not sources:
        raise StyleBankError("a style bank needs at least one clip, got none; is the training split empty?")
    return StyleBank(
        sources,
        [matrices[source] for source in sources],
        torch.stack([weighted_mean(statistics[source]) for source in sources]),
        telling_apart([torch.stack([values for _, values in statistics[source]]) for source in sources]),
        vqvae.fingerprint(),
        unit_fingerprint,
    )


@torch.no_grad()
def retrieve_style(
    reference: Sequence[StyleClip],
    vqvae: PoseVQVAE,
    bank: StyleBank,
    unit_fingerprint: str | None,
    metric: Metric = "statistics",
) -> RetrievedStyle:
    """The known style nearest to a reference, without any gradient step.

    By `statistics` of the head's motion; with the metrics `shrunk` and `shared` by the paper's S, pooled over the reference's
    clips, unless a clip has no units (a reference without speech): then by statistics too. The clips' own sources do not
    matter. Of equally near styles the lowest index. Raises
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
        distances = bank.statistics_distances(
            reference_statistics([clip.head for clip in reference], vqvae.representation)
        )
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


def _evaluated(vqvae: PoseVQVAE, head: Tensor) -> Tensor:
    """Latents `[S, D]` of one clip with dropout off."""
    was_training = vqvae.training
    vqvae.eval()
    try:
        return vqvae.encode(head.unsqueeze(0), torch.tensor([len(head)], device=head.device))[0]
    finally:
        vqvae.train(was_training)

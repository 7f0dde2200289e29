"""Discrete bottlenecks with one interface: vector quantisation, residual, product and finite scalar quantisation.

Each takes latents `[B, T, D]` and a mask `[B, T]` (True = valid) and gives a `Quantized`; `decode` turns codes back
into latents. Padded steps have code 0 and a quantised latent of zero, and count in no loss and no statistic. All work
in float32, whatever autocast says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from networks.codebook import Codebook


class CodeUsage(NamedTuple):
    """How often each code was used in this batch, for each codebook: `counts` `[Q, K]`, and from them `perplexity`
    `[Q]` and `used_share` `[Q]`.
    """

    counts: Tensor
    perplexity: Tensor
    used_share: Tensor


class Quantized(NamedTuple):
    """`quantized` `[B, T, D]`, whose gradient is that of the latents (straight through; Bengio et al., 2013); `codes`
    `[B, T, Q]` int64; `losses`, named scalars to be weighted and added to the training loss; `usage` of the codes in
    this batch.
    """

    quantized: Tensor
    codes: Tensor
    losses: dict[str, Tensor]
    usage: CodeUsage


class Quantizer(nn.Module, ABC):
    """`width` D of the latents, `num_codes` K of each codebook, `codes_per_step` Q."""

    width: int
    num_codes: int
    codes_per_step: int

    @abstractmethod
    def forward(self, latents: Tensor, mask: Tensor) -> Quantized:
        """Quantise; in training mode codebooks also learn from the latents."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Codes `[..., Q]` to quantised latents `[..., D]`."""


class _CodebookQuantizer(Quantizer):
    """What codebooks in sequence and side by side share."""

    def __init__(self, width: int, num_codes: int, codes_per_step: int, codebook_width: int, **options) -> None:
        super().__init__()
        self.width, self.num_codes, self.codes_per_step = width, num_codes, codes_per_step
        seed = options.pop("seed", 0)
        self.codebooks = nn.ModuleList(
            Codebook(num_codes, codebook_width, seed=seed + 7919 * number, **options)
            for number in range(codes_per_step)
        )

    @property
    def _books(self) -> list[Codebook]:
        return cast(list[Codebook], list(self.codebooks))

    def _looked_up(self, codes: Tensor) -> list[Tensor]:
        """The vectors of codes `[..., Q]` in each codebook."""
        return [book.vectors[codes[..., number]] for number, book in enumerate(self._books)]


def code_usage(counts: Tensor) -> CodeUsage:
    """Perplexity exp(-sum p log p) and share of codes used at all, from counts `[Q, K]`; without any count they are 1
    and 0.

    Counts add up over batches and ranks, perplexities do not: sum the counts first.
    """
    share = counts.double() / counts.sum(-1, keepdim=True).clamp(min=1)
    perplexity = torch.exp(-torch.xlogy(share, share).sum(-1))
    return CodeUsage(counts, perplexity.float(), (counts > 0).float().mean(-1))


def count_codes(codes: Tensor, mask: Tensor, num_codes: int) -> Tensor:
    """Occurrences `[Q, K]` of each code among the valid steps of codes `[B, T, Q]`."""
    valid = codes[mask]
    # One bincount for all codebooks: codebook q counts in its own range of K bins.
    offset = torch.arange(codes.shape[-1], device=codes.device) * num_codes
    counts = torch.bincount((valid + offset).flatten(), minlength=codes.shape[-1] * num_codes)
    return counts.view(codes.shape[-1], num_codes)


def _finish(
    latents: Tensor, quantized: Tensor, codes: Tensor, mask: Tensor, num_codes: int, losses: dict[str, Tensor]
) -> Quantized:
    keep = mask.unsqueeze(-1)
    straight = latents + (quantized - latents).detach()
    codes = codes.masked_fill(~keep, 0)
    usage = code_usage(count_codes(codes, mask, num_codes))
    return Quantized(straight.masked_fill(~keep, 0.0), codes, losses, usage)


def _commitment(latents: Tensor, quantized: Tensor, mask: Tensor) -> Tensor:
    """Mean squared distance of the latents from their (fixed) codes, over valid steps and channels."""
    squared = torch.where(mask.unsqueeze(-1), latents - quantized.detach(), 0.0).square()
    return squared.sum() / (mask.sum().clamp(min=1) * latents.shape[-1])


class ResidualQuantizer(_CodebookQuantizer):
    """Each of `depth` codebooks quantises what the ones before it left over; their codes add up (Zeghidour et al.,
    2021).

    With `depth` 1 this is plain vector quantisation (van den Oord et al., 2017, with the codebook by moving average).
    """

    def __init__(self, width: int, num_codes: int = 1024, depth: int = 1, **codebook_options) -> None:
        super().__init__(width, num_codes, depth, codebook_width=width, **codebook_options)

    def forward(self, latents: Tensor, mask: Tensor) -> Quantized:
        latents = latents.float()
        residual, total = latents, torch.zeros_like(latents)
        all_codes, commitment = [], latents.new_zeros(())
        for codebook in self._books:
            if self.training:
                codebook.start(residual.detach()[mask])
            codes = codebook.nearest(residual)
            chosen = codebook.vectors[codes]
            commitment = commitment + _commitment(residual, chosen, mask) / self.codes_per_step
            if self.training:
                codebook.learn(residual.detach()[mask], codes[mask])
            residual, total = residual - chosen, total + chosen
            all_codes.append(codes)
        return _finish(
            latents, total, torch.stack(all_codes, -1), mask, self.num_codes, losses={"commitment": commitment}
        )

    def decode(self, codes: Tensor) -> Tensor:
        return torch.stack(self._looked_up(codes)).sum(0)


class ProductQuantizer(_CodebookQuantizer):
    """The channels are cut into `groups`, each quantised by a codebook of its own (Jegou et al., 2011)."""

    def __init__(self, width: int, num_codes: int = 1024, groups: int = 4, **codebook_options) -> None:
        if width % groups:
            raise ValueError(f"latents of width {width} do not split into {groups} equal groups; choose a divisor")
        super().__init__(width, num_codes, groups, codebook_width=width // groups, **codebook_options)

    def forward(self, latents: Tensor, mask: Tensor) -> Quantized:
        latents = latents.float()
        parts = latents.chunk(self.codes_per_step, dim=-1)
        if self.training:
            for book, part in zip(self._books, parts, strict=True):
                book.start(part.detach()[mask])
        all_codes = [book.nearest(part) for book, part in zip(self._books, parts, strict=True)]
        codes = torch.stack(all_codes, -1)
        quantized = self.decode(codes)
        commitment = _commitment(latents, quantized, mask)
        if self.training:
            for book, part, chosen in zip(self._books, parts, all_codes, strict=True):
                book.learn(part.detach()[mask], chosen[mask])
        return _finish(latents, quantized, codes, mask, self.num_codes, losses={"commitment": commitment})

    def decode(self, codes: Tensor) -> Tensor:
        return torch.cat(self._looked_up(codes), -1)


class FiniteScalarQuantizer(Quantizer):
    """A few channels, each bounded and rounded to `levels[i]` values; a code is the number of their combination
    (Mentzer et al., 2024).

    Nothing is learned but the projections to and from those channels, so no code can die; there is no commitment loss.
    """

    levels: Tensor
    places: Tensor

    def __init__(self, width: int, levels: Sequence[int] = (8, 8, 4, 4)) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"levels are {list(levels)}; expected at least one channel of at least 2 levels")
        self.width, self.codes_per_step = width, 1
        sizes = torch.tensor(levels)
        self.num_codes = int(sizes.prod())
        self.project_in = nn.Linear(width, len(levels))
        self.project_out = nn.Linear(len(levels), width)
        self.register_buffer("levels", sizes, persistent=False)
        self.register_buffer("places", torch.cumprod(torch.tensor([1, *levels[:-1]]), 0), persistent=False)

    def forward(self, latents: Tensor, mask: Tensor) -> Quantized:
        with torch.autocast(latents.device.type, enabled=False):
            # (0, levels - 1): the rounding below then reaches each level and no other.
            position = (torch.tanh(self.project_in(latents.float())) + 1) / 2 * (self.levels - 1)
            rounded = position + (position.round() - position).detach()
            quantized = self.project_out(self._centred(rounded)).masked_fill(~mask.unsqueeze(-1), 0.0)
        digits = rounded.detach().round().long()
        codes = (digits * self.places).sum(-1, keepdim=True).masked_fill(~mask.unsqueeze(-1), 0)
        usage = code_usage(count_codes(codes, mask, self.num_codes))
        return Quantized(quantized, codes, {}, usage)

    def decode(self, codes: Tensor) -> Tensor:
        digits = codes // self.places % self.levels
        return self.project_out(self._centred(digits.to(self.project_out.weight.dtype)))

    def _centred(self, position: Tensor) -> Tensor:
        """Level numbers 0 ... levels - 1 to -1 ... 1."""
        return position * 2 / (self.levels - 1) - 1


def finite_scalar_levels(num_codes: int) -> tuple[int, ...]:
    """Levels whose product is `num_codes`, a power of two from 4: channels of 8 and 4 levels, 1024 gives (8, 8, 4, 4)."""
    bits = num_codes.bit_length() - 1
    if num_codes != 1 << bits or bits < 2:
        raise ValueError(f"finite scalar quantisation of {num_codes} codes: expected a power of two from 4")
    channels = max(1, round(bits / 2.5))
    return tuple(2 ** (bits // channels + (channel < bits % channels)) for channel in range(channels))


def build_quantizer(kind: str, width: int, num_codes: int = 1024, seed: int = 0, parts: int = 4) -> Quantizer:
    """The quantiser named `kind`: vq, residual, product or fsq, for latents of `width`, with `num_codes` in each
    codebook.

    `parts`: codebooks of the residual (depth) and of the product (groups). `seed` is that of new codebooks and
    revivals. Raises ValueError for another name.
    """
    if kind == "vq":
        return ResidualQuantizer(width, num_codes, depth=1, seed=seed)
    if kind == "residual":
        return ResidualQuantizer(width, num_codes, depth=parts, seed=seed)
    if kind == "product":
        return ProductQuantizer(width, num_codes, groups=parts, seed=seed)
    if kind == "fsq":
        return FiniteScalarQuantizer(width, finite_scalar_levels(num_codes))
    raise ValueError(f"unknown quantiser {kind!r}; expected vq, residual, product or fsq")

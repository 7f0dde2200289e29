"""A codebook that follows the latents by moving averages and revives codes that nothing uses."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

# A code used less than this is not averaged any more: both its sum and its count are rounding.
_SMALLEST_COUNT = 1e-5
# How much more than the least count a revived code starts with; unused it lasts for ln(2) / (1 - decay) updates.
_GRACE = 2.0


class Codebook(nn.Module):
    """`num_codes` vectors of `width`, learned by exponential moving averages (van den Oord et al., 2017, appendix A.1).

    `start` draws the codes from the first latents. A code whose averaged count falls below `revive_below` times the
    mean count is dead: it is put onto a latent drawn from the current batch and starts with twice that count, so that
    it has time to prove itself. The first updates average over fewer batches, at update n with decay min(decay, (1 + n)
    / (10 + n)): an encoder moves fast at first, and codes must follow. With torch.distributed running, sums are reduced
    and the draws are made from the latents of all ranks by one generator, so every rank holds the same codebook. Draws
    depend on `seed` and the number of updates (part of the state) only, so a resumed run repeats them.
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    updates: Tensor

    def __init__(
        self, num_codes: int, width: int, decay: float = 0.99, revive_below: float = 0.05, seed: int = 0
    ) -> None:
        super().__init__()
        if num_codes < 2 or not 0 <= decay < 1:
            raise ValueError(f"got {num_codes} codes and decay {decay}; expected at least 2 and a decay in [0, 1)")
        self.decay, self.revive_below, self.seed = decay, revive_below, seed
        start = torch.randn(num_codes, width, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("vectors", start)
        self.register_buffer("sums", start.clone())
        self.register_buffer("counts", torch.ones(num_codes))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def nearest(self, latents: Tensor) -> Tensor:
        """Codes `[...]` int64 of the nearest vectors (Euclidean) of latents `[..., D]`."""
        with torch.autocast(latents.device.type, enabled=False):
            flat = latents.reshape(-1, latents.shape[-1]).float()
            # |z - c|^2 without |z|^2, which is the same for all codes.
            distance = torch.addmm(self.vectors.square().sum(-1), flat, self.vectors.T, alpha=-2)
        return distance.argmin(-1).view(latents.shape[:-1])

    @torch.no_grad()
    def start(self, latents: Tensor) -> None:
        """Before the first update, put the codes onto latents `[N, D]`; afterwards do nothing. All ranks must call it."""
        if self.updates > 0:
            return
        pool = self._gather_candidates(latents.float())
        if len(pool) > 0:
            self.vectors.copy_(self._draw(pool, len(self.vectors), self._generator()))
            self.sums.copy_(self.vectors)

    @torch.no_grad()
    def learn(self, latents: Tensor, codes: Tensor) -> None:
        """One update from valid latents `[N, D]` and their codes [N]; N may be 0 on some ranks. All ranks must call it."""
        latents = latents.float()
        counts = torch.bincount(codes, minlength=len(self.vectors)).to(latents.dtype)
        sums = torch.zeros_like(self.sums).index_add_(0, codes, latents)
        if _is_distributed():
            distributed.all_reduce(counts)
            distributed.all_reduce(sums)
        if counts.sum() == 0:
            return
        updates = int(self.updates)
        weight = 1 - min(self.decay, (1 + updates) / (10 + updates))
        self.counts.lerp_(counts, weight)
        self.sums.lerp_(sums, weight)
        self._revive(latents)
        counts = self.counts.unsqueeze(-1)
        self.vectors.copy_(torch.where(counts > _SMALLEST_COUNT, self.sums / counts, self.vectors))
        self.updates += 1

    def _revive(self, latents: Tensor) -> None:
        least = self.revive_below * self.counts.mean()
        dead = self.counts < least
        number = int(dead.sum())
        if number == 0:
            return
        drawn = self._draw(self._gather_candidates(latents), number, self._generator())
        self.counts[dead] = _GRACE * least
        self.sums[dead] = drawn * (_GRACE * least)

    def _generator(self, rank: int | None = None) -> torch.Generator:
        """One for all ranks, or one of a rank; both a function of seed and number of updates."""
        position = 2 * int(self.updates) + (0 if rank is None else 1)
        # Primes keep (seed, position, rank) apart; the generator's own seeding mixes the bits.
        return torch.Generator().manual_seed((self.seed * 1_000_003 + position) * 65_537 + (rank or 0))

    def _gather_candidates(self, latents: Tensor) -> Tensor:
        """Up to `num_codes` latents of each rank, drawn at random: the same `[M, D]` on all ranks."""
        limit = len(self.vectors)
        rank = distributed.get_rank() if _is_distributed() else 0
        chosen = torch.randperm(len(latents), generator=self._generator(rank))[:limit]
        own = latents[chosen.to(latents.device)]
        if not _is_distributed():
            return own
        padded = own.new_zeros(limit, own.shape[1])
        padded[: len(own)] = own
        number = torch.tensor([len(own)], device=own.device)
        world = distributed.get_world_size()
        all_padded = [torch.empty_like(padded) for _ in range(world)]
        numbers = [torch.empty_like(number) for _ in range(world)]
        distributed.all_gather(all_padded, padded)
        distributed.all_gather(numbers, number)
        return torch.cat([part[: int(n)] for part, n in zip(all_padded, numbers, strict=True)])

    @staticmethod
    def _draw(pool: Tensor, number: int, generator: torch.Generator) -> Tensor:
        """`number` rows of the pool, each once where it is large enough, else in turns with a little noise that parts
        copies.
        """
        order = torch.randperm(len(pool), generator=generator)
        turns = order.repeat(-(-number // len(pool)))[:number].to(pool.device)
        drawn = pool[turns]
        if number > len(pool):
            noise = torch.randn(drawn.shape, generator=generator).to(pool.device)
            drawn = drawn + 0.01 * pool.std(unbiased=False) * noise
        return drawn


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()

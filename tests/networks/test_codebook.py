"""Codebooks: moving averages as by hand, dead codes come back, every rank holds the same one."""

from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

from networks.codebook import Codebook


def clustered(number: int, seed: int = 0, centres: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    means = 10 * torch.randn(centres, 4, generator=torch.Generator().manual_seed(99))
    which = torch.randint(centres, (number,), generator=generator)
    return means[which] + 0.1 * torch.randn(number, 4, generator=generator)


def train(book: Codebook, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        latents = clustered(64, seed=step)
        book.start(latents)
        book.learn(latents, book.nearest(latents))


def test_the_nearest_code_is_that_of_a_plain_search():
    book = Codebook(20, 4)
    latents = torch.randn(3, 7, 4)
    expected = torch.stack([(z - book.vectors).norm(dim=-1).argmin() for z in latents.view(-1, 4)]).view(3, 7)
    assert torch.equal(book.nearest(latents), expected)


def test_one_update_moves_codes_as_the_formula_says():
    book = Codebook(3, 2, decay=0.9, revive_below=0.0)
    book.updates.fill_(80)  # the first updates average less: at 80 the decay is the full one, at 0 it is 0.1
    before = book.vectors.clone()
    latents = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    book.learn(latents, torch.tensor([0, 0, 2]))
    expected = torch.stack(
        [
            (0.9 * before[0] + 0.1 * torch.tensor([4.0, 0.0])) / (0.9 + 0.1 * 2),
            before[1],
            (0.9 * before[2] + 0.1 * torch.tensor([0.0, 5.0])) / (0.9 + 0.1 * 1),
        ]
    )
    torch.testing.assert_close(book.vectors, expected)


def test_codes_start_on_latents():
    book, latents = Codebook(16, 4), clustered(64)
    book.start(latents)
    assert (book.vectors[:, None] == latents).all(-1).any(-1).all() and len(book.vectors.unique(dim=0)) == 16


def test_fewer_latents_than_codes_still_give_different_codes():
    book = Codebook(16, 4)
    book.start(clustered(5))
    assert len(book.vectors.unique(dim=0)) == 16


def test_a_dead_code_comes_back_and_is_used():
    book = Codebook(8, 4, decay=0.9)
    train(book, 1)
    with torch.no_grad():
        book.vectors[3], book.sums[3] = 1e3, 1e3 * book.counts[3]
    train(book, 60, first=1)
    assert (book.vectors.abs() < 100).all()
    counts = torch.bincount(book.nearest(clustered(500, seed=7)), minlength=8)
    assert counts[3] > 0


def test_without_revival_that_code_stays_dead():
    book = Codebook(8, 4, decay=0.9, revive_below=0.0)
    train(book, 1)
    with torch.no_grad():
        book.vectors[3], book.sums[3] = 1e3, 1e3 * book.counts[3]
    train(book, 60, first=1)
    assert (book.vectors[3] > 100).all()


def test_a_resumed_codebook_continues_exactly():
    whole, first = Codebook(12, 4, decay=0.8, seed=3), Codebook(12, 4, decay=0.8, seed=3)
    train(whole, 40)
    train(first, 17)
    torch.randn(5)  # the global generator's state does not matter
    second = Codebook(12, 4, decay=0.8, seed=3)
    second.load_state_dict(first.state_dict())
    train(second, 23, first=17)
    assert torch.equal(whole.vectors, second.vectors)


def test_another_seed_draws_other_codes():
    one, other = Codebook(12, 4, seed=1), Codebook(12, 4, seed=2)
    train(one, 1)
    train(other, 1)
    assert not torch.equal(one.vectors, other.vectors)


def test_no_latents_change_nothing():
    book = Codebook(4, 2)
    before = {name: value.clone() for name, value in book.state_dict().items()}
    book.start(torch.empty(0, 2))
    book.learn(torch.empty(0, 2), torch.empty(0, dtype=torch.long))
    assert all(torch.equal(before[name], value) for name, value in book.state_dict().items())


def test_impossible_options_are_refused():
    with pytest.raises(ValueError, match="decay"):
        Codebook(4, 2, decay=1.0)


def _one_rank(rank: int, address: str, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    book = Codebook(12, 4, decay=0.8, seed=3)
    for step in range(30):
        # The ranks get different numbers of latents; at step 5 the second gets none.
        latents = clustered(64, seed=step)[rank * 40 : 40 if rank == 0 or step == 5 else 64]
        book.start(latents)
        book.learn(latents, book.nearest(latents))
    torch.save(book.state_dict(), Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_hold_bitwise_the_same_codebook(tmp_path):
    multiprocessing.spawn(_one_rank, (f"file://{tmp_path}/store", str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first) and first["updates"] == 30
    used = torch.bincount(torch.cdist(clustered(500, 7), first["vectors"]).argmin(1), minlength=12)
    assert (used > 0).sum() >= 8

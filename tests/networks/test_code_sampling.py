"""Sampling: each draw follows the distribution that its options name, and only its clip's seed."""

import pytest
import torch

from networks.code_sampling import CodeSampler, Sampling

LOGITS = torch.tensor([2.0, 0.0, 1.0, -1.0, -30.0])


def frequencies(sampling: Sampling, draws: int = 4000) -> torch.Tensor:
    sampler = CodeSampler(sampling, 5, 1, list(range(draws)), torch.device("cpu"))
    codes = sampler.choose(LOGITS.repeat(draws, 1), 0)
    return torch.bincount(codes, minlength=5) / draws


def cut(probabilities: torch.Tensor, keep: list[int]) -> torch.Tensor:
    kept = torch.zeros(5)
    kept[keep] = probabilities[keep]
    return kept / kept.sum()


def test_greedy_takes_the_likeliest():
    assert frequencies(Sampling()).tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(temperature=1), LOGITS.softmax(0)),
        (Sampling(temperature=2), (LOGITS / 2).softmax(0)),
        (Sampling(temperature=1, top_k=2), cut(LOGITS.softmax(0), [0, 2])),
        (Sampling(temperature=1, top_k=1), cut(LOGITS.softmax(0), [0])),
        (Sampling(temperature=1, top_p=0.8), cut(LOGITS.softmax(0), [0, 2])),
        (Sampling(temperature=1, top_p=0.01), cut(LOGITS.softmax(0), [0])),
        # Of the two kept codes the first has 0.73: a nucleus of 0.7 is that alone.
        (Sampling(temperature=1, top_k=2, top_p=0.7), cut(LOGITS.softmax(0), [0])),
    ],
)
def test_draws_follow_the_distribution(sampling, expected):
    # Three standard deviations of a share over 4000 draws are at most 0.024.
    torch.testing.assert_close(frequencies(sampling), expected, atol=0.03, rtol=0)


def test_a_wide_nucleus_is_cut_where_a_full_sort_cuts_it():
    torch.manual_seed(0)
    logits = 0.1 * torch.randn(1, 1000)
    ordered, order = logits.softmax(-1)[0].sort(descending=True)
    inside = set(order[: int((ordered.cumsum(0) < 0.5).sum()) + 1].tolist())
    assert len(inside) > 300
    sampler = CodeSampler(Sampling(temperature=1, top_p=0.5), 1000, 1, range(3000), torch.device("cpu"))
    drawn = set(sampler.choose(logits.expand(3000, -1), 0).tolist())
    assert drawn <= inside and len(drawn) > 0.9 * len(inside)


def test_a_draw_depends_on_its_own_seed_only():
    sampling, logits = Sampling(temperature=1), torch.randn(3, 7, 50)

    def draw(rows: list[int]) -> torch.Tensor:
        sampler = CodeSampler(sampling, 50, 3, [100 + row for row in rows], torch.device("cpu"))
        return torch.stack([sampler.choose(logits[step, rows], step) for step in range(3)])

    assert torch.equal(draw([0, 1, 2, 3, 4, 5, 6])[:, 4:5], draw([4]))


def test_repetition_is_penalised_within_the_window_and_forgotten_behind_it():
    sampler = CodeSampler(Sampling(repetition_penalty=1.5, repetition_window=3), 5, 20, [0], torch.device("cpu"))
    found = [int(sampler.choose(LOGITS[None], step)) for step in range(12)]
    recent: list[int] = []
    for code in found:
        scores = LOGITS - 1.5 * torch.bincount(torch.tensor(recent[-3:], dtype=torch.long), minlength=5)
        assert code == int(scores.argmax())
        recent.append(code)
    assert len(set(found)) > 1


def test_bad_options_are_told_all_at_once():
    with pytest.raises(ValueError, match=r"temperature.*top_k.*top_p"):
        Sampling(temperature=-1, top_k=0, top_p=2)
    with pytest.raises(ValueError, match="greedy"):
        Sampling(top_p=0.9)

"""People who move differently are told apart by their heads, and those who do not are not."""

import pytest
import torch

from networks.pose_speaker import clip_likelihoods, fit_speaker_classifier, recognised, recognised_people


def clips(speakers: int, number: int, seed: int, same: bool = False) -> tuple[list[torch.Tensor], list[int]]:
    """Smooth noise; speaker k holds the head at another angle and moves it another amount, unless all are the same."""
    generator = torch.Generator().manual_seed(seed)
    heads, labels = [], []
    for speaker in range(speakers):
        for _ in range(number):
            noise = torch.randn(80, 3, generator=generator).cumsum(0)
            noise = (noise - noise.mean(0)) / noise.std()
            kind = 0 if same else speaker
            offset = torch.tensor([0.02 * (kind % 3), 0.05 * (kind % 2), 0.0])
            heads.append(offset + 0.01 * (1 + kind) * noise)
            labels.append(speaker)
    return heads, labels


def test_unseen_clips_of_people_who_move_differently_are_recognised() -> None:
    net = fit_speaker_classifier(*clips(6, 8, seed=0))
    heads, labels = clips(6, 3, seed=1)
    likelihoods = clip_likelihoods(net, heads)
    first, five = recognised(likelihoods, labels), recognised(likelihoods, labels, k=5)
    assert sum(first) / len(first) > 0.6 and sum(five) >= sum(first)
    people = recognised_people(likelihoods, labels)
    assert len(people) == 6 and sum(people) / 6 >= sum(first) / len(first) - 0.2
    # Of the other person's motion it recognises the other person.
    swapped = [label + 1 if label % 2 == 0 else label - 1 for label in labels]
    assert sum(recognised(likelihoods, swapped)) < 0.4 * sum(first)


def test_people_who_move_alike_are_told_apart_by_chance_only() -> None:
    net = fit_speaker_classifier(*clips(6, 8, seed=0, same=True))
    heads, labels = clips(6, 10, seed=1, same=True)
    hits = recognised(clip_likelihoods(net, heads), labels)
    assert sum(hits) / len(hits) < 0.4


def test_clips_that_cannot_be_learned_from_are_refused() -> None:
    heads, labels = clips(2, 1, seed=0)
    with pytest.raises(ValueError, match="two clips of somebody"):
        fit_speaker_classifier(heads, labels)
    with pytest.raises(ValueError, match="none left out"):
        fit_speaker_classifier([*heads, heads[0]], [0, 2, 2])

"""Style matrices: the means by hand, empty columns shrunk to the clip's mean, pooling as if clips were one."""

import pytest
import torch

from networks.style_matrix import pooled, style_matrix, units_of_steps


def test_three_clusters_by_hand():
    latents = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 8.0], [4.0, 4.0]])
    matrix = style_matrix(latents, torch.tensor([2, 2, 0, 4]), num_units=5)
    assert matrix.units.tolist() == [0, 2, 4] and matrix.counts.tolist() == [1, 2, 1] and matrix.num_frames == 4
    assert matrix.means.tolist() == [[0, 8], [2, 0], [4, 4]] and matrix.mean.tolist() == [2, 3]
    dense = matrix.dense(prior_frames=4)
    assert dense[1].tolist() == dense[3].tolist() == [2, 3]
    torch.testing.assert_close(dense[0], torch.tensor([(0 + 4 * 2) / 5, (8 + 4 * 3) / 5]))
    torch.testing.assert_close(dense[2], torch.tensor([(2 * 2 + 4 * 2) / 6, (0 + 4 * 3) / 6]))


def test_pooling_clips_is_the_matrix_of_their_frames_in_any_order():
    torch.manual_seed(0)
    latents, units = torch.randn(90, 6), torch.randint(40, (90,))
    whole = style_matrix(latents, units, 50)
    parts = [style_matrix(latents[a:b], units[a:b], 50) for a, b in ((0, 20), (20, 21), (21, 90))]
    for order in ([0, 1, 2], [2, 0, 1]):
        again = pooled([parts[i] for i in order])
        assert torch.equal(again.units, whole.units) and torch.equal(again.counts, whole.counts)
        torch.testing.assert_close(again.means, whole.means)


def test_the_order_of_frames_does_not_matter():
    torch.manual_seed(0)
    latents, units, order = torch.randn(60, 3), torch.randint(20, (60,)), torch.randperm(60)
    torch.testing.assert_close(
        style_matrix(latents, units, 20).dense(), style_matrix(latents[order], units[order], 20).dense()
    )


def test_units_of_longer_steps_are_those_of_their_first_frames():
    assert units_of_steps(torch.tensor([5, 1, 2, 7, 9]), 2).tolist() == [5, 2, 9]


def test_impossible_matrices_are_refused():
    with pytest.raises(ValueError, match="T > 0"):
        style_matrix(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 5)
    with pytest.raises(ValueError, match=r"\[T, D\]"):
        style_matrix(torch.zeros(4, 3), torch.zeros(5, dtype=torch.long), 5)
    with pytest.raises(ValueError, match="0 to 4"):
        style_matrix(torch.zeros(2, 3), torch.tensor([0, 5]), 5)
    with pytest.raises(ValueError, match="same size"):
        pooled([])

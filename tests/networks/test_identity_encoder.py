"""Identity encoder: an unknown person is a learned vector, whatever the coefficients say."""

import pytest
import torch

from networks.identity_encoder import IdentityEncoder


def test_unknown_identity_is_the_learned_null_and_known_ones_differ():
    torch.manual_seed(0)
    net = IdentityEncoder(5, 8)
    vectors = net(torch.randn(3, 5), torch.tensor([True, False, True]))
    assert torch.equal(vectors[1], net.null_embedding)
    assert (vectors[0] - vectors[2]).abs().max() > 1e-3


def test_without_coefficients_every_identity_is_unknown():
    net = IdentityEncoder(0, 8)
    assert torch.equal(net(torch.zeros(2, 0), torch.tensor([True, False])), net.null_embedding.expand(2, -1))


def test_a_wrong_number_of_coefficients_is_refused():
    with pytest.raises(ValueError, match="takes 5"):
        IdentityEncoder(5, 8)(torch.zeros(1, 4), torch.tensor([True]))

"""Quantisers: one signature, codes that decode to what was quantised, gradients straight through, padding that counts nowhere."""

import pytest
import torch

from networks.quantizers import (
    FiniteScalarQuantizer,
    ProductQuantizer,
    ResidualQuantizer,
    build_quantizer,
    code_usage,
    count_codes,
    finite_scalar_levels,
)

KINDS = ["vq", "residual", "product", "fsq"]


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    latents = torch.randn(3, 20, 8, generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(20) < torch.tensor([20, 13, 0])[:, None]
    return latents, mask


def trained(kind: str):
    torch.manual_seed(0)
    quantizer = build_quantizer(kind, width=8, num_codes=16)
    for seed in range(20):
        quantizer(*batch(seed))
    return quantizer.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_codes_decode_to_what_was_quantised(kind):
    quantizer = trained(kind)
    latents, mask = batch(100)
    quantized, codes, _, usage = quantizer(latents, mask)
    assert codes.shape == (3, 20, quantizer.codes_per_step) and codes.dtype == torch.int64
    assert codes.min() >= 0 and codes.max() < quantizer.num_codes
    torch.testing.assert_close(quantizer.decode(codes)[mask], quantized[mask])
    assert usage.counts.shape == (quantizer.codes_per_step, quantizer.num_codes)
    assert (usage.counts.sum(-1) == 33).all()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_counts_in_nothing(kind):
    first, second = trained(kind).train(), trained(kind).train()
    latents, mask = batch(100)
    one = first(latents.masked_fill(~mask[..., None], 0.0), mask)
    other = second(latents.masked_fill(~mask[..., None], 1e4), mask)
    torch.testing.assert_close(one, other)
    assert (one.quantized[~mask] == 0).all() and (one.codes[~mask] == 0).all()
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_latents_and_only_valid_ones(kind):
    quantizer = trained(kind).train()
    latents, mask = batch(100)
    latents.requires_grad_()
    result = quantizer(latents, mask)
    (result.quantized.square().sum() + sum(result.losses.values())).backward()
    assert (latents.grad[~mask] == 0).all() and (latents.grad[mask].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("kind", ["vq", "residual", "product"])
def test_the_gradient_is_that_of_the_latents(kind):
    quantizer = trained(kind)
    latents, mask = batch(100)
    latents.requires_grad_()
    weight = torch.randn_like(latents)
    (quantizer(latents, mask).quantized * weight).sum().backward()
    torch.testing.assert_close(latents.grad[mask], weight[mask])


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_leaves_the_quantiser_alone(kind):
    quantizer = trained(kind)
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(*batch(100))
    assert all(torch.equal(before[name], value) for name, value in quantizer.state_dict().items())


def test_a_deeper_residual_is_closer():
    errors = []
    latents, mask = batch(100)
    for depth in (1, 2, 4):
        quantizer = ResidualQuantizer(8, 16, depth, seed=0)
        for seed in range(30):
            quantizer(*batch(seed))
        quantizer.eval()
        errors.append(float((quantizer(latents, mask).quantized - latents)[mask].square().mean()))
    assert errors[0] > 1.2 * errors[1] > 1.4 * errors[2]


def test_groups_of_a_product_do_not_know_each_other():
    quantizer = ProductQuantizer(8, 16, groups=2).eval()
    latents, mask = batch()
    changed = latents.clone()
    changed[..., 4:] += 5.0
    one, other = quantizer(latents, mask).codes, quantizer(changed, mask).codes
    assert torch.equal(one[..., 0], other[..., 0]) and not torch.equal(one[..., 1], other[..., 1])


def test_every_combination_of_levels_is_one_code_and_decodes_to_itself():
    quantizer = FiniteScalarQuantizer(3, levels=(4, 2, 3))
    with torch.no_grad():  # so that latents are the bounded channels themselves
        quantizer.project_in.weight.copy_(torch.eye(3))
        quantizer.project_in.bias.zero_()
        quantizer.project_out.weight.copy_(torch.eye(3))
        quantizer.project_out.bias.zero_()
    codes = torch.arange(24)[None, :, None]
    values = quantizer.decode(codes)
    assert values.min() == -1 and values.max() == 1 and len(values[0].unique(dim=0)) == 24
    again = quantizer(torch.atanh(values.clamp(-0.999999, 0.999999)), torch.ones(1, 24, dtype=torch.bool))
    assert torch.equal(again.codes, codes)


@pytest.mark.parametrize("bits", range(2, 15))
def test_levels_multiply_to_the_number_of_codes(bits):
    levels = finite_scalar_levels(2**bits)
    assert torch.tensor(levels).prod() == 2**bits and max(levels) <= 16


def test_perplexity_of_known_distributions():
    counts = torch.tensor([[5, 5, 5, 5], [20, 0, 0, 0], [10, 10, 0, 0]])
    usage = code_usage(counts)
    torch.testing.assert_close(usage.perplexity, torch.tensor([4.0, 1.0, 2.0]))
    torch.testing.assert_close(usage.used_share, torch.tensor([1.0, 0.25, 0.5]))
    nothing = code_usage(torch.zeros(1, 4))
    assert nothing.perplexity == 1 and nothing.used_share == 0


def test_counts_are_those_of_a_loop():
    codes = torch.randint(5, (2, 9, 3))
    mask = torch.rand(2, 9) < 0.7
    counts = count_codes(codes, mask, 5)
    for q in range(3):
        for k in range(5):
            assert counts[q, k] == sum(int(codes[b, t, q] == k) for b, t in mask.nonzero().tolist())


def test_impossible_quantisers_are_refused():
    with pytest.raises(ValueError, match="vq, residual, product or fsq"):
        build_quantizer("gumbel", 8)
    with pytest.raises(ValueError, match="divisor"):
        ProductQuantizer(8, groups=3)
    with pytest.raises(ValueError, match="power of two"):
        finite_scalar_levels(1000)
    with pytest.raises(ValueError, match="2 levels"):
        FiniteScalarQuantizer(8, levels=(8, 1))

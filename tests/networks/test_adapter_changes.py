"""Changes of one weight: shapes of the paper's figure, slow dense references, orthogonality and density, refused sizes."""

import itertools
import math

import pytest
import torch
from torch import nn
from weight_adapter_cases import scramble

from networks.weight_adapters import AdapterError, AdapterSpec
from networks.weight_adapters.attaching import build_change
from networks.weight_adapters.butterfly import Butterfly, cayley
from networks.weight_adapters.low_rank import DoRA, LowRank

LAYERS = {
    "linear": lambda: nn.Linear(12, 20),
    "pointwise": lambda: nn.Conv1d(12, 20, 1),
    "convolution": lambda: nn.Conv1d(12, 20, 5),
    "grouped": lambda: nn.Conv1d(12, 20, 3, groups=4),
    "depthwise": lambda: nn.Conv1d(16, 16, 15, groups=16),
    "plane": lambda: nn.Conv2d(6, 8, (3, 2)),
    "grouped plane": lambda: nn.Conv2d(8, 6, 3, groups=2),
}


def molora(layer: nn.Module, ranks: tuple[int, ...], alphas: tuple[float, ...] | None = None, method: str = "molora"):
    spec = AdapterSpec(method, ("*",), ranks=ranks, alphas=alphas)
    return build_change(spec, layer, "weight", torch.Generator().manual_seed(0))


def dense_delta(change: LowRank, layer: nn.Module) -> torch.Tensor:
    """The figure's formula one value at a time."""
    shape = (*layer.weight.shape, 1, 1)[:4]
    groups = getattr(layer, "groups", 1)
    per_group, inputs, first, second = shape[0] // groups, *shape[1:]
    delta = torch.zeros(shape, dtype=torch.float64)
    for up, down, scale in zip(change.up, change.down, change.scales, strict=True):
        up, down = up.detach().double(), down.detach().double()
        for group, output, channel, i, j in itertools.product(*map(range, (groups, per_group, inputs, first, second))):
            column = (group * inputs + channel) * second + j
            value = scale * (up[output * first + i] * down[:, column]).sum()
            delta[group * per_group + output, channel, i, j] += value
    return delta.view(layer.weight.shape)


@pytest.mark.parametrize("kind", LAYERS)
def test_molora_agrees_with_the_sum_written_out(kind):
    layer = LAYERS[kind]()
    ranks = (1, 1) if kind == "depthwise" else (1, 2)
    change = molora(layer, ranks, alphas=(0.5, 3.0))
    scramble(list(change.parameters()))
    expected = dense_delta(change, layer)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(change.delta(layer.weight.shape).double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(change(layer.weight).double(), layer.weight + expected, atol=1e-6, rtol=0)
    pairs = sum(change.pair_delta(index, layer.weight.shape) for index in range(2))
    torch.testing.assert_close(pairs.double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("kind", "up", "down"),
    [
        ("linear", (20, 2), (2, 12)),
        ("convolution", (20 * 5, 2 * 5), (2 * 5, 12)),
        ("grouped", (5 * 3, 2 * 3), (2 * 3, 3 * 4)),
        ("plane", (8 * 3, 2 * 3), (2 * 3, 6 * 2)),
    ],
)
def test_pairs_have_the_shapes_of_the_figure(kind, up, down):
    layer = LAYERS[kind]()
    change = molora(layer, (2,))
    assert (*change.up[0].shape, *change.down[0].shape) == (*up, *down)
    assert up[0] * down[1] == layer.weight.numel()


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("method", ["lora", "molora", "dora", "oft", "boft", "full", "bias"])
def test_a_new_change_leaves_every_bit_of_the_weight(kind, method):
    layer = LAYERS[kind]()
    options = {"ranks": (1,)} if method in ("lora", "molora", "dora") else {}
    if method in ("oft", "boft"):
        options = {"block_size": 3 if layer.weight[0].numel() % 2 or kind == "depthwise" else 2, "num_factors": 1}
    change = build_change(AdapterSpec(method, ("*",), **options), layer, "weight", torch.Generator())
    assert torch.equal(change(layer.weight), layer.weight)
    scramble(list(change.parameters()))
    assert not torch.equal(change(layer.weight), layer.weight)


def test_a_mixture_with_scale_one_is_one_pair_of_the_summed_rank():
    layer = nn.Linear(40, 30)
    mixture, single = molora(layer, (2, 4, 8)), molora(layer, (14,))
    scramble(list(mixture.parameters()))
    with torch.no_grad():
        single.up[0].copy_(torch.cat(list(mixture.up), dim=1))
        single.down[0].copy_(torch.cat(list(mixture.down)))
    assert torch.equal(mixture(layer.weight), single(layer.weight))


def test_first_values_are_kaiming_uniform_and_depend_on_the_generator_only():
    layer = nn.Linear(64, 64)
    first, second = molora(layer, (32,)), molora(layer, (32,))
    assert torch.equal(first.down[0], second.down[0])
    assert 0.9 / 8 < first.down[0].abs().max() <= 1 / 8
    assert (first.up[0] == 0).all()


@pytest.mark.parametrize("kind", ["linear", "convolution", "plane"])
def test_dora_sets_direction_and_length_apart(kind):
    layer = LAYERS[kind]()
    change = molora(layer, (2,), method="dora")
    assert isinstance(change, DoRA)
    scramble(list(change.parameters()))
    direction = layer.weight.detach().double() + dense_delta(change, layer)
    for row, expected in enumerate(direction):
        expected = change.magnitude[row].double() * expected / expected.square().sum().sqrt()
        torch.testing.assert_close(change(layer.weight)[row].double(), expected, atol=1e-5, rtol=0)


def test_dora_takes_the_norm_as_constant_in_its_gradient():
    layer = nn.Linear(6, 5)
    change = molora(layer, (2,), method="dora")
    scramble(list(change.parameters()))
    change(layer.weight.detach()).square().sum().backward()
    up = change.up[0].detach().clone().requires_grad_(True)
    direction = layer.weight.detach() + up @ change.down[0].detach()
    length = direction.detach().square().sum(1, keepdim=True).sqrt()
    (change.magnitude.detach()[:, None] / length * direction).square().sum().backward()
    torch.testing.assert_close(change.up[0].grad, up.grad, atol=1e-6, rtol=1e-5)


def test_dora_leaves_a_weight_of_zeros_finite():
    layer = nn.Linear(6, 5)
    nn.init.zeros_(layer.weight)
    change = molora(layer, (2,), method="dora")
    value = change(layer.weight)
    value.sum().backward()
    assert (value == 0).all() and all(torch.isfinite(p.grad).all() for p in change.parameters())


def butterfly(length: int, block_size: int, factors: int, seed: int = 0, spread: float = 1.0) -> Butterfly:
    change = Butterfly(torch.zeros(3, length), block_size, factors)
    nn.init.normal_(change.skew, std=spread, generator=torch.Generator().manual_seed(seed))
    return change


def dense_rotation(change: Butterfly, length: int) -> torch.Tensor:
    """R from its definition: full matrices of every factor, blocks placed by the indices that they join."""
    size = change.block_size
    half = size / 2
    result = torch.eye(length, dtype=torch.float64)
    for level, blocks in enumerate(change.skew.detach().double()):
        apart = 2**level
        factor = torch.zeros(length, length, dtype=torch.float64)
        if level == 0:
            groups = [list(range(start, start + size)) for start in range(0, length, size)]
        else:
            lower = [h for h in range(int(length / half)) if (h // apart) % 2 == 0]
            groups = [[int(x * half) + i for x in (h, h + apart) for i in range(int(half))] for h in lower]
        for group, values in zip(groups, blocks, strict=True):
            skew = torch.zeros(size, size, dtype=torch.float64)
            for (i, j), value in zip(itertools.combinations(range(size), 2), values, strict=True):
                skew[i, j], skew[j, i] = value, -value
            identity = torch.eye(size, dtype=torch.float64)
            factor[torch.tensor(group)[:, None], torch.tensor(group)] = (identity + skew) @ torch.linalg.inv(
                identity - skew
            )
        result = factor @ result
    return result


@pytest.mark.parametrize(("length", "size", "factors"), [(24, 4, 1), (15, 5, 1), (32, 8, 2), (32, 4, 4), (16, 2, 4)])
def test_butterfly_agrees_with_the_product_of_dense_factors(length, size, factors):
    change = butterfly(length, size, factors)
    rotation = dense_rotation(change, length)
    weight = torch.randn(7, length, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(change(weight).double(), weight.double() @ rotation.T, atol=1e-5, rtol=0)


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
@pytest.mark.parametrize(("length", "size", "factors"), [(256, 8, 2), (256, 16, 5), (64, 64, 1), (256, 2, 8)])
def test_butterfly_is_orthogonal_to_a_millionth(length, size, factors, spread):
    rotation = butterfly(length, size, factors, spread=spread).rotate(torch.eye(length)).double()
    assert (rotation @ rotation.T - torch.eye(length)).abs().max() < 1e-6
    assert (rotation - torch.eye(length)).abs().max() > 1e-3


@pytest.mark.parametrize("size", [2, 4, 8])
def test_each_factor_doubles_the_density_until_all_inputs_meet(size):
    length = 64
    most = round(math.log2(2 * length / size))
    for factors in range(1, most + 1):
        change = butterfly(length, size, factors)
        density = (change.rotate(torch.eye(length)).abs() > 1e-12).double().mean().item()
        assert density == size * 2 ** (factors - 1) / length
        assert change.skew.numel() == (size - 1) * length * factors // 2
    assert density == 1.0


def test_butterfly_keeps_lengths_angles_and_spectrum_of_the_neurons():
    weight = torch.randn(20, 32, generator=torch.Generator().manual_seed(3))
    turned = butterfly(32, 4, 3)(weight)
    torch.testing.assert_close(turned @ turned.T, weight @ weight.T, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.linalg.svdvals(turned), torch.linalg.svdvals(weight), atol=1e-4, rtol=0)


def test_gradients_of_the_cayley_map_are_those_of_differences():
    skew = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: cayley(x, 4), (skew,))


@pytest.mark.parametrize(("kind", "largest"), [("linear", 12), ("convolution", 2), ("grouped", 4), ("depthwise", 1)])
def test_a_rank_larger_than_the_layer_allows_is_refused(kind, largest):
    layer = LAYERS[kind]()
    molora(layer, (1, largest))
    with pytest.raises(AdapterError, match=f"rank {largest + 1} is too large .* at most {largest}"):
        molora(layer, (1, largest + 1))


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(AdapterError, match="3 groups do not divide 20 output channels"):
        LowRank(torch.zeros(20, 4, 3), 3, (1,), (1.0,), torch.Generator())


def test_blocks_that_do_not_divide_are_refused():
    with pytest.raises(AdapterError, match=r"multiple of 16 .* has 24"):
        Butterfly(torch.zeros(5, 24), 8, 2)

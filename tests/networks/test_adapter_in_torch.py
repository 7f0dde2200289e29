"""Adapted networks in torch's own machinery: copies, state dicts, autocast, compilation, data parallelism."""

import copy
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import multiprocessing, nn
from weight_adapter_cases import (
    SMALL_SIZES,
    attach_random,
    expression_inputs,
    expression_net,
    scramble,
)

from networks.conformer import Conformer, ConformerSettings, valid_frames
from networks.weight_adapters import (
    AdapterSpec,
    attach,
    expression_spec,
    merge,
    switch,
    train_only,
)

INPUTS = expression_inputs()


def test_a_copy_is_independent():
    net = expression_net()
    attach_random(net, "molora", "ada")
    adapted, other = net(*INPUTS).final, copy.deepcopy(net)
    assert torch.equal(other(*INPUTS).final, adapted)
    scramble(train_only(other, "ada"), 7)
    switch(other, None)
    assert torch.equal(net(*INPUTS).final, adapted)
    assert not torch.equal(other(*INPUTS).final, adapted)


def test_a_state_dict_of_the_base_fits_and_one_with_people_comes_back():
    net, plain = expression_net(), expression_net()
    base = plain.state_dict()
    attach_random(net, "boft", "ada")
    assert net.load_state_dict(base, strict=False).unexpected_keys == []
    adapted, state = net(*INPUTS).final, net.state_dict()
    assert set(base) < set(state)
    other = expression_net()
    attach(other, expression_spec(other, "boft", **SMALL_SIZES["boft"]), "ada")
    other.load_state_dict(state)
    assert torch.equal(other(*INPUTS).final, adapted)
    merge(net, "ada")
    with pytest.raises(RuntimeError, match="original"):  # merged weights must not be taken for the base
        other.load_state_dict(net.state_dict())


@pytest.mark.parametrize("method", ["molora", "dora", "boft", "full"])
def test_half_precision_activations_leave_the_changes_in_full_precision(method):
    net = expression_net()
    attach_random(net, method, "ada")
    exact = net(*INPUTS).final
    weight = net.fusion.weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net.fusion.weight, weight)
        rough = net(*INPUTS).final
        rough.square().mean().backward()
    assert (rough - exact).abs().max() < 0.15 * exact.abs().max()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    assert gradients and all(g.dtype == torch.float32 and torch.isfinite(g).all() for g in gradients)


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conformer = Conformer(ConformerSettings(16, 2, 32, 5, 0.0), 1)

    def forward(self, x: torch.Tensor, num_frames: torch.Tensor) -> torch.Tensor:
        return self.conformer(x, valid_frames(num_frames, x.shape[1]))


def adapted_blocks(method: str) -> Blocks:
    net = Blocks()
    layers = ("conformer.blocks.0.attention.*", "*.convolution.*") if method != "bias" else ("*",)
    sizes = {"ranks": (1,)} if method in ("molora", "dora") else SMALL_SIZES.get(method, {})
    if method == "boft":
        layers, sizes = ("*.attention.*",), {"block_size": 4, "num_factors": 2}
    attach(net, AdapterSpec(method, layers, **sizes), "ada")
    scramble(train_only(net, "ada"))
    return net


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "backend"),
    [("molora", "eager"), ("dora", "eager"), ("boft", "eager"), ("bias", "eager"), ("molora", "inductor")],
)
def test_a_compiled_network_follows_gradients_and_switches(method, backend):
    net = adapted_blocks(method)
    x, lengths = torch.randn(2, 8, 16), torch.tensor([8, 5])
    compiled = torch.compile(net, backend=backend)
    outputs = []
    for function in (net, compiled):
        net.zero_grad()
        outputs.append(function(x, lengths))
        outputs[-1].square().sum().backward()
        outputs.append(torch.cat([p.grad.flatten() for p in train_only(net, "ada")]))
        switch(net, None)
        outputs.append(function(x, lengths))
        switch(net, "ada")
    for plain, traced in zip(outputs[:3], outputs[3:], strict=True):
        torch.testing.assert_close(traced, plain, atol=1e-4, rtol=1e-4)
    assert not torch.equal(outputs[0], outputs[2])


def run_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    net = adapted_blocks("molora")
    x = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(rank))
    nn.parallel.DistributedDataParallel(net)(x, torch.tensor([8, 5])).square().sum().backward()
    gradients = {str(index): p.grad for index, p in enumerate(train_only(net, "ada"))}
    save_file(gradients, f"{folder}/{rank}.safetensors")
    torch.distributed.barrier()
    os._exit(0)  # gloo's teardown behind a reducer can wait for ever on Python's lock


@pytest.mark.slow
def test_data_parallel_ranks_get_the_mean_gradient_of_the_changes(tmp_path):
    multiprocessing.spawn(run_rank, (str(tmp_path),), nprocs=2)
    expected: dict[str, torch.Tensor] = {}
    for rank in range(2):
        net = adapted_blocks("molora")
        x = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(rank))
        net(x, torch.tensor([8, 5])).square().sum().backward()
        for index, parameter in enumerate(train_only(net, "ada")):
            expected[str(index)] = expected.get(str(index), 0) + parameter.grad / 2
    for rank in range(2):
        found = load_file(tmp_path / f"{rank}.safetensors")
        assert found.keys() == expected.keys() and len(found) > 4
        for name, gradient in found.items():
            assert gradient.abs().sum() > 0
            torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-4)

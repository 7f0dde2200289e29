"""Agreement with Hugging Face `peft` where both define the same change."""

import copy

import pytest
import torch
from torch import nn

from networks.weight_adapters import AdapterSpec, attach

peft = pytest.importorskip("peft")


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(16, 24)
        self.pointwise = nn.Conv1d(24, 12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pointwise(self.linear(x).transpose(1, 2))


def pair(config, spec: AdapterSpec) -> tuple[nn.Module, Layers]:
    """The same network adapted by peft and by us, peft's values random."""
    ours = Layers()
    theirs = peft.get_peft_model(copy.deepcopy(ours), config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    attach(ours, spec, "ada")
    return theirs, ours


def change_of(net: Layers, layer: str) -> nn.Module:
    return net.get_submodule(layer).weight_adapters["weight"].people["ada"]


def agree(theirs: nn.Module, ours: nn.Module) -> None:
    x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(2))
    expected = theirs(x)
    assert (expected - Layers()(x)).abs().max() > 1e-2
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)
    merged = theirs.merge_and_unload()
    torch.testing.assert_close(ours.linear.weight, merged.linear.weight, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.pointwise.weight, merged.pointwise.weight, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("alpha", [4, 10])
def test_lora_of_linear_and_pointwise_layers_is_that_of_peft(alpha):
    config = peft.LoraConfig(r=4, lora_alpha=alpha, target_modules=["linear", "pointwise"])
    theirs, ours = pair(config, AdapterSpec("lora", ("linear", "pointwise"), ranks=(4,), alphas=(alpha,)))
    copy_pairs(theirs, ours)
    agree(theirs, ours)


def test_dora_of_linear_layers_is_that_of_peft():
    config = peft.LoraConfig(r=4, lora_alpha=8, use_dora=True, target_modules=["linear"])
    theirs, ours = pair(config, AdapterSpec("dora", ("linear",), ranks=(4,), alphas=(8,)))
    copy_pairs(theirs, ours)
    magnitude = theirs.base_model.model.linear.lora_magnitude_vector["default"].weight
    with torch.no_grad():
        change_of(ours, "linear").magnitude.copy_(magnitude)
    agree(theirs, ours)


def test_two_adapters_of_peft_together_are_a_mixture_of_two_ranks():
    config = peft.LoraConfig(r=2, lora_alpha=2, target_modules=["linear", "pointwise"])
    theirs, ours = pair(config, AdapterSpec("molora", ("linear", "pointwise"), ranks=(2, 5)))
    theirs.add_adapter("large", peft.LoraConfig(r=5, lora_alpha=5, target_modules=["linear", "pointwise"]))
    theirs.base_model.set_adapter(["default", "large"])
    with torch.no_grad():
        for layer in ("linear", "pointwise"):
            nn.init.normal_(theirs.base_model.model.get_submodule(layer).lora_B["large"].weight)
    copy_pairs(theirs, ours, ("default", "large"))
    agree(theirs, ours)


def copy_pairs(theirs: nn.Module, ours: nn.Module, adapters: tuple[str, ...] = ("default",)) -> None:
    with torch.no_grad():
        for name, layer in theirs.base_model.model.named_children():
            for index, adapter in enumerate(adapters if hasattr(layer, "lora_A") else ()):
                change = change_of(ours, name)
                change.down[index].copy_(layer.lora_A[adapter].weight.flatten(1))
                change.up[index].copy_(layer.lora_B[adapter].weight.flatten(1))


@pytest.mark.filterwarnings("ignore")
def test_oft_of_linear_layers_is_that_of_peft():
    config = peft.OFTConfig(r=0, oft_block_size=4, use_cayley_neumann=False, target_modules=["linear"])
    theirs, ours = pair(config, AdapterSpec("oft", ("linear",), block_size=4))
    skew = theirs.base_model.model.linear.oft_R["default"].weight
    set_skew_and_agree(theirs, ours, skew.detach())


@pytest.mark.filterwarnings("ignore")
def test_boft_of_one_factor_is_that_of_peft_without_its_scale():
    """On a machine without a compiler for its kernel peft falls back to one factor whatever is asked."""
    config = peft.BOFTConfig(boft_block_size=4, boft_n_butterfly_factor=1, target_modules=["linear"])
    theirs, ours = pair(config, AdapterSpec("boft", ("linear",), block_size=4, num_factors=1))
    layer = theirs.base_model.model.linear
    nn.init.ones_(layer.boft_s["default"])
    full = layer.boft_R["default"].detach()[0]
    row, column = torch.triu_indices(4, 4, offset=1)
    set_skew_and_agree(theirs, ours, 0.5 * (full - full.transpose(-1, -2))[:, row, column])


def set_skew_and_agree(theirs: nn.Module, ours: Layers, skew: torch.Tensor) -> None:
    """peft's Cayley map has the opposite sign of Q."""
    with torch.no_grad():
        change_of(ours, "linear").skew.copy_(-skew[None])
    agree(theirs, ours)

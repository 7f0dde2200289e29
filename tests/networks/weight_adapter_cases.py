"""Small networks, inputs and random changes shared by the tests of weight adapters."""

import torch
from torch import nn

from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import LogMelFrontEnd
from networks.weight_adapters import attach, expression_spec, train_only

SMALL_SIZES = {
    "molora": {"ranks": (1, 2, 4)},
    "lora": {"ranks": (3,)},
    "dora": {"ranks": (2,)},
    "oft": {"block_size": 4},
}
SMALL_SIZES["boft"] = {"block_size": 4, "num_factors": 3}
NUM_CHANNELS = 55


def expression_net(released: bool = False) -> ExpressionAdapter:
    """A tiny expression adapter whose buffers are not at their first values."""
    torch.manual_seed(0)
    net = ExpressionAdapter(LogMelFrontEnd(16), "arkit", 16, 16, 2, 2, 32, 5, released=released)
    net.set_statistics(torch.rand(NUM_CHANNELS), torch.rand(NUM_CHANNELS) + 0.1)
    nn.init.normal_(net.post_net.output.weight, std=0.1)
    return net.eval()


def expression_inputs(rows: int = 3) -> tuple:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([16, 9, 12, 5, 16, 3])[:rows]
    reference_lengths = torch.tensor([20, 5, 12, 20, 0, 9])[:rows]
    audio = 0.1 * torch.randn(rows, 640 * 16, generator=generator)
    reference = torch.randn(rows, 20, NUM_CHANNELS, generator=generator)
    return audio, lengths, reference, reference_lengths, torch.randn(rows, 16, generator=generator)


def attach_random(net: ExpressionAdapter, method: str, person: str, seed: int = 0) -> None:
    """A person whose changes are random, as after training."""
    attach(net, expression_spec(net, method, **SMALL_SIZES.get(method, {})), person, seed)
    scramble(train_only(net, person), seed)


def scramble(parameters: list[nn.Parameter], seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def bits(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items() if "weight_adapters" not in name}


def same_bits(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)

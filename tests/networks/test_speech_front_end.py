"""Speech front ends: one interface, no leak from behind a clip's end, cached features equal to fresh ones."""

import copy

import pytest
import torch
from torch import nn

from networks.convolution_linear import convolution_relu_linear
from networks.speech_front_end import (
    LogMelFrontEnd,
    PretrainedFrontEnd,
    ReleasedFrontEnd,
    build_front_end,
    require_width,
)
from networks.weight_adapters import AdapterSpec, attach, several_people, switch, train_only

LENGTHS = torch.tensor([12, 5, 1])


class FakeEncoder(nn.Module):
    """Mean absolute level of each 20 ms in eight copies: the interface of `PretrainedEncoder` without its weights."""

    width = 16

    def forward(self, audio: torch.Tensor, num_frames: torch.Tensor) -> torch.Tensor:
        frames = audio.unfold(1, 640, 640).unflatten(-1, (2, 320)).abs().mean(-1)
        valid = torch.arange(frames.shape[1]) < num_frames[:, None]
        return frames.repeat_interleave(8, dim=-1) * valid[..., None]


def front_ends() -> list:
    torch.manual_seed(0)
    return [LogMelFrontEnd(16), PretrainedFrontEnd(FakeEncoder(), 16), ReleasedFrontEnd(FakeEncoder(), 16)]


@pytest.mark.parametrize("index", range(3))
def test_sound_behind_the_end_changes_no_valid_frame(index):
    net = front_ends()[index].eval()
    audio = torch.randn(3, 640 * 15)
    together = net(audio, LENGTHS)
    assert together.shape == (3, 15, 16)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = net(audio[row : row + 1, : 640 * length], LENGTHS[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("index", range(3))
def test_cached_features_give_what_audio_gives(index):
    net = front_ends()[index].eval()
    audio = torch.randn(3, 640 * 12)
    cached = net.extract(audio, LENGTHS)
    assert cached.shape == (3, 12, net.feature_width)
    torch.testing.assert_close(net(cached, LENGTHS), net(audio, LENGTHS))


@pytest.mark.parametrize("index", range(3))
def test_gradients_reach_every_parameter(index):
    net = front_ends()[index]
    net(torch.randn(3, 640 * 12), LENGTHS).square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_released_front_end_has_the_released_sizes():
    net = ReleasedFrontEnd(None, width=256, feature_width=2048)
    assert net.output.weight.numel() == 131_072 * 256
    assert sum(p.numel() for p in net.parameters()) == 131_072 * 256 + 256 + 256 * 9 + 256


def test_released_front_end_reads_the_weights_it_always_had():
    assert list(ReleasedFrontEnd(None, 8, 16).state_dict()) == [
        "convolution.weight",
        "convolution.bias",
        "output.weight",
        "output.bias",
    ]


def released(channels: int = 8, frames: int = 6, batch: int = 2) -> tuple[ReleasedFrontEnd, torch.Tensor]:
    torch.manual_seed(0)
    net = ReleasedFrontEnd(None, width=8, feature_width=2 * channels)
    return net, torch.randn(batch, frames, 2 * channels)


def layer_by_layer(net: ReleasedFrontEnd, features: torch.Tensor) -> torch.Tensor:
    plane = features.view(len(features), 1, 2 * features.shape[1], -1)
    maps = torch.relu(net.convolution(plane))
    return net.output(maps.transpose(1, 2).flatten(2)) * net.width**0.5


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("channels", "batch"), [(8, 2), (7, 2), (8, 1)])
def test_released_front_end_is_a_strided_convolution_over_the_plane_of_features(channels, batch, training):
    net, features = released(channels, batch=batch)
    net.double().train(training)
    frames = torch.tensor([6, 4])[:batch]
    mask = torch.arange(6) < frames[:, None]
    features = features.double().requires_grad_()
    inputs = [features, *net.parameters()]

    torch.manual_seed(1)
    expected = net.dropout(layer_by_layer(net, features * mask[..., None]))[mask]
    torch.manual_seed(1)
    found = net(features, frames)[mask]
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(x.square().sum(), inputs) for x in (found, expected)]
    torch.testing.assert_close(*gradients)
    assert all(gradient.abs().max() > 0 for gradient in gradients[0])


def count_blockwise(monkeypatch: pytest.MonkeyPatch) -> list:
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return convolution_relu_linear(*arguments)

    monkeypatch.setattr("networks.speech_front_end.convolution_relu_linear", counted)
    return calls


def test_released_front_end_runs_blockwise_on_a_cpu_in_full_precision_only(monkeypatch):
    calls = count_blockwise(monkeypatch)
    net, features = released()
    net.eval()
    frames = torch.tensor([6, 6])
    with torch.no_grad():
        expected = net(features, frames)
        assert len(calls) == 1
        with torch.autocast("cpu", torch.bfloat16):
            rounded = net(features, frames)
        assert rounded.dtype == torch.bfloat16
        torch.testing.assert_close(rounded.float(), expected, atol=0.1, rtol=0.05)
        half = copy.deepcopy(net).bfloat16()(features.bfloat16(), frames)
        torch.testing.assert_close(half.float(), expected, atol=0.1, rtol=0.05)
        compiled = torch.compile(net, backend="eager", fullgraph=True)(features, frames)
        torch.testing.assert_close(compiled, expected)
    assert len(calls) == 1


@pytest.mark.parametrize("layer", ["convolution", "output"])
def test_released_front_end_computes_the_rows_of_several_people_by_their_own_weights(layer, monkeypatch):
    calls = count_blockwise(monkeypatch)
    net, features = released()
    net.eval()
    frames = torch.tensor([6, 6])
    base = net(features, frames)
    assert len(calls) == 1
    attach(net, AdapterSpec("full", (layer,)), "ada")
    with torch.no_grad():
        for parameter in train_only(net, "ada"):
            parameter.add_(0.1)
    as_ada = net(features, frames)
    assert (as_ada - base).abs().max() > 0.01
    with several_people(net, ["ada", None]):
        together = net(features, frames)
    torch.testing.assert_close(together, torch.stack([as_ada[0], base[1]]))
    switch(net, None)
    torch.testing.assert_close(net(features, frames), base)
    assert len(calls) == 1


def test_wrong_input_is_refused():
    net = PretrainedFrontEnd(None, width=8, feature_width=6)
    assert net(torch.zeros(1, 4, 6), torch.tensor([4])).shape == (1, 4, 8)
    with pytest.raises(ValueError, match="no encoder"):
        net(torch.zeros(1, 6400), torch.tensor([10]))
    with pytest.raises(ValueError, match="expected"):
        net(torch.zeros(1, 4, 7), torch.tensor([4]))
    with pytest.raises(ValueError, match="feature_width"):
        PretrainedFrontEnd(None)
    with pytest.raises(ValueError, match="unknown speech encoder"):
        build_front_end("mfcc")
    assert isinstance(build_front_end("logmel", 32), LogMelFrontEnd)
    assert build_front_end("hubert", 32, cached_feature_width=2048).encoder is None


def test_no_front_end_and_one_of_another_width_are_refused() -> None:
    require_width(LogMelFrontEnd(8), 8)
    with pytest.raises(ValueError, match="gives width 8; the network has 16"):
        require_width(LogMelFrontEnd(8), 16)
    with pytest.raises(ValueError, match="speech=none"):
        require_width(None, 8)

"""Speech front ends: one interface, no leak from behind a clip's end, cached features equal to fresh ones."""

import pytest
import torch
from torch import nn

from networks.speech_front_end import LogMelFrontEnd, PretrainedFrontEnd, ReleasedFrontEnd, build_front_end

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


@pytest.mark.parametrize("channels", [8, 7])
def test_released_front_end_is_a_strided_convolution_over_the_plane_of_features(channels):
    torch.manual_seed(0)
    net = ReleasedFrontEnd(None, width=8, feature_width=2 * channels).double().eval()
    features = torch.randn(2, 6, 2 * channels, dtype=torch.double)
    plane = features.view(2, 1, 12, channels)
    maps = torch.relu(net.convolution(plane))
    expected = net.output(maps.transpose(1, 2).flatten(2)) * 8**0.5
    torch.testing.assert_close(net(features, torch.tensor([6, 6])), expected)


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

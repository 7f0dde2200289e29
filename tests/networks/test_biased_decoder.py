"""FaceFormer's decoder: biases by hand, attention to speech against torch's own, the cache against the whole."""

import math

import pytest
import torch
from torch import nn

from networks.biased_decoder import (
    BiasedDecoder,
    DecoderCache,
    causal_bias,
    head_slopes,
    periodic_positions,
)


def decoder(layers: int = 2, period: int = 3) -> BiasedDecoder:
    torch.manual_seed(0)
    return BiasedDecoder(width=8, layers=layers, num_heads=2, feed_forward=16, dropout=0.1, period=period).eval()


def test_the_causal_bias_falls_by_a_slope_for_each_whole_period_and_hides_the_future() -> None:
    frames, heads, period = 7, 4, 3
    bias = causal_bias(frames, heads, period)
    for head in range(heads):
        slope = 2 ** (-8 * (head + 1) / heads)
        for i in range(frames):
            for j in range(frames):
                wanted = -math.inf if j > i else -slope * ((i - j) // period)
                assert bias[head, i, j].item() == pytest.approx(wanted)
    assert head_slopes(4).tolist() == [0.25, 0.0625, 0.015625, 0.00390625]


def test_positions_repeat_with_the_period_and_follow_the_sinusoids() -> None:
    width, period = 6, 4
    table = periodic_positions(10, width, period)
    for frame in range(10):
        angles = [(frame % period) / 10_000 ** (2 * i / width) for i in range(width // 2)]
        wanted = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        assert table[frame].tolist() == pytest.approx(wanted, abs=1e-6)
    assert torch.equal(table[:4], table[4:8])


def test_attention_to_speech_is_what_torch_gives_with_the_alignment_bias() -> None:
    layer = decoder(1).layers[0]
    reference = nn.MultiheadAttention(8, num_heads=2, batch_first=True).eval()
    with torch.no_grad():
        reference.in_proj_weight[16:] = layer.speech_value.weight
        reference.in_proj_bias[16:] = layer.speech_value.bias
        reference.out_proj.weight.copy_(layer.speech_output.weight)
        reference.out_proj.bias.copy_(layer.speech_output.bias)
    motion, speech = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    alignment_bias = torch.full((5, 5), -math.inf).fill_diagonal_(0.0)
    wanted, _ = reference(motion, speech, speech, attn_mask=alignment_bias)
    torch.testing.assert_close(layer.hear(speech), wanted)


def test_self_attention_is_what_torch_gives_with_the_causal_bias() -> None:
    layer = decoder(1).layers[0]
    reference = nn.MultiheadAttention(8, num_heads=2, batch_first=True).eval()
    with torch.no_grad():
        reference.in_proj_weight.copy_(layer.query_key_value.weight)
        reference.in_proj_bias.copy_(layer.query_key_value.bias)
        reference.out_proj.weight.copy_(layer.attention_output.weight)
        reference.out_proj.bias.copy_(layer.attention_output.bias)
    x, heard, bias = torch.randn(1, 6, 8), torch.randn(1, 6, 8), causal_bias(6, 2, 2)
    attended, _ = reference(x, x, x, attn_mask=bias)
    hidden = layer.speech_norm(layer.attention_norm(x + attended) + heard)
    wanted = layer.norm(hidden + layer.feed_forward(hidden))
    torch.testing.assert_close(layer(x, heard, bias), wanted)


def test_one_frame_after_the_other_gives_what_all_at_once_give() -> None:
    net, motion, speech = decoder(), torch.randn(2, 11, 8), torch.randn(2, 11, 8)
    heard, cache = net.hear(speech), DecoderCache(2)
    steps = torch.stack([net.step(motion[:, t], heard, t, cache) for t in range(11)], dim=1)
    torch.testing.assert_close(steps, net(motion, speech), atol=1e-5, rtol=1e-5)


def test_a_frame_depends_on_no_later_motion_or_speech_and_on_earlier_ones() -> None:
    net = decoder()
    motion, speech = (torch.randn(1, 9, 8, requires_grad=True) for _ in range(2))
    gradients = torch.autograd.grad(
        net(motion, speech)[0, 4].sum() * 3 + net(motion, speech)[0, 4, 0], [motion, speech]
    )
    for gradient in gradients:
        assert gradient[0, :5].abs().amax(-1).min() > 0 and gradient[0, 5:].abs().max() == 0


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="8 does not split into 3 heads"):
        BiasedDecoder(8, 1, 3, 16, 0.0)
    with pytest.raises(ValueError, match="0 decoder layers"):
        BiasedDecoder(8, 0, 2, 16, 0.0)

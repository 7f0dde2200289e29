"""Expression adapter: padding, constant dimensions, null style and guidance, statistics, released sizes."""

import pytest
import torch

import networks.expression_adapter as expression_adapter
from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import LogMelFrontEnd

LENGTHS = torch.tensor([20, 9, 3])
REFERENCE_LENGTHS = torch.tensor([5, 25, 0])


def adapter(space: str = "arkit", **options) -> ExpressionAdapter:
    torch.manual_seed(0)
    sizes = {"num_identity": 4, "width": 16, "blocks": 2, "num_heads": 2, "feed_forward": 32, "kernel_size": 5}
    net = ExpressionAdapter(LogMelFrontEnd(16), space, **(sizes | options))
    channels = net.num_expression + 3
    std = torch.rand(channels) * 0.2 + 0.05
    std[-3:] = 0.0
    net.set_statistics(torch.rand(channels) * 0.5, std)
    return net


def inputs(net: ExpressionAdapter) -> tuple:
    torch.manual_seed(1)
    reference = torch.randn(3, 30, net.mean.numel()) * net.std.gt(0)
    return 0.1 * torch.randn(3, 640 * 24), LENGTHS, reference, REFERENCE_LENGTHS, torch.randn(3, 4)


@pytest.mark.parametrize("released", [False, True])
def test_padding_and_company_change_no_valid_frame(released):
    net = adapter(released=released).eval()
    audio, lengths, reference, reference_lengths, identity = inputs(net)
    together = net(audio, lengths, reference, reference_lengths, identity)
    for row, (length, reference_length) in enumerate(zip(LENGTHS, REFERENCE_LENGTHS, strict=True)):
        one = slice(row, row + 1)
        alone = net(
            audio[one, : 640 * length],
            lengths[one],
            reference[one, :reference_length],
            reference_lengths[one],
            identity[one],
        )
        for part, whole in zip(alone, together, strict=True):
            torch.testing.assert_close(whole[row, :length], part[0], atol=1e-5, rtol=0)
            assert (whole[row, length:] == 0).all()


def test_padding_gets_no_gradient():
    net = adapter()
    audio, *rest = inputs(net)
    audio.requires_grad_(True)
    output = net(audio, *rest)
    (output.mid.square().sum() + output.final.square().sum()).backward()
    for row, length in enumerate(LENGTHS.tolist()):
        assert audio.grad[row, : 640 * length].abs().sum() > 0
        assert (audio.grad[row, 640 * length :] == 0).all()


def test_constant_dimensions_come_out_as_their_mean_and_get_no_gradient():
    net = adapter()
    output = net(*inputs(net))
    assert (output.final[..., -3:] == 0).all()
    output.final.abs().sum().backward()
    assert (net.head.weight.grad[:-3].abs().sum(1) > 0).all()
    _, jaw = net.denormalise(output.final)
    torch.testing.assert_close(jaw, net.mean[-3:].expand_as(jaw))
    noisy = net.normalise(torch.rand(2, 5, 52), torch.rand(2, 5, 3))
    assert (noisy[..., -3:] == 0).all() and torch.isfinite(noisy).all()


def test_normalising_and_denormalising_is_a_round_trip_where_dimensions_vary():
    net = adapter()
    expression = torch.rand(2, 5, 52)
    back, _ = net.denormalise(net.normalise(expression, torch.zeros(2, 5, 3)))
    torch.testing.assert_close(back, expression)


def test_generate_is_deterministic_in_range_and_leaves_the_training_mode():
    net = adapter()
    audio, lengths, reference, reference_lengths, identity = inputs(net)
    first = net.generate(audio, lengths, reference, reference_lengths, identity)
    second = net.generate(audio, lengths, reference, reference_lengths, identity)
    assert torch.equal(first[0], second[0]) and net.training and net.style_encoder.training
    assert first[0].shape == (3, 24, 52) and first[1].shape == (3, 24, 3)
    assert first[0].min() >= 0 and first[0].max() <= 1


def test_guidance_moves_from_the_null_style_through_the_style_and_beyond():
    net = adapter("flame", num_identity=0).eval()
    audio, lengths, reference, reference_lengths, _ = inputs(adapter("flame"))
    arguments = (audio, lengths, reference, reference_lengths)
    plain = net.generate(audio, lengths)[0]
    styled = net.generate(*arguments)[0]
    valid = (torch.arange(24) < lengths[:, None])[..., None]
    torch.testing.assert_close(net.generate(*arguments, guidance=0.0)[0], plain, atol=1e-5, rtol=0)
    beyond = net.generate(*arguments, guidance=2.0)[0]
    torch.testing.assert_close((beyond - styled) * valid, (styled - plain) * valid, atol=1e-5, rtol=0)
    assert (styled - plain)[:2].abs().max() > 1e-4
    torch.testing.assert_close(styled[2], plain[2])


def test_long_speech_in_pieces_is_exactly_the_whole(monkeypatch):
    monkeypatch.setattr(expression_adapter, "ATTENTION_SPAN", 4)
    net = adapter().eval()
    audio, lengths = 0.1 * torch.randn(2, 640 * 150), torch.tensor([150, 67])
    reference = torch.rand(2, 30, 55)
    whole = net.generate(audio, lengths, reference)[0]
    monkeypatch.setattr(expression_adapter, "GENERATION_CHUNK", 40)
    torch.testing.assert_close(net.generate(audio, lengths, reference)[0], whole, atol=1e-5, rtol=0)


def test_state_is_plain_tensors_and_carries_the_statistics(tmp_path):
    net = adapter()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other = ExpressionAdapter(LogMelFrontEnd(16), num_identity=4, width=16, num_heads=2, feed_forward=32, kernel_size=5)
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    arguments = inputs(net)
    assert torch.equal(net.eval()(*arguments).final, other.eval()(*arguments).final)
    assert torch.equal(net.std, other.std)


def test_wrong_statistics_and_sizes_are_refused():
    net = adapter()
    with pytest.raises(ValueError, match="expected"):
        net.set_statistics(torch.zeros(10), torch.ones(10))
    with pytest.raises(ValueError, match="finite"):
        net.set_statistics(torch.zeros(55), torch.full((55,), float("nan")))
    with pytest.raises(ValueError, match="unknown expression space"):
        ExpressionAdapter(LogMelFrontEnd(16), "bfm", width=16)
    with pytest.raises(ValueError, match="width 16"):
        ExpressionAdapter(LogMelFrontEnd(16), width=32)

"""The phonetic front end: frozen or trained, and long speech in pieces."""

import pytest
import torch

from networks.expression_adapter import ExpressionAdapter
from networks.phonetic_encoder import PhoneticEncoder
from networks.phonetic_front_end import PhoneticFrontEnd, build_phonetic_front_end
from networks.speech_front_end import LogMelFrontEnd

LENGTHS = torch.tensor([12, 5, 1])


def make(trainable: bool = False) -> PhoneticFrontEnd:
    torch.manual_seed(0)
    encoder = PhoneticEncoder(width=16, blocks=1, num_heads=2, feed_forward=32, kernel_size=5, attention_span=4)
    return PhoneticFrontEnd(encoder, 16, trainable)


@pytest.mark.parametrize("trainable", [False, True])
def test_sound_behind_the_end_changes_no_valid_frame(trainable: bool) -> None:
    net = make(trainable).eval()
    audio = 0.1 * torch.randn(3, 640 * 15)
    together = net(audio, LENGTHS)
    assert together.shape == (3, 15, 16)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = net(audio[row : row + 1, : 640 * length], LENGTHS[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=0)


def test_frozen_only_the_projection_learns_and_the_encoder_draws_no_dropout() -> None:
    net = make().train()
    audio = 0.1 * torch.randn(3, 640 * 12)
    net(audio, LENGTHS).square().mean().backward()
    learning = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert learning == {"norm.weight", "norm.bias", "output.weight", "output.bias"}
    assert not any(module.training for module in net.encoder.conformer.modules())
    assert net.encoder.augmentation.training and not net.eval().encoder.augmentation.training


def test_trainable_everything_that_takes_part_learns() -> None:
    net = make(trainable=True).train()
    net(0.1 * torch.randn(3, 640 * 12), LENGTHS).square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert net.encoder.conformer.training


def test_long_speech_in_pieces_is_what_it_is_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"width": 16, "blocks": 1, "num_heads": 2, "feed_forward": 32, "kernel_size": 5}
    net = ExpressionAdapter(make(), **options)
    assert net.context is not None
    assert net.context > ExpressionAdapter(LogMelFrontEnd(16), **options).context  # type: ignore[operator]
    audio, frames = 0.1 * torch.randn(1, 640 * 400), torch.tensor([400])
    whole = net.generate(audio, frames)[0]
    monkeypatch.setattr("networks.expression_adapter.GENERATION_CHUNK", 120)
    torch.testing.assert_close(net.generate(audio, frames)[0], whole, atol=1e-5, rtol=0)


def test_without_an_encoder_it_says_how_to_get_one() -> None:
    with pytest.raises(ValueError, match="load_phonetic_encoder"):
        build_phonetic_front_end(run="runs/x")

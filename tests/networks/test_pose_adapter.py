"""The pose adapter as one network: frozen codes, styles by name, what is hidden in training."""

from types import SimpleNamespace

import pytest
import torch

from networks.pose_adapter import PoseAdapter
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from networks.speech_front_end import LogMelFrontEnd, PretrainedFrontEnd

NAMES = ["ada", "bob", "cleo"]
FRAMES = torch.tensor([24, 15])


def make_net(kind: str = "vq", stride: int = 1, names: list[str] = NAMES, **options) -> PoseAdapter:
    torch.manual_seed(0)
    quantizer = build_quantizer(kind, width=8, num_codes=16)
    vqvae = PoseVQVAE(quantizer, width=16, num_heads=2, feed_forward=32, attention_span=6, stride=stride, dropout=0.5)
    sizes = {"width": 16, "layers": 2, "num_heads": 2, "feed_forward": 32, "style_width": 8, "context": 8}
    return PoseAdapter(vqvae, names, **(sizes | {"dropout": 0.0} | options))


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Head, audio and style of two clips."""
    generator = torch.Generator().manual_seed(seed)
    head = 0.05 * torch.randn(2, 24, 3, generator=generator).cumsum(1)
    return head, 0.1 * torch.randn(2, 640 * 24, generator=generator), torch.tensor([0, 3])


def test_training_neither_moves_the_vqvae_nor_gives_it_a_gradient() -> None:
    net = make_net().train()
    head, audio, style = inputs()
    before = net.vqvae.fingerprint()
    codes, mask = net.tokenize(head, FRAMES)
    net(codes, audio, FRAMES, style)[mask].sum().backward()
    assert not net.vqvae.training and net.gpt.training
    assert torch.equal(net.tokenize(head, FRAMES).codes, codes), "dropout of the VQ-VAE must be off"
    assert net.vqvae.fingerprint() == before
    assert all(parameter.grad is None for parameter in net.vqvae.parameters())
    assert all(parameter.grad is not None for parameter in net.gpt.parameters())


def test_hearing_first_and_at_once_are_the_same_in_evaluation() -> None:
    net = make_net().eval()
    head, audio, style = inputs()
    codes = net.tokenize(head, FRAMES).codes
    speech = net.gpt.hear(audio, FRAMES)
    assert torch.equal(net(codes, audio, FRAMES, style), net.predict_codes(codes, speech, style))


def test_all_that_training_hides_gives_what_evaluation_gives_without_it() -> None:
    net = make_net(style_hidden=1.0, speech_hidden=1.0, codes_replaced=0.0).train()
    head, audio, style = inputs()
    codes = net.tokenize(head, FRAMES).codes
    hidden = net(codes, audio, FRAMES, style)
    net.eval()
    unknown = torch.full_like(style, net.unknown_style)
    expected = net.predict_codes(codes, torch.zeros(2, 24, 16), unknown)
    torch.testing.assert_close(hidden, expected)
    assert not torch.allclose(expected, net(codes, audio, FRAMES, style))


def test_replaced_codes_change_the_past_that_is_seen_and_not_the_first_step() -> None:
    net = make_net(style_hidden=0.0, speech_hidden=0.0, codes_replaced=1.0).train()
    codes = net.tokenize(inputs()[0], FRAMES).codes
    speech, style = torch.zeros(2, 24, 16), torch.tensor([0, 1])
    torch.manual_seed(1)
    trained = net.predict_codes(codes, speech, style)
    truth = net.eval().predict_codes(codes, speech, style)
    torch.testing.assert_close(trained[:, 0], truth[:, 0])
    assert not torch.allclose(trained[:, 1:], truth[:, 1:])


def test_styles_are_found_by_name_and_strangers_are_unknown() -> None:
    batch = SimpleNamespace(num_frames=FRAMES, speakers=["bob", "zoe"], metas=[{"source": "01"}, {"source": "01"}])
    assert make_net().style_indices(batch).tolist() == [1, 3]


def test_videos_of_two_people_with_the_same_name_are_two_styles() -> None:
    net = make_net(style_by="source", names=["ada/01", "ada/02", "bob/01"])
    batch = SimpleNamespace(
        num_frames=FRAMES, speakers=["bob", "ada", "bob"], metas=[{"source": n} for n in ("01", "01", "02")]
    )
    assert net.style_indices(batch).tolist() == [2, 0, net.unknown_style]


@pytest.mark.parametrize("stride", [1, 4])
def test_codes_are_those_of_the_vqvae_one_a_step(stride: int) -> None:
    net = make_net(stride=stride)
    head = inputs()[0]
    codes, mask = net.tokenize(head, FRAMES)
    assert torch.equal(codes, net.vqvae.tokenize(head, FRAMES)[..., 0])
    assert mask.sum(1).tolist() == [24 // stride, -(-15 // stride)]
    assert net.gpt.settings.frames_per_code == stride and net.gpt.settings.num_codes == 16


def test_what_cannot_be_predicted_or_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="4 codes a step"):
        make_net("residual")
    with pytest.raises(ValueError, match="shares of samples"):
        make_net(speech_hidden=1.5)


def test_cached_features_are_read_where_the_front_end_takes_them() -> None:
    cached = SimpleNamespace(features=torch.randn(2, 48, 3), mask=torch.ones(2, 24, dtype=torch.bool))
    net = make_net(front_end=PretrainedFrontEnd(None, width=5, feature_width=6))
    assert net.features_of(cached).shape == (2, 24, 6)
    assert net.features_of(SimpleNamespace(features=None)) is None
    assert make_net().features_of(cached) is None
    assert make_net(front_end=LogMelFrontEnd(width=5)).features_of(cached) is None


def test_styles_begin_where_peoples_heads_are_and_nobodys_at_their_mean() -> None:
    net = make_net()
    heads = torch.Generator().manual_seed(0)
    clips = [(name, 0.1 * n + 0.02 * torch.randn(80, 3, generator=heads)) for n, name in enumerate(NAMES * 2)]
    net.begin_styles(clips)
    styles = net.gpt.styles.weight.detach()
    assert styles.shape == (4, 8) and styles.requires_grad is False and net.gpt.styles.weight.requires_grad
    torch.testing.assert_close(styles[:3].mean(0), styles[3], atol=1e-4, rtol=0)
    assert styles[3].abs().max() == 0 and styles[0].abs().max() > 0.1
    with pytest.raises(ValueError, match="expected one of statistics, random"):
        make_net(style_start="zeros")

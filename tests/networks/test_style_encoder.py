"""Style encoder: only valid frames count, half of them are hidden in training, the null style is reachable."""

import pytest
import torch

from networks.conformer import ConformerSettings
from networks.style_encoder import StyleEncoder, draw_hidden_frames

LENGTHS = torch.tensor([40, 13, 1])


def style_encoder(**options) -> StyleEncoder:
    torch.manual_seed(0)
    settings = ConformerSettings(width=16, num_heads=2, feed_forward=32, kernel_size=7)
    return StyleEncoder(6, settings, num_blocks=1, **options)


def test_only_valid_frames_count():
    net = style_encoder().eval()
    reference = torch.randn(3, 50, 6)
    together = net(reference, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = net(reference[row : row + 1, :length], LENGTHS[row : row + 1])
        for padded, unpadded in zip(together, alone, strict=True):
            torch.testing.assert_close(padded[row], unpadded[0], atol=1e-5, rtol=0)
    changed = reference.clone()
    changed[1, 12] += 1
    assert (net(changed, LENGTHS).embedding[1] - together.embedding[1]).abs().max() > 1e-4


def test_a_reference_of_no_frames_gives_the_null_style():
    net = style_encoder().eval()
    style = net(torch.full((2, 10, 6), float("nan")), torch.tensor([0, 0]))
    assert all(torch.equal(part, null) for part, null in zip(style, net.null_style(2), strict=True))


@pytest.mark.parametrize("probability, share", [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_training_drops_the_style_with_its_probability_and_evaluation_never(probability, share):
    net = style_encoder(null_probability=probability)
    reference, lengths = torch.randn(300, 12, 6), torch.full((300,), 12)
    is_null = (net(reference, lengths).embedding == net.null_embedding).all(-1)
    assert is_null.float().mean().item() == pytest.approx(share, abs=0.12)
    assert not (net.eval()(reference, lengths).embedding == net.null_embedding).all(-1).any()


def test_half_of_the_valid_frames_are_hidden_in_spans():
    torch.manual_seed(0)
    lengths = torch.tensor([250, 100, 60, 20])
    hidden = torch.stack([draw_hidden_frames(lengths, 250) for _ in range(50)])
    assert not hidden[:, 1, 100:].any() and not hidden[:, 3, 20:].any()
    share = hidden.sum(-1) / lengths
    assert (share >= 0.5).all() and share[:, 0].max() < 0.5 + 25 / 250 and share.mean() < 0.7
    edges = (hidden[:, 0, 1:] != hidden[:, 0, :-1]).sum(-1)
    assert edges.max() <= 2 * 13, "hidden frames must form spans of ten frames or more"


def test_hidden_frames_do_not_reach_the_style():
    net = style_encoder(null_probability=0.0)
    reference = torch.randn(1, 40, 6)
    lengths = torch.tensor([40])
    net.conformer.eval()
    torch.manual_seed(1)
    hidden = draw_hidden_frames(lengths, 40)
    changed = reference + 5 * hidden[..., None]
    torch.manual_seed(1)
    first = net(reference, lengths)
    torch.manual_seed(1)
    for part, same in zip(net(changed, lengths), first, strict=True):
        torch.testing.assert_close(part, same)


def test_the_same_seed_gives_the_same_draws():
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(draw_hidden_frames(torch.tensor([200]), 200))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_resting_face_and_spread_are_the_mean_and_deviation_of_the_valid_frames():
    net = style_encoder().eval()
    reference = torch.randn(3, 50, 6)
    style = net(reference, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        valid = reference[row, :length]
        torch.testing.assert_close(style.resting[row], valid.mean(0), atol=1e-5, rtol=0)
        torch.testing.assert_close(style.spread[row], valid.std(0, correction=0), atol=2e-4, rtol=0)


def test_a_hidden_share_of_zero_hides_nothing_and_one_of_one_is_refused():
    assert not draw_hidden_frames(torch.tensor([200, 7, 0]), 200, 0.0).any()
    with pytest.raises(ValueError, match="hidden_share"):
        style_encoder(hidden_share=1.0)

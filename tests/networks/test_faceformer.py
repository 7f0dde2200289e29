"""FaceFormer: autoregression by hand, causality, what flows through the frames fed back."""

import pytest
import torch
from expression_baseline_cases import SIZES, give_statistics, make_baseline
from made_up_batches import SPEAKERS, make_batch

from networks.conformer import valid_frames
from networks.faceformer import FaceFormer
from networks.speech_front_end import LogMelFrontEnd


def style_of(net: FaceFormer, batch, speakers: list[str] | None = None):
    reference = net.normalise(batch.reference_expression, batch.reference_jaw)
    return net.style_of(reference, batch.reference_num_frames, speakers)


def test_generation_is_the_decoder_run_again_over_the_whole_past_for_every_frame() -> None:
    net, batch = make_baseline("faceformer"), make_batch([9, 6])
    style = style_of(net, batch, ["bob", "eve"])
    content = net.content(batch.audio, batch.num_frames)
    motion = torch.zeros(2, 0, 55)
    for frame in range(9):
        past = torch.cat([torch.zeros(2, 1, 55), motion], dim=1)
        hidden = net.decoder(net.motion_input(past) + style.embedding.unsqueeze(1), content[:, : frame + 1])
        motion = torch.cat([motion, net.output(hidden[:, -1:]) * (net.std > 0)], dim=1)
    wanted = (style.resting.unsqueeze(1) + motion) * valid_frames(batch.num_frames, 9).unsqueeze(-1) * (net.std > 0)
    torch.testing.assert_close(net(batch.audio, batch.num_frames, style), wanted, atol=1e-4, rtol=1e-4)


def test_the_decoder_hears_no_speech_of_later_frames() -> None:
    net, batch = make_baseline("faceformer"), make_batch([10])
    style, content = style_of(net, batch), torch.randn(1, 10, 16)
    changed = content.clone()
    changed[:, 6:] += 1.0
    one, other = (net.decode(c, batch.num_frames, style) for c in (content, changed))
    assert torch.equal(one[:, :6], other[:, :6]) and not torch.allclose(one[:, 6], other[:, 6])


def test_training_starts_from_the_resting_face() -> None:
    torch.manual_seed(0)
    net = FaceFormer(LogMelFrontEnd(16), SPEAKERS, **SIZES)
    give_statistics(net)
    batch = make_batch([5])
    style = style_of(net, batch, ["ada"])
    torch.testing.assert_close(
        net(batch.audio, batch.num_frames, style)[0], style.resting.expand(5, -1) * (net.std > 0)
    )


def test_gradients_reach_earlier_frames_through_what_is_fed_back_and_the_speaker_of_the_clip_alone() -> None:
    net, batch = make_baseline("faceformer"), make_batch([8])
    content = torch.randn(1, 8, 16, requires_grad=True)
    net.decode(content, batch.num_frames, style_of(net, batch, ["bob"]))[0, 7].sum().backward()
    assert content.grad.abs().amax(-1).min() > 0
    rows = net.style.embedding.weight.grad.abs().amax(-1)
    assert rows[1] > 0 and rows[0] == 0 and rows[2] == 0


def test_the_style_of_a_speaker_changes_the_motion_beyond_the_resting_face() -> None:
    net, batch = make_baseline("faceformer"), make_batch([8])
    one, other = (net(batch.audio, batch.num_frames, style_of(net, batch, [who])) for who in ("ada", "bob"))
    assert not torch.allclose(one.diff(dim=1), other.diff(dim=1))


def test_a_front_end_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="gives width 8"):
        FaceFormer(LogMelFrontEnd(8), SPEAKERS, **SIZES)

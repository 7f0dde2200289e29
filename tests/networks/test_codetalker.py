"""CodeTalker: the prior's codes, straight-through gradients, generation against its slow definition."""

import pytest
import torch
from expression_baseline_cases import SIZES, make_baseline, make_prior
from made_up_batches import SPEAKERS, make_batch

from networks.codetalker import CodeTalker
from networks.conformer import valid_frames
from networks.quantizers import build_quantizer
from networks.speech_front_end import LogMelFrontEnd


def test_every_component_takes_its_nearest_code_of_one_codebook() -> None:
    prior = make_prior()
    features, lengths = torch.randn(2, 5, 12), torch.tensor([5, 3])
    found = prior.quantize(features, lengths)
    book = prior.quantizer.codebooks[0].vectors
    for clip, frames in enumerate(lengths.tolist()):
        for frame in range(frames):
            for part in range(3):
                vector = features[clip, frame, 4 * part : 4 * part + 4]
                nearest = (book - vector).norm(dim=-1).argmin()
                assert found.codes[clip, frame, part] == nearest
                torch.testing.assert_close(found.quantized[clip, frame, 4 * part : 4 * part + 4], book[nearest])
    assert (found.quantized[1, 3:] == 0).all() and found.codes.shape == (2, 5, 3)


def test_gradients_pass_straight_through_the_codes() -> None:
    prior = make_prior()
    features = torch.randn(1, 4, 12, requires_grad=True)
    weight = torch.randn(1, 4, 12)
    (prior.quantize(features, torch.tensor([4])).quantized * weight).sum().backward()
    torch.testing.assert_close(features.grad, weight)


@pytest.mark.parametrize("kind", ["vq", "fsq"])
def test_a_prior_does_not_see_padding_and_reads_back_zero_there(kind: str) -> None:
    prior = make_prior(kind)
    motion, lengths = torch.randn(2, 12, 55), torch.tensor([12, 7])
    changed = motion.clone()
    changed[1, 7:] = float("nan")
    one, other = prior(motion, lengths), prior(changed, lengths)
    torch.testing.assert_close(one.motion, other.motion)
    assert torch.equal(one.quantized.codes, other.quantized.codes)
    assert (one.motion[1, 7:] == 0).all() and (one.motion[..., 52:] == 0).all() and one.motion[0].abs().max() > 0
    alone = prior(motion[1:, :7], lengths[1:])
    torch.testing.assert_close(alone.motion[0], one.motion[1, :7], atol=1e-5, rtol=1e-5)


def test_a_decoded_frame_depends_on_codes_within_reach_and_long_motion_goes_in_pieces(monkeypatch) -> None:
    prior = make_prior()
    quantized = torch.randn(1, 30, 12, requires_grad=True)
    prior.decode(quantized, torch.tensor([30]))[0, 15].sum().backward()
    seen = quantized.grad.abs().amax(-1)[0].nonzero().flatten()
    assert seen.min() == 15 - prior.reach and seen.max() == 15 + prior.reach
    monkeypatch.setattr("networks.codetalker_prior.PIECE_FRAMES", 7)
    lengths = torch.tensor([30])
    torch.testing.assert_close(
        prior.decode_long(quantized, lengths), prior.decode(quantized, lengths), atol=1e-5, rtol=1e-5
    )


def test_the_codebook_learns_in_training_mode_and_training_lowers_the_error() -> None:
    torch.manual_seed(0)
    prior = make_prior().train()
    motion, lengths = torch.randn(2, 12, 1).expand(-1, -1, 55) * torch.randn(55), torch.full((2,), 12)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=3e-3)
    before, errors = prior.quantizer.codebooks[0].vectors.clone(), []
    for _ in range(25):
        found = prior(motion, lengths)
        error = (found.motion - motion)[..., :52].abs().mean()
        optimizer.zero_grad()
        (error + 0.25 * found.quantized.losses["commitment"]).backward()
        optimizer.step()
        errors.append(error.item())
    assert sum(errors[-5:]) < 0.8 * sum(errors[:5]) and not torch.equal(before, prior.quantizer.codebooks[0].vectors)


def test_generation_is_the_slow_definition_with_the_whole_past_decoded_again_for_every_frame() -> None:
    net, batch = make_baseline("codetalker"), make_batch([15, 11])
    assert net.prior.reach < 10, "the past must be longer than what is decoded again"
    style = net.style_of(
        net.normalise(batch.reference_expression, batch.reference_jaw), batch.reference_num_frames, ["eve", "ada"]
    )
    content = net.content(batch.audio, batch.num_frames)
    motion, quantized = torch.zeros(2, 1, 55), torch.zeros(2, 0, net.prior.feature_width)
    with torch.no_grad():
        for frame in range(15):
            hidden = net.decoder(net.motion_input(motion) + style.embedding.unsqueeze(1), content[:, : frame + 1])
            now = torch.full((2,), frame + 1)
            latest = net.prior.quantize(net.output(hidden[:, -1:]), torch.ones(2, dtype=torch.int64)).quantized
            quantized = torch.cat([quantized, latest], dim=1)
            motion = torch.cat([motion, net.prior.decode(quantized, now)[:, -1:]], dim=1)
        decoded = net.prior.decode(quantized, batch.num_frames)
        wanted = (
            (style.resting.unsqueeze(1) + decoded) * valid_frames(batch.num_frames, 15).unsqueeze(-1) * (net.std > 0)
        )
    torch.testing.assert_close(net.speak(batch.audio, batch.num_frames, style), wanted, atol=1e-4, rtol=1e-4)


def test_given_the_true_past_a_frame_sees_none_of_its_own_motion_and_none_after_it() -> None:
    net, batch = make_baseline("codetalker"), make_batch([10])
    target = net.normalise(batch.expression, batch.jaw)
    style = net.style_of(target, batch.num_frames)
    changed = target.clone()
    changed[:, 6:] += 2.0
    one, other = (net(batch.audio, batch.num_frames, style, t).features for t in (target, changed))
    assert torch.equal(one[:, :7], other[:, :7]) and not torch.allclose(one[:, 7], other[:, 7])


def test_the_prior_stays_frozen_in_evaluation_mode_and_its_statistics_are_those_of_the_network() -> None:
    net, batch = make_baseline("codetalker"), make_batch([10])
    before = {name: value.clone() for name, value in net.prior.state_dict().items()}
    net.train()
    assert not net.prior.training and not any(p.requires_grad for p in net.prior.parameters())
    target = net.normalise(batch.expression, batch.jaw)
    output = net(batch.audio, batch.num_frames, net.style_of(target, batch.num_frames, ["ada"]), target)
    (output.coefficients.square().sum() + (output.features - output.true_codes).square().sum()).backward()
    assert all(torch.equal(before[name], value) for name, value in net.prior.state_dict().items())
    assert (
        net.content.encoder.blocks[0].attention.output.weight.grad.abs().max() > 0
        and not output.true_codes.requires_grad
    )
    net.set_statistics(torch.ones(55), torch.ones(55))
    assert torch.equal(net.mean, before["mean"])
    net.prior.load_state_dict(before | {"mean": torch.full((55,), 0.25)})
    assert (net.mean == 0.25).all()


def test_several_codes_for_a_component_are_refused() -> None:
    with pytest.raises(ValueError, match="gives 4 codes a step"):
        make_prior("residual")
    with pytest.raises(ValueError, match="gives width 8"):
        CodeTalker(LogMelFrontEnd(8), make_prior(), SPEAKERS, **SIZES)
    assert build_quantizer("vq", 4, 16).codes_per_step == 1

"""Generation: the cache gives what the whole network gives, a batch gives what its clips give alone, lengths are exact."""

import pytest
import torch
from test_pose_gpt import SMALL

from networks.code_sampling import CodeSampler, Sampling
from networks.pose_generation import generate_codes, generate_head
from networks.pose_gpt import PoseGPT, PoseGPTSettings
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer

NUCLEUS = Sampling(temperature=1.0, top_p=0.9)
LENGTHS = torch.tensor([9, 40, 0, 23, 40, 1])


def network(**options) -> PoseGPT:
    torch.manual_seed(0)
    net = PoseGPT(PoseGPTSettings(**SMALL | {"context": 8} | options), num_styles=5).eval()
    with torch.no_grad():  # a random network's logits are nearly flat
        net.output.weight.mul_(4)
    return net


def inputs(batch: int = 6, steps: int = 40):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, steps, 16, generator=generator), torch.randn(batch, 6, generator=generator)


@torch.no_grad()
def without_cache(net, speech, style, sampling, seed, steps):
    """The whole network for each new code; one clip."""
    codes = torch.zeros(1, steps, dtype=torch.long)
    sampler = CodeSampler(sampling, 32, len(speech), [seed], speech.device)
    for step in range(steps):
        logits = net(codes[:, : step + 1], speech[None, : step + 1], style[None])[:, -1]
        codes[:, step] = sampler.choose(logits, step)
    return codes[0]


@pytest.mark.parametrize("sampling", [Sampling(), NUCLEUS, Sampling(repetition_penalty=0.3, repetition_window=6)])
def test_cache_and_batch_change_nothing(sampling):
    net, (speech, style) = network(), inputs()
    seeds = [11, 12, 13, 14, 15, 16]
    together = generate_codes(net, speech, LENGTHS, style, sampling, seeds)
    assert together.shape == (6, 40) and len(together.unique()) > 5
    for row, length in enumerate(LENGTHS.tolist()):
        slow = without_cache(net, speech[row], style[row], sampling, seeds[row], length)
        assert torch.equal(together[row, :length], slow)
        assert (together[row, length:] == 0).all()
        alone = generate_codes(
            net,
            speech[row : row + 1, : max(1, length)],
            LENGTHS[row : row + 1],
            style[row : row + 1],
            sampling,
            seeds[row],
        )
        assert torch.equal(alone[0, :length], slow)


def test_generation_is_causal():
    net, (speech, style) = network(), inputs()
    changed = speech.clone()
    changed[:, 20:] = torch.randn(6, 20, 16)
    length = torch.full((6,), 40)
    one, other = (generate_codes(net, s, length, style, NUCLEUS, 3) for s in (speech, changed))
    assert torch.equal(one[:, :20], other[:, :20]) and not torch.equal(one, other)


def test_seeds_decide_draws_and_greedy_has_none():
    net, (speech, style) = network(), inputs()
    length = torch.full((6,), 40)
    torch.manual_seed(1)
    first = generate_codes(net, speech, length, style, NUCLEUS, 3)
    torch.manual_seed(2)
    assert torch.equal(first, generate_codes(net, speech, length, style, NUCLEUS, 3))
    assert not torch.equal(first, generate_codes(net, speech, length, style, NUCLEUS, 4))
    greedy = generate_codes(net, speech, length, style, seeds=3)
    assert torch.equal(greedy, generate_codes(net, speech, length, style, seeds=4))


def test_training_mode_and_gradients_do_not_matter():
    net, (speech, style) = network(dropout=0.5), inputs()
    expected = generate_codes(net, speech, LENGTHS, style)
    codes = generate_codes(net.train(), speech, LENGTHS, style.requires_grad_())
    assert torch.equal(codes, expected) and net.training
    net.codes(codes).sum().backward()  # generated codes are ordinary tensors


def test_the_number_of_threads_is_put_back_even_after_an_error():
    net, (speech, style) = network(), inputs()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        generate_codes(net, speech, LENGTHS, style)
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError):
            generate_codes(net, speech[..., :3], LENGTHS, style)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_mixed_precision_around_it_changes_no_code():
    net, (speech, style) = network(), inputs()
    expected = generate_codes(net, speech, LENGTHS, style)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(generate_codes(net, speech, LENGTHS, style), expected)


def vqvae(stride: int) -> PoseVQVAE:
    torch.manual_seed(0)
    return PoseVQVAE(build_quantizer("vq", 8, 32), width=16, num_heads=2, feed_forward=32, stride=stride)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_head_motion_is_exactly_as_long_as_the_speech(stride):
    net, poses = network(frames_per_code=stride), vqvae(stride)
    length = torch.tensor([25, 10, 1])
    audio = 0.1 * torch.randn(3, 640 * 25)
    style = net.styles(torch.tensor([0, 1, 2])).detach()
    together = generate_head(net.train(), poses.train(), audio, length, style, NUCLEUS, [1, 2, 3])
    assert together.shape == (3, 25, 3) and net.training and poses.quantizer.training
    assert torch.isfinite(together).all()
    for row, frames in enumerate(length.tolist()):
        alone = generate_head(
            net,
            poses,
            audio[row : row + 1, : 640 * frames],
            length[row : row + 1],
            style[row : row + 1],
            NUCLEUS,
            row + 1,
        )
        assert alone.shape == (1, frames, 3)
        torch.testing.assert_close(together[row, :frames], alone[0], atol=1e-4, rtol=0)
        assert (together[row, frames:] == 0).all()


def test_bad_input_is_refused():
    net, (speech, style) = network(), inputs()
    with pytest.raises(ValueError, match="style has shape"):
        generate_codes(net, speech, LENGTHS, style[:2])
    with pytest.raises(ValueError, match="num_steps"):
        generate_codes(net, speech, LENGTHS + 1, style)
    with pytest.raises(ValueError, match="2 seeds for 6 clips"):
        generate_codes(net, speech, LENGTHS, style, NUCLEUS, [1, 2])
    with pytest.raises(ValueError, match="not trained together"):
        generate_head(net, vqvae(2), torch.zeros(1, 640), torch.tensor([1]), style[:1])

"""Heads by every method that is compared: as long as the speech, the same whatever they are batched with, likelihoods as training computes them."""

import pytest
import torch

from lightning_modules.pose_gpt import code_nll
from networks import pose_methods
from networks.code_sampling import GREEDY, NUCLEUS
from networks.pose_adapter import PoseAdapter
from networks.pose_methods import (
    PoseClip,
    code_likelihoods,
    generated_heads,
    random_heads,
    reconstructed_heads,
)
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer


@pytest.fixture(scope="module")
def net() -> PoseAdapter:
    torch.manual_seed(0)
    vqvae = PoseVQVAE(build_quantizer("vq", width=8, num_codes=16), width=16, num_heads=2, feed_forward=32)
    return PoseAdapter(vqvae, ["ada", "bob"], width=16, layers=2, num_heads=2, feed_forward=32, style_width=8).eval()


@pytest.fixture(scope="module")
def clips() -> list[PoseClip]:
    generator = torch.Generator().manual_seed(1)
    return [
        PoseClip(f"clip{frames}", "ada", 0.1 * torch.randn(640 * frames, generator=generator),
                 0.1 * torch.randn(frames, 3, generator=generator))
        for frames in (12, 20, 7)
    ]  # fmt: skip


def test_heads_are_as_long_as_their_speech_and_do_not_depend_on_the_batch(
    net: PoseAdapter, clips: list[PoseClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    styles = net.gpt.styles.weight[:3].detach()
    together = generated_heads(net, clips, styles, NUCLEUS)
    monkeypatch.setattr(pose_methods, "CLIPS_AT_ONCE", 1)
    alone = generated_heads(net, clips, styles, NUCLEUS)
    assert [len(head) for head in together] == [12, 20, 7]
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert [len(head) for head in reconstructed_heads(net.vqvae, clips)] == [12, 20, 7]


def test_draws_differ_from_the_nucleus_and_not_when_greedy(net: PoseAdapter, clips: list[PoseClip]) -> None:
    styles = net.gpt.styles.weight[:1].detach().expand(3, -1)
    first, again, second = (generated_heads(net, clips, styles, NUCLEUS, draw=draw) for draw in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, second, strict=True))
    greedy = [generated_heads(net, clips, styles, GREEDY, draw=draw) for draw in (0, 1)]
    assert all(torch.equal(a, b) for a, b in zip(*greedy, strict=True))


def test_likelihoods_are_those_of_training_a_clip_alone(net: PoseAdapter, clips: list[PoseClip]) -> None:
    styles = net.gpt.styles.weight[torch.tensor([0, 1, 2])].detach()
    counts = torch.arange(16)
    found = code_likelihoods(net, clips, styles, counts)
    for number, clip in enumerate(clips):
        frames = torch.tensor([len(clip.head)])
        truth = net.tokenize(clip.head[None], frames)
        with torch.no_grad():
            logits = net(truth.codes, clip.audio[None], frames, torch.tensor([number]))
        assert found["code_nll"][number] == pytest.approx(float(code_nll(logits, truth).mean()), abs=1e-4)
        share = (counts + 1) / (counts + 1).sum()
        assert found["code_nll_unigram"][number] == pytest.approx(float(-share.log()[truth.codes].mean()), abs=1e-5)
    assert found["code_nll_no_speech"] != found["code_nll"] != found["code_nll_shuffled_speech"]


def test_random_heads_depend_on_the_clips_name_alone(clips: list[PoseClip]) -> None:
    known = [clip.head for clip in clips]
    forward, backward = random_heads(known, clips), random_heads(known, clips[::-1])
    assert all(torch.equal(a, b) for a, b in zip(forward, backward[::-1], strict=True))

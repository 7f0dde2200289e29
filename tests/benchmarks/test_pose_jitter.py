"""The jitter benchmark: seeded noise, exact measures where they are known, and the quantiser's share of a tiny VQ-VAE."""

import math

import pytest
import torch

from benchmarks.pose_jitter import filtered, jitter_left, measure, ways_through, with_jitter
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer


@pytest.fixture(scope="module")
def vqvae() -> PoseVQVAE:
    torch.manual_seed(0)
    net = PoseVQVAE(build_quantizer("vq", 8, 16), width=16, num_heads=2, feed_forward=32, attention_span=6, stride=2)
    net.set_statistics(torch.zeros(3), torch.full((3,), 0.1))
    return net.eval()


def slow_head(frames: int = 101) -> torch.Tensor:
    t = torch.arange(frames) / 25
    return 0.2 * torch.stack([torch.sin(t), torch.cos(0.7 * t), 0 * t], -1)


def test_noise_has_the_asked_strength_and_depends_on_the_clip_and_nothing_else() -> None:
    clean = slow_head(20_000)
    strong, weak = (with_jitter(clean, degrees, "clip") - clean for degrees in (0.5, 0.25))
    assert math.degrees(float(strong.std())) == pytest.approx(0.5, rel=0.02)
    torch.testing.assert_close(strong, 2 * weak, atol=1e-6, rtol=0)
    assert torch.equal(with_jitter(clean, 0.5, "clip"), with_jitter(clean, 0.5, "clip"))
    assert not torch.allclose(with_jitter(clean, 0.5, "another"), with_jitter(clean, 0.5, "clip"))
    assert torch.equal(with_jitter(clean, 0.0, "clip"), clean)


def test_a_head_that_comes_back_clean_has_the_clean_jerk_and_no_error() -> None:
    clean = slow_head()
    noisy = with_jitter(clean, 0.5, "clip")
    left = jitter_left(clean, noisy, {"noisy": noisy, "clean": clean, "turned": clean + torch.tensor([0.0, 0.0, 0.1])})
    assert left["noisy"]["jerk_over_noisy"] == 1 and left["noisy"]["jerk_over_clean"] > 10
    assert left["clean"]["jerk_over_clean"] == 1 and left["clean"]["error_deg"] == pytest.approx(0, abs=1e-3)
    assert left["turned"]["error_deg"] == pytest.approx(math.degrees(0.1), rel=0.1)
    # Three independent components of 0.5 degrees: the mean length of a vector of them is sqrt(8 / pi) of that.
    assert left["noisy"]["error_deg"] == pytest.approx(0.5 * math.sqrt(8 / math.pi), rel=0.1)


def test_every_way_is_as_long_as_the_clip_and_the_filter_is_that_of_the_preparation(vqvae: PoseVQVAE) -> None:
    noisy = with_jitter(slow_head(), 0.5, "clip")
    ways = ways_through(vqvae, noisy)
    assert all(head.shape == noisy.shape for head in ways.values())
    assert torch.equal(ways["noisy"], noisy) and torch.equal(ways["filter"], filtered(noisy))
    frames = torch.tensor([len(noisy)])
    torch.testing.assert_close(ways["codes"], vqvae.decode(vqvae.tokenize(noisy[None], frames), frames)[0])
    assert not torch.allclose(ways["codes"], ways["latents"])
    assert jitter_left(slow_head(), noisy, ways)["filter"]["jerk_over_noisy"] < 0.5


def test_latents_that_are_their_own_codes_decode_to_the_same_head(vqvae: PoseVQVAE) -> None:
    codes, frames = torch.randint(16, (1, 10, 1), generator=torch.Generator().manual_seed(0)), torch.tensor([19])
    latents = vqvae.quantizer.decode(codes)
    torch.testing.assert_close(vqvae.decode_latents(latents, frames), vqvae.decode(codes, frames))
    with pytest.raises(ValueError, match="do not last"):
        vqvae.decode_latents(latents, torch.tensor([21]))


def test_intervals_are_over_people_with_all_networks_together(vqvae: PoseVQVAE) -> None:
    clips = [(f"clip {i}", f"person {i % 5}", slow_head(60 + i)) for i in range(6)]
    one, twice = measure([vqvae], clips, 0.25), measure([vqvae, vqvae], clips, 0.25)
    for way, values in one.items():
        for name, interval in values.items():
            assert interval["low"] <= interval["mean"] <= interval["high"]
            assert twice[way][name] == pytest.approx(interval)

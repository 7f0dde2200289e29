"""Pose VQ-VAE: lengths, strides, padding, long clips, and that it can learn at all."""

import pytest
import torch

from faces.rotations import axis_angle_to_matrix, geodesic_distance
from networks import pose_vqvae
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer

LENGTHS = torch.tensor([30, 17, 1])


def network(kind: str = "vq", stride: int = 1, num_codes: int = 32) -> PoseVQVAE:
    torch.manual_seed(0)
    net = PoseVQVAE(
        build_quantizer(kind, 8, num_codes), width=16, num_heads=2, feed_forward=32, attention_span=6, stride=stride
    )
    net.set_statistics(torch.tensor([0.05, 0.0, 0.0]), torch.tensor([0.08, 0.1, 0.05]))
    return net


def heads(frames: int = 34, batch: int = 3) -> torch.Tensor:
    walk = torch.randn(batch, frames, 3, generator=torch.Generator().manual_seed(1)).cumsum(1)
    return 0.02 * walk


@pytest.mark.parametrize("kind", ["vq", "residual", "product", "fsq"])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_padding_with_anything_changes_no_code_and_no_frame(kind, stride):
    net = network(kind, stride).eval()
    head = heads()
    mask = torch.arange(34) < LENGTHS[:, None]
    codes = net.tokenize(head.masked_fill(~mask[..., None], torch.nan), LENGTHS)
    assert codes.shape[1] == -(-34 // stride)
    decoded = net.decode(codes, LENGTHS)
    assert decoded.shape == (3, 30, 3)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = net.tokenize(head[row : row + 1, :length], LENGTHS[row : row + 1])
        assert alone.shape == (1, -(-length // stride), net.quantizer.codes_per_step)
        assert torch.equal(codes[row, : alone.shape[1]], alone[0])
        torch.testing.assert_close(
            decoded[row, :length], net.decode(alone, LENGTHS[row : row + 1])[0], atol=1e-5, rtol=0
        )
        assert (decoded[row, length:] == 0).all()


def test_forward_agrees_with_encode_then_decode():
    net = network(stride=2).eval()
    result = net(heads(), LENGTHS)
    assert result.channels.shape == result.target.shape == (3, 34, 6)
    torch.testing.assert_close(result.latents, net.encode(heads(), LENGTHS))
    assert torch.equal(result.quantized.codes, net.tokenize(heads(), LENGTHS))
    mask = torch.arange(30) < LENGTHS[:, None]
    decoded = net.decode(result.quantized.codes, LENGTHS)
    torch.testing.assert_close(
        net.representation.inverse(result.channels)[:, :30][mask], decoded[mask], atol=1e-4, rtol=0
    )


def test_tokenizing_never_teaches_the_codebook():
    net = network().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.tokenize(heads(), LENGTHS)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert net.quantizer.training


def test_long_clips_in_pieces_give_the_same(monkeypatch):
    net = network(stride=2).eval()
    head, length = heads(180, 2), torch.tensor([180, 131])
    whole = net.encode(head, length)
    pose = net.decode(net.tokenize(head, length), length)
    monkeypatch.setattr(pose_vqvae, "_PIECE_STEPS", 20)
    torch.testing.assert_close(net.encode(head, length), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(net.decode(net.tokenize(head, length), length), pose, atol=1e-4, rtol=0)


def test_a_code_sees_no_further_than_the_stated_reach():
    net = network().eval()
    head = heads(80, 1)
    changed = head.clone()
    changed[:, 40] += 0.5
    moved = (net.encode(head, torch.tensor([80])) - net.encode(changed, torch.tensor([80]))).abs().sum(-1)[0] > 1e-6
    touched = moved.nonzero().flatten()
    assert touched.min() >= 40 - net.reach and touched.max() <= 40 + net.reach and moved[40]


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_before_training_the_frames_of_a_step_are_equal(stride):
    """At random they trembled, and the loss on acceleration stilled networks with strides for good."""
    net = network(stride=stride)
    channels = net(heads(32, 2), torch.full((2,), 32)).channels.unflatten(1, (-1, stride))
    assert torch.equal(channels, channels[:, :, :1].expand_as(channels))
    assert not torch.allclose(channels[:, 0], channels[:, 1])


def test_it_learns_to_reconstruct_and_keeps_the_tilt():
    net = network(num_codes=128)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    length = torch.full((8,), 40)
    time = torch.arange(40) / 25

    def clips(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        amplitude, tilt = (
            0.1 * torch.rand(8, 1, 3, generator=generator),
            0.2 * torch.randn(8, 1, 3, generator=generator),
        )
        return tilt + amplitude * torch.sin(6 * time[None, :, None] + 6 * torch.rand(8, 1, 3, generator=generator))

    for step in range(80):
        result = net(clips(step), length)
        loss = (result.channels - result.target).abs().mean() + 0.25 * result.quantized.losses["commitment"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    head = clips(1000)
    again = net.decode(net.tokenize(head, length), length)
    error = geodesic_distance(axis_angle_to_matrix(again), axis_angle_to_matrix(head)).mean()
    still = geodesic_distance(axis_angle_to_matrix(torch.zeros_like(head)), axis_angle_to_matrix(head)).mean()
    assert error < 0.4 * still
    tilts = torch.stack([head.mean(1), again.mean(1)])
    assert torch.corrcoef(tilts.flatten(1))[0, 1] > 0.9


def test_the_fingerprint_follows_weights_codebook_and_statistics():
    net = network()
    first = net.fingerprint()
    assert first == network().fingerprint() and first.startswith("pose-")
    net.set_statistics(torch.zeros(3), torch.ones(3))
    second = net.fingerprint()
    with torch.no_grad():
        net.quantizer.codebooks[0].vectors[0] += 1
    assert len({first, second, net.fingerprint(), network(stride=2).fingerprint()}) == 4


def test_codes_that_do_not_last_are_refused():
    with pytest.raises(ValueError, match="do not last"):
        network(stride=2).decode(torch.zeros(1, 5, 1, dtype=torch.long), torch.tensor([11]))
    with pytest.raises(ValueError, match="stride"):
        network(stride=0)

"""Baselines of the pose adapter: what they are made of, and that padding and other clips change nothing."""

from types import SimpleNamespace

import pytest
import torch

from networks.pose_baselines import HeadRegression, random_retrieval, template_copy


def test_a_template_goes_forward_and_back_without_a_jump() -> None:
    template = torch.arange(4.0)[:, None].expand(-1, 3)
    assert template_copy(template, 9)[:, 0].tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert template_copy(template, 2)[:, 0].tolist() == [0, 1]
    assert template_copy(template[:1], 3)[:, 0].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="at least one frame"):
        template_copy(template[:0], 3)


def test_random_retrieval_plays_a_piece_of_a_clip_and_depends_on_the_generator_alone() -> None:
    heads = [torch.randn(length, 3, generator=torch.Generator().manual_seed(length)) for length in (30, 50, 8)]
    drawn = [random_retrieval(heads, 20, torch.Generator().manual_seed(seed)) for seed in range(20)]
    for piece in drawn:
        assert piece.shape == (20, 3)
        assert any(
            torch.equal(piece, clip[start : start + 20]) for clip in heads for start in range(len(clip) - 19)
        ) or torch.equal(piece, template_copy(heads[2], 20))
    assert torch.equal(drawn[3], random_retrieval(heads, 20, torch.Generator().manual_seed(3)))
    assert len({tuple(piece.flatten().tolist()) for piece in drawn}) > 5
    with pytest.raises(ValueError, match="no clips"):
        random_retrieval([], 20, torch.Generator())


def random_batch(lengths: list[int], only: int | None = None) -> SimpleNamespace:
    """Noise with references of 15 frames less one a clip; `only` cuts one clip out of it, without its padding."""
    generator = torch.Generator().manual_seed(0)
    frames, references = torch.tensor(lengths), torch.arange(15, 15 - len(lengths), -1)
    audio = 0.1 * torch.randn(len(lengths), 640 * max(lengths), generator=generator)
    head, reference = (0.1 * torch.randn(len(lengths), n, 3, generator=generator) for n in (max(lengths), 15))
    if only is not None:
        length = lengths[only]
        frames, references = frames[[only]], references[[only]]
        audio, head = audio[[only], : 640 * length], head[[only], :length]
        reference = reference[[only], : int(references)]
    return SimpleNamespace(
        audio=audio, num_frames=frames, head=head, mask=torch.arange(head.shape[1]) < frames[:, None],
        reference_head=reference, reference_num_frames=references,
    )  # fmt: skip


@pytest.fixture
def net() -> HeadRegression:
    torch.manual_seed(0)
    network = HeadRegression(width=16)
    network.set_statistics(torch.tensor([0.1, 0.0, -0.1]), torch.tensor([0.1, 0.2, 0.1]))
    return network.eval()


def test_padding_and_other_clips_change_nothing(net: HeadRegression) -> None:
    batch = random_batch([12, 7])
    together = net.head_of(batch)
    alone = net.head_of(random_batch([12, 7], only=1))
    torch.testing.assert_close(together[1, :7], alone[0], atol=1e-5, rtol=1e-5)
    assert together.shape == (2, 12, 3) and not together[1, 7:].any()


def test_the_reference_decides_how_the_head_is_held(net: HeadRegression) -> None:
    with torch.no_grad():
        net.output.weight.zero_()
        net.output.bias.zero_()
    batch = random_batch([12, 7])
    batch.reference_head[:] = torch.tensor([0.2, -0.1, 0.05])
    torch.testing.assert_close(net.head_of(batch)[0], batch.reference_head[0, :12], atol=1e-5, rtol=1e-4)


def test_other_speech_gives_other_motion(net: HeadRegression) -> None:
    batch = random_batch([12, 7])
    assert (net.head_of(batch) - net.head_of(batch, batch.audio.flip(1))).abs().max() > 1e-6

"""Retrieval end to end with a small VQ-VAE: people are found again by how they move, strangers are mixed, bad references refused."""

import pytest
import torch

from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from networks.style_bank import StyleBankError
from networks.style_retrieval import (
    StyleClip,
    build_style_bank,
    mix_styles,
    retrieve_style,
)

NUM_UNITS, PEOPLE = 16, 8


@pytest.fixture(scope="module")
def vqvae() -> PoseVQVAE:
    torch.manual_seed(0)
    net = PoseVQVAE(build_quantizer("vq", 8, 32), width=16, num_heads=2, feed_forward=32, attention_span=4)
    net.set_statistics(torch.zeros(3), torch.full((3,), 0.1))
    return net


def clip(person: int, seed: int, frames: int = 200) -> StyleClip:
    """A person turns towards a place of their own, and nods a little by an amount of their own at half of the units."""
    generator = torch.Generator().manual_seed(1000 * person + seed)
    units = torch.randint(NUM_UNITS, (frames // 4,), generator=generator).repeat_interleave(4)
    habit = 0.15 * torch.randn(2, 3, generator=torch.Generator().manual_seed(person))
    head = habit[0] + (units < NUM_UNITS // 2).float()[:, None] * habit[1]
    return StyleClip(f"person {person}", head + 0.03 * torch.randn(frames, 3, generator=generator), units)


@pytest.fixture(scope="module")
def bank(vqvae):
    clips = [clip(person, seed) for person in range(PEOPLE) for seed in range(3)]
    return build_style_bank(clips, vqvae, NUM_UNITS, "units-a")


@pytest.mark.parametrize("metric", ["shrunk", "statistics"])
def test_each_person_is_found_by_an_unseen_clip(vqvae, bank, metric):
    for person in range(PEOPLE):
        found = retrieve_style([clip(person, seed=77)], vqvae, bank, "units-a", metric)
        assert found.source == f"person {person}" == bank.sources[found.style_index]
        assert found.from_speech == (metric == "shrunk")
        assert found.distance == found.distances.min()


def test_clips_in_another_order_make_the_same_bank(vqvae, bank):
    clips = [clip(person, seed) for seed in (2, 0, 1) for person in reversed(range(PEOPLE))]
    other = build_style_bank(iter(clips), vqvae.train(), NUM_UNITS, "units-a")
    assert other.sources == bank.sources and vqvae.training
    one, two = (retrieve_style([clip(1, 50)], vqvae, b, "units-a", "shrunk") for b in (bank, other))
    torch.testing.assert_close(one.distances, two.distances)


def test_pieces_of_a_reference_in_any_order_find_the_same(vqvae, bank):
    pieces = [clip(4, seed, frames=100) for seed in (70, 71, 72)]
    for metric in ("shrunk", "statistics"):
        one, two = (retrieve_style(p, vqvae, bank, "units-a", metric) for p in (pieces, pieces[::-1]))
        assert one.source == two.source == "person 4"
        torch.testing.assert_close(one.distances, two.distances, atol=1e-5, rtol=1e-5)


def test_what_moves_alike_but_at_other_units_is_further(vqvae, bank):
    right = clip(3, seed=77)
    wrong = right._replace(units=(right.units + NUM_UNITS // 2) % NUM_UNITS)
    near, far = (retrieve_style([c], vqvae, bank, "units-a", "shrunk").distances[3] for c in (right, wrong))
    assert far > 1.5 * near


def test_without_speech_pose_statistics_decide_and_say_so(vqvae, bank):
    found = retrieve_style([clip(2, 77)._replace(units=None)], vqvae, bank, None, "shrunk")
    assert found.source == "person 2" and not found.from_speech
    same = retrieve_style([clip(2, 77)], vqvae, bank, "units-a")
    assert torch.equal(same.distances, found.distances) and not same.from_speech


def test_bad_references_are_refused(vqvae, bank):
    good = clip(0, 77)
    with pytest.raises(StyleBankError, match=r"1.92 s.*at least 2 s"):
        retrieve_style([clip(0, 77, frames=28), clip(0, 78, frames=20)._replace(units=None)], vqvae, bank, "units-a")
    with pytest.raises(StyleBankError, match=r"0.00 s"):
        retrieve_style([], vqvae, bank, "units-a")
    with pytest.raises(StyleBankError, match="units-b"):
        retrieve_style([good], vqvae, bank, "units-b", "shrunk")
    with pytest.raises(StyleBankError, match="none"):
        retrieve_style([good], vqvae, bank, None, "shrunk")
    with pytest.raises(StyleBankError, match="VQ-VAE"):
        torch.manual_seed(1)
        other = PoseVQVAE(build_quantizer("vq", 8, 32), width=16, num_heads=2, feed_forward=32)
        retrieve_style([good], other, bank, "units-a")
    with pytest.raises(StyleBankError, match="as many"):
        retrieve_style([good._replace(units=good.units[:-1])], vqvae, bank, "units-a", "shrunk")
    with pytest.raises(StyleBankError, match="enough units"):  # 16 units can never share 32
        retrieve_style([good], vqvae, bank, "units-a", metric="shared")
    with pytest.raises(StyleBankError, match="at least one clip"):
        build_style_bank([], vqvae, NUM_UNITS, "units-a")
    with pytest.raises(StyleBankError, match="no units"):
        build_style_bank([good._replace(units=None)], vqvae, NUM_UNITS, "units-a")


def test_equally_near_styles_give_the_lowest_index(vqvae):
    same = clip(0, 5)
    twins = build_style_bank([same._replace(source=name) for name in ("b", "a", "c")], vqvae, NUM_UNITS, "u")
    assert retrieve_style([same], vqvae, twins, "u").source == "a"


def test_mixtures_weigh_by_nearness_and_end_at_the_style_itself():
    embeddings = torch.eye(4)
    mixed = mix_styles(embeddings, torch.tensor([1.0, 2.0, 4.0, torch.inf]), k=3)
    assert mixed.indices.tolist() == [0, 1, 2]
    torch.testing.assert_close(mixed.embedding, torch.tensor([16.0, 4.0, 1.0, 0.0]) / 21)
    assert mix_styles(embeddings, torch.tensor([3.0, 0.0, 1.0, 2.0]), k=4).embedding.tolist() == [0, 1, 0, 0]
    assert mix_styles(embeddings, torch.tensor([3.0, 5.0, 1.0, 2.0]), k=1).embedding.tolist() == [0, 0, 1, 0]
    with pytest.raises(StyleBankError, match="k = 0"):
        mix_styles(embeddings, torch.ones(4), k=0)

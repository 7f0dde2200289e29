"""The benchmarks of pose styles on made-up people: planted habits are found, every method is measured, cached features are heard."""

import pytest
import torch

from benchmarks.pose_retrieval import NUM_UNITS, Person, found_again
from benchmarks.unseen_pose_styles import MEASURES, measure_person
from networks.pose_adapter import PoseAdapter
from networks.pose_representation import HeadRepresentation
from networks.pose_statistics import pose_statistics
from networks.pose_style_choice import METHODS
from networks.pose_style_files import PoseStyles
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from networks.speech_front_end import PretrainedFrontEnd
from networks.style_retrieval import StyleClip, build_style_bank, retrieve_style, style_matrix_of
from speech.semantic_units import MfccContext, SemanticUnits

FEATURE_WIDTH = 6


@pytest.fixture(scope="module")
def vqvae() -> PoseVQVAE:
    torch.manual_seed(0)
    net = PoseVQVAE(build_quantizer("vq", 8, 32), width=16, num_heads=2, feed_forward=32, attention_span=4)
    net.set_statistics(torch.zeros(3), torch.full((3,), 0.1))
    return net.eval()


def head_of(person: int, clip: int, frames: int) -> torch.Tensor:
    """Head `[T, 3]` of somebody who rests, sways and nods in a way of their own, by chance anew in each clip."""
    habit = torch.Generator().manual_seed(person)
    rest = 0.06 * torch.randn(3, generator=habit)
    size = 0.02 * torch.randn(2, 3, generator=habit).mul(0.6).exp()
    chance = torch.Generator().manual_seed(100_000 + 1000 * person + clip)
    noise = torch.randn(2, frames + 64, 3, generator=chance)
    slow = noise[0].unfold(0, 65, 1).mean(-1)[:frames] * 65**0.5
    fast = noise[1].unfold(0, 9, 1).mean(-1)[:frames] * 9**0.5
    return rest + 0.015 * torch.randn(3, generator=chance) + size[0] * slow + 0.5 * size[1] * fast


def clip_of(person: int, number: int, frames: int = 100, features: bool = False) -> StyleClip:
    chance = torch.Generator().manual_seed(7000 * person + number)
    units = torch.randint(NUM_UNITS, (frames,), generator=chance)
    audio = 0.1 * torch.randn(640 * frames, generator=chance)
    heard = torch.randn(frames, FEATURE_WIDTH, generator=chance) if features else None
    return StyleClip(f"person {person:03d}", head_of(person, number, frames), units, audio, heard)


def test_planted_people_are_found_again_by_every_distance_that_sees_them(vqvae) -> None:
    people = []
    for person in range(6):
        clips = [clip_of(person, number) for number in range(6)]
        statistics = [pose_statistics(clip.head, vqvae.representation) for clip in clips]
        matrices = [style_matrix_of(clip, vqvae, NUM_UNITS) for clip in clips]
        people.append(Person(clips[0].source, clips, statistics, matrices))
    ranks = found_again(vqvae, people, bank_clips=3, draw=0)
    again = found_again(vqvae, people, bank_clips=3, draw=0)
    assert {"statistics", "shrunk", "shared", "shrunk, units shuffled"} < set(ranks)
    assert all(torch.equal(ranks[name], again[name]) and ranks[name].shape == (6,) for name in ranks)
    assert (ranks["statistics"] == 0).sum() >= 5
    assert all(0 <= int(rank) < 6 for of in ranks.values() for rank in of)


@pytest.mark.parametrize("features", [False, True])
def test_every_method_is_measured_on_a_person_who_is_not_known(vqvae, features: bool, monkeypatch) -> None:
    front_end = PretrainedFrontEnd(None, width=5, feature_width=FEATURE_WIDTH) if features else None
    sizes = {"width": 16, "layers": 1, "num_heads": 2, "feed_forward": 32, "style_width": 8, "context": 16}
    torch.manual_seed(1)
    net = PoseAdapter(vqvae, [f"person {i:03d}" for i in range(5)], front_end=front_end, **sizes).eval()
    units = SemanticUnits(
        torch.randn(NUM_UNITS, MfccContext.width).numpy(), torch.ones(65).numpy(), MfccContext.fingerprint
    )
    known = [clip_of(person, number) for person in range(5) for number in range(3)]
    styles = PoseStyles(build_style_bank(known, vqvae, NUM_UNITS, units.fingerprint), units)
    reference = [clip_of(9, number, 40, features) for number in range(2)]
    others = [clip_of(9, 5, 30, features), clip_of(9, 6, 22, features)]
    monkeypatch.setattr("networks.pose_style_tuning.tune_style.__defaults__", (2, 0.25, 2, 0.02))
    row = measure_person(net, styles, reference, others, seed=3)
    assert set(METHODS) < set(row) and row["nearest_known"] > 0
    for method in METHODS:
        assert all(0 < row[method][measure] < 1000 for measure in MEASURES)


@pytest.mark.slow
def test_a_hundred_and_twenty_planted_habits_are_found_by_ten_seconds_of_motion(vqvae) -> None:
    number = 120
    clips = [clip_of(person, clip) for person in range(number) for clip in range(7)]
    bank = build_style_bank(clips, vqvae, NUM_UNITS, "units-a")
    right = 0
    for person in range(number):
        reference = [clip_of(person, clip) for clip in (20, 21)] + [clip_of(person, 22, frames=50)]
        found = retrieve_style(reference, vqvae, bank, None)
        right += found.source == f"person {person:03d}"
    assert right / number >= 0.9
    # Without the habits nobody is found: it is them that the statistics see.
    strangers = [
        retrieve_style([clip_of(1000 + p, 20, 250)], vqvae, bank, None).style_index == p for p in range(number)
    ]
    assert sum(strangers) / number <= 0.1
    assert isinstance(vqvae.representation, HeadRepresentation)

"""Windows of a person's training frames, the held-out tail, and the person's other clips."""

from pathlib import Path

import numpy as np
import pytest
from made_up_clips import make_clip, write_corpus

from datamodules.adaptation import AdaptationDataModule, split_pieces, without_short_pieces
from datamodules.errors import ShardError
from datamodules.person_reference import PersonReferenceError, cut_sample
from datamodules.sample import Sample


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lengths, emotions = (60, 50, 90, 55), ("neutral", "neutral", "neutral", "happy")
    clips = [
        make_clip(f"ada{n}", frames, speaker="ada", emotion=e)
        for n, (frames, e) in enumerate(zip(lengths, emotions, strict=True))
    ]
    return write_corpus(tmp_path_factory.mktemp("corpora") / "ada", [*clips, make_clip("bob0", 80, speaker="bob")])


def make_data(corpus: Path, **options) -> AdaptationDataModule:
    return AdaptationDataModule(
        str(corpus), **({"person": "ada", "seconds": 4.0, "window_frames": 20, "global_batch": 4} | options)
    )


def test_the_seconds_are_taken_in_order_and_their_end_is_held_out(corpus: Path) -> None:
    data = make_data(corpus)
    assert [(p.clip.key, len(p.clip.motion)) for p in data.train_pieces] == [("ada0", 60), ("ada1", 20)]
    assert [(p.clip.key, len(p.clip.motion)) for p in data.tail_pieces] == [("ada1", 20)]
    whole = make_clip("ada1", 50, speaker="ada")
    tail = data.tail_pieces[0].clip
    assert np.array_equal(tail.motion.expression, whole.motion.expression[20:40])
    assert np.array_equal(tail.audio, whole.audio[20 * 640 : 40 * 640])
    assert len(data.style_motion) == 80


def test_windows_never_reach_into_the_tail_and_cover_the_training_frames(corpus: Path) -> None:
    data = make_data(corpus, augment=False)
    truth = {p.clip.key: p.clip for p in data.train_pieces}
    seen: dict[str, set[int]] = {"ada0": set(), "ada1": set()}
    windows = data.train_dataloader().dataset
    for step in range(400):
        item = windows[(step, 0, step % 4)]
        start, count, clip = item.meta["start_frame"], len(item.motion), truth[item.key]
        assert np.array_equal(item.motion.expression, clip.motion.expression[start : start + count])
        assert np.array_equal(item.audio, clip.audio[start * 640 : (start + count) * 640])
        seen[item.key] |= set(range(start, start + count))
    assert seen["ada0"] >= set(range(2, 58)) and seen["ada1"] == set(range(20))


def test_a_window_is_a_function_of_seed_step_and_place(corpus: Path) -> None:
    def drawn(seed: int, request: tuple[int, int, int]) -> tuple:
        item = make_data(corpus, seed=seed).train_dataloader().dataset[request]
        return item.key, item.meta["start_frame"], item.audio.tobytes()

    assert drawn(1, (3, 0, 2)) == drawn(1, (3, 0, 2))
    assert len({drawn(1, (3, 0, 2)), drawn(2, (3, 0, 2)), drawn(1, (4, 0, 2)), drawn(1, (3, 0, 1))}) == 4


def test_a_resumed_position_gives_the_batches_that_were_left(corpus: Path) -> None:
    def batches(data: AdaptationDataModule) -> list[bytes]:
        loader = data.train_dataloader()
        loader.batch_sampler.last_step = 5
        return [batch.audio.numpy().tobytes() for batch in loader]

    whole, resumed = make_data(corpus), make_data(corpus)
    resumed.advance(2)
    copy = make_data(corpus)
    copy.load_state_dict(resumed.state_dict())
    assert len(batches(whole)) == 5 and batches(copy) == batches(whole)[2:]


def test_other_clips_are_of_the_person_unseen_and_in_the_same_emotion(corpus: Path) -> None:
    data = make_data(corpus)
    assert data.facts["other_clips"] == ["ada2"]
    batch = next(iter(data.evaluation_dataloader("test")))
    assert batch.keys == ["ada2"] and int(batch.reference_num_frames[0]) == len(data.style_motion)
    assert make_data(corpus, person="ada3", seconds=2.0, tail_share=0.5).facts["other_clips"] == [
        "ada0",
        "ada1",
        "ada2",
    ]


def test_somebody_without_further_clips_has_none(corpus: Path) -> None:
    data = make_data(corpus, person="bob0")
    assert data.others == [] and not data.has_rest
    with pytest.raises(PersonReferenceError, match="bob has nothing but"):
        data.evaluation_dataloader("test")


def test_the_rest_of_a_clip_that_the_reference_ends_in_is_scored_where_others_are_few(corpus: Path) -> None:
    data = make_data(corpus, person="bob0", seconds=2.0)
    assert data.has_rest and data.facts["rest_frames"] == 30 and not data.facts["other_clips"]
    (batch,) = data.evaluation_dataloader("test")
    whole = make_clip("bob0", 80, speaker="bob")
    assert batch.keys == ["bob0"]
    np.testing.assert_array_equal(batch.expression[0].numpy(), whole.motion.expression[50:])
    np.testing.assert_array_equal(batch.audio[0].numpy(), whole.audio[50 * 640 :])
    assert make_data(corpus, person="bob0", seconds=3.0).facts["rest_frames"] == 0, "a fifth of a second is no rest"
    enough = make_data(corpus, person="ada0", seconds=2.0, max_other_clips=2, emotion="neutral")
    assert enough.facts["rest_frames"] == 0 and len(enough.others) == 2
    assert data.fingerprint != make_data(corpus, person="bob0", seconds=2.0, max_other_clips=0).fingerprint


def test_the_fingerprint_is_of_what_is_adapted_to(corpus: Path) -> None:
    assert make_data(corpus).fingerprint == make_data(corpus, seed=3).fingerprint
    assert (
        len(
            {
                make_data(corpus).fingerprint,
                make_data(corpus, seconds=3.0).fingerprint,
                make_data(corpus, person="bob").fingerprint,
            }
        )
        == 3
    )
    with pytest.raises(PersonReferenceError, match="another recording"):
        make_data(corpus).load_state_dict(make_data(corpus, person="bob").state_dict())


@pytest.mark.parametrize("frames", [0, 1, 60, 61, 110, 200])
def test_splitting_pieces_keeps_every_frame_in_order(frames: int) -> None:
    pieces = [Sample(make_clip("a", 60)), Sample(make_clip("b", 50))]
    first, rest = split_pieces(pieces, frames)
    joined = np.concatenate([p.clip.motion.expression for p in first + rest])
    assert np.array_equal(joined, np.concatenate([p.clip.motion.expression for p in pieces]))
    assert sum(len(p.clip.motion) for p in first) == min(frames, 110)


def test_ends_of_a_few_frames_are_left_out(corpus: Path) -> None:
    data = make_data(corpus, seconds=2.6, tail_share=0.05)
    assert [(p.clip.key, len(p.clip.motion)) for p in data.train_pieces + data.tail_pieces] == [
        ("ada0", 57),
        ("ada0", 3),
    ]
    pieces = [Sample(make_clip("a", 60)), Sample(make_clip("b", 4))]
    assert without_short_pieces(pieces) == pieces[:1] and without_short_pieces(pieces[1:]) == pieces[1:]


def test_cached_features_are_cut_with_the_motion() -> None:
    features = np.arange(2 * 30, dtype=np.float32)[:, None]
    part = cut_sample(Sample(make_clip("a", 30), units=np.arange(30), features=features), 5, 9)
    assert part.features is not None and part.features[:, 0].tolist() == list(range(10, 18))
    assert part.units is not None and part.units.tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize(
    "options", [{"tail_share": 0.0}, {"tail_share": 0.9}, {"window_frames": 3}, {"global_batch": 0}]
)
def test_options_that_cannot_be_are_refused(corpus: Path, options: dict) -> None:
    with pytest.raises(PersonReferenceError, match=next(iter(options))):
        make_data(corpus, **options)


def test_accumulated_batches_count_as_parts_of_a_step_and_draw_the_same_windows(corpus: Path) -> None:
    def windows(accumulate: int) -> tuple[list[tuple[str, int]], list[int], int]:
        data = make_data(corpus, accumulate=accumulate, augment=False)
        found, sizes = [], []
        for batch in data.train_dataloader():
            found += [(key, meta["start_frame"]) for key, meta in zip(batch.keys, batch.metas, strict=True)]
            sizes.append(len(batch.keys))
            data.advance(1)
        return found, sizes, data.consumed

    whole, parts = windows(1), windows(2)
    assert whole[1:] == ([4], 4) and parts[1:] == ([2, 2], 4)
    assert whole[0] == parts[0]


def test_a_batch_that_does_not_split_is_refused(corpus: Path) -> None:
    with pytest.raises(ShardError, match="does not split over 1 ranks x 3"):
        make_data(corpus, accumulate=3)


def test_reference_and_scored_clips_are_of_the_emotions_asked_for(corpus: Path) -> None:
    spoken = make_data(corpus, emotion="neutral", other_emotion="happy")
    assert [piece.clip.key for piece in spoken.reference.pieces] == ["ada0", "ada1"]
    assert spoken.facts["other_clips"] == ["ada3"]
    happy = make_data(corpus, emotion="happy", other_emotion="neutral", seconds=2.0, tail_share=0.5)
    assert happy.facts["reference_keys"] == ["ada3"] and happy.facts["other_clips"] == ["ada0", "ada1", "ada2"]


@pytest.mark.parametrize(
    "options", [{"emotion": "sad"}, {"emotion": "happy", "other_emotion": "happy", "seconds": 2.0}]
)
def test_an_emotion_that_the_person_has_not_is_refused(corpus: Path, options: dict) -> None:
    with pytest.raises(PersonReferenceError, match=r"no other clip .*happy, neutral"):
        make_data(corpus, **options)


def test_the_other_clips_are_the_last_ones_whatever_the_seconds(corpus: Path) -> None:
    few, more = (make_data(corpus, seconds=s, max_other_clips=1, emotion="neutral") for s in (2.0, 4.0))
    assert few.facts["other_clips"] == more.facts["other_clips"] == ["ada2"]
    assert make_data(corpus, max_other_clips=0).others == []

import pickle

import numpy as np
import pytest
from made_up_clips import make_clip, write_corpus

from datamodules.augmentation import AudioAugmentation
from datamodules.clip_dataset import ClipStore, EvaluationClips, TrainingClips
from datamodules.collate import SpeechFaceItem
from datamodules.sample import encode_sample
from datamodules.sampler import SampleRequest
from datamodules.shard_index import ShardIndex
from datamodules.shard_writer import ShardWriter
from datamodules.windows import WindowRule

RULE = WindowRule(window_frames=20, reference_frames=(10, 15), other_clip_probability=0.5)


def _training(index: ShardIndex, seed: int = 0, augment: bool = True, cache_mb: float = 0) -> TrainingClips:
    augmentation = AudioAugmentation(noise_probability=0.5) if augment else None
    store = ClipStore(index, cache_mb)
    return TrainingClips(store, index.indices("train"), RULE, seed=seed, augmentation=augmentation)


def _same(first: SpeechFaceItem, second: SpeechFaceItem) -> bool:
    return (
        first.meta == second.meta
        and np.array_equal(first.audio, second.audio)
        and np.array_equal(first.motion.expression, second.motion.expression)
        and np.array_equal(first.reference.head, second.reference.head)
    )


def test_items_are_functions_of_seed_epoch_and_sample_not_of_history(index: ShardIndex) -> None:
    dataset = _training(index)
    expected = {sample: dataset[SampleRequest(2, 0, sample)] for sample in range(53)}
    again = _training(index, cache_mb=100)
    for sample in np.random.default_rng(0).permutation(53):
        again[SampleRequest(1, 5, int(sample))]
        assert _same(again[SampleRequest(2, 7, int(sample))], expected[sample])


@pytest.mark.parametrize("request_and_seed", [((3, 0, 40), 0), ((2, 0, 40), 1)])
def test_another_epoch_or_seed_draws_other_windows_and_sound(index: ShardIndex, request_and_seed) -> None:
    request, seed = request_and_seed
    first, second = _training(index)[SampleRequest(2, 0, 40)], _training(index, seed)[SampleRequest(*request)]
    assert first.key == second.key and not np.array_equal(first.audio, second.audio)


def test_windows_of_audio_and_motion_belong_together(index: ShardIndex) -> None:
    dataset = _training(index, augment=False)
    starts = set()
    for epoch in range(10):
        item = dataset[SampleRequest(epoch, 0, 3)]
        clip = index.read(dataset.chosen[3]).clip
        start = item.meta["start_frame"]
        starts.add(start)
        assert len(item.motion) == 20 and len(item.audio) == 640 * 20
        np.testing.assert_array_equal(item.audio, clip.audio[640 * start : 640 * (start + 20)])
        np.testing.assert_array_equal(item.motion.head, clip.motion.head[start : start + 20])
    assert len(starts) > 3


def test_the_cache_is_bounded_changes_nothing_and_stays_at_home(index: ShardIndex) -> None:
    store = ClipStore(index, cache_mb=0.5)
    for number in range(len(index)):
        np.testing.assert_array_equal(store.sample(number).clip.audio, index.read(number).clip.audio)
    kept = len(store._kept)
    assert 1 < kept < 20 and store.sample(len(index) - 1) is store.sample(len(index) - 1)
    assert len(pickle.loads(pickle.dumps(store))._kept) == 0  # noqa: S301 - what spawned workers receive


def test_evaluation_gives_whole_clips_with_a_reference_of_the_same_speaker(index: ShardIndex) -> None:
    dataset = EvaluationClips(ClipStore(index), index.indices("val"), RULE)
    speakers = {entry.key: entry.speaker for entry in index.entries}
    for place, length in enumerate(dataset.lengths):
        item = dataset[place]
        clip = index.read(dataset.chosen[place]).clip
        assert len(item.motion) == length and np.array_equal(item.audio, clip.audio)
        assert item.meta["reference_key"] != item.key and speakers[item.meta["reference_key"]] == item.speaker


def test_cached_features_are_cut_like_the_motion(tmp_path) -> None:
    clip = make_clip("a", 50)
    features = np.repeat(np.arange(50, dtype=np.float32), 2)[:, None]
    with ShardWriter(tmp_path / "c", corpus="made-up") as writer:
        writer.add(clip, features=features, units=np.repeat(np.arange(50), 4))
        writer.finish()
    dataset = _training(ShardIndex(tmp_path / "c"))
    item = dataset[SampleRequest(0, 0, 0)]
    frames = np.arange(item.meta["start_frame"], item.meta["start_frame"] + 20)
    np.testing.assert_array_equal(item.features[:, 0], np.repeat(frames, 2))
    np.testing.assert_array_equal(item.units, np.repeat(frames, 4))


def test_an_unknown_identity_is_zeros_of_the_corpus_size_and_said_so(tmp_path) -> None:
    unknown = make_clip("b", 12)
    unknown = type(unknown)("b", unknown.audio, unknown.motion.replace(identity=None, identity_space=""), unknown.meta)
    index = ShardIndex(write_corpus(tmp_path / "c", [make_clip("a", 12), unknown]))
    known_item, unknown_item = (EvaluationClips(ClipStore(index), [0, 1], RULE)[i] for i in (0, 1))
    assert known_item.identity_known and not unknown_item.identity_known
    assert unknown_item.identity.shape == (10,) and not unknown_item.identity.any()


def test_augmented_sound_keeps_its_length_and_range_and_stays_mild() -> None:
    audio = make_clip("a", 25).audio
    for key in range(20):
        changed = AudioAugmentation()(audio, np.random.default_rng(key))
        assert changed.shape == audio.shape and changed.dtype == np.float32 and np.abs(changed).max() <= 1
        gain_db = 20 * np.log10(changed.std() / audio.std())
        assert -6.5 < gain_db < 6.5 and np.corrcoef(changed, audio)[0, 1] > 0.95


def test_encoding_is_deterministic() -> None:
    assert encode_sample(make_clip("a")) == encode_sample(make_clip("a"))

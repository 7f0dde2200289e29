from pathlib import Path

import numpy as np
import pytest
from made_up_clips import make_clip, write_corpus

from datamodules.errors import ShardError
from datamodules.feature_cache import cache_features
from datamodules.shard_index import ShardIndex


def _loudness(audio: np.ndarray) -> np.ndarray:
    """Two values of three dimensions a motion frame."""
    return np.repeat(np.abs(audio.reshape(-1, 320)).mean(axis=1, keepdims=True), 3, axis=1)


def test_the_copy_holds_the_same_clips_and_their_features(corpus: Path, index: ShardIndex, tmp_path: Path) -> None:
    cache_features(corpus, tmp_path / "cached", _loudness, encoder="loudness-1", progress=False)
    cached = ShardIndex(tmp_path / "cached")
    assert sorted(e.key for e in cached.entries) == sorted(e.key for e in index.entries)
    numbers = {entry.key: number for number, entry in enumerate(index.entries)}
    for number in range(0, len(cached), 10):
        sample, original = cached.read(number), index.read(numbers[cached.entries[number].key])
        np.testing.assert_array_equal(sample.clip.audio, original.clip.audio)
        np.testing.assert_allclose(sample.features, _loudness(original.clip.audio), rtol=1e-3)
        assert sample.features is not None and sample.features.dtype == np.float32
        assert sample.clip.meta.extra == {**original.clip.meta.extra, "features_encoder": "loudness-1"}
    np.testing.assert_allclose(cached.manifest.statistics.head.std, index.manifest.statistics.head.std, rtol=1e-12)


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda audio: np.zeros((7, 3)), r"shape \(7, 3\) for clip a of 10 frames"),
        (lambda audio: np.full((10, 3), 1e6), "float16 cannot hold"),
    ],
)
def test_features_that_do_not_fit_are_refused_and_nothing_stays(encode, message: str, tmp_path: Path) -> None:
    source = write_corpus(tmp_path / "source", [make_clip("a", 10)])
    with pytest.raises(ShardError, match=message), np.errstate(over="ignore"):
        cache_features(source, tmp_path / "out", encode, encoder="x", progress=False)
    assert list((tmp_path / "out").iterdir()) == []

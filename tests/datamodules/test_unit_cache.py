"""Semantic units cached beside the clips are those that are found anew, whatever they cluster."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_clips import make_clip, write_corpus

import prepare
from datamodules.adaptation import WholePieces
from datamodules.collate import NO_UNIT, collate
from datamodules.errors import ShardError
from datamodules.feature_cache import cache_features
from datamodules.shard_index import ShardIndex
from datamodules.unit_cache import cache_units
from speech.semantic_units import UNITS_FILE, MfccContext, SemanticUnits, UnitsError, encoder_features
from speech.unit_encoders import load_unit_encoder


def units_of(encoder: str, width: int, number: int = 9) -> SemanticUnits:
    centroids = np.random.default_rng(0).normal(size=(number, width))
    return SemanticUnits(0.1 * centroids, np.full(width, 2.0), encoder)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    frames = (("a", 30), ("b", 12), ("c", 55))
    return write_corpus(tmp_path / "small", [make_clip(key, n, split="train", speaker=key) for key, n in frames])


def test_cached_units_are_those_found_anew_of_every_frame(small: Path, tmp_path: Path) -> None:
    units = units_of(MfccContext.fingerprint, MfccContext.width)
    encode = load_unit_encoder(units.encoder)
    cache_units(small, tmp_path / "out", units, encode, progress=False)
    cached, original = ShardIndex(tmp_path / "out"), ShardIndex(small)
    assert cached.manifest.made_by["semantic_units"] == units.fingerprint
    for number in range(len(cached)):
        sample, before = cached.read(number), original.read(number)
        expected = units.assign(encode(before.clip.audio), units.encoder)
        assert sample.units is not None and np.array_equal(sample.units, expected) and len(set(expected)) > 1
        assert sample.clip.meta.extra == {**before.clip.meta.extra, "semantic_units": units.fingerprint}
        assert np.array_equal(sample.clip.audio, before.clip.audio)
    assert SemanticUnits.load(tmp_path / "out" / UNITS_FILE).fingerprint == units.fingerprint


def test_a_batch_pads_them_with_what_is_no_unit(small: Path, tmp_path: Path) -> None:
    units = units_of(MfccContext.fingerprint, MfccContext.width)
    cache_units(small, tmp_path / "out", units, load_unit_encoder(units.encoder), progress=False)
    samples = ShardIndex(tmp_path / "out")
    pieces = [samples.read(i) for i in range(3)]
    whole = WholePieces(pieces, pieces[0].clip.motion)
    batch = collate([whole[i] for i in range(3)])
    assert batch.units is not None and batch.units.dtype == torch.int32
    for row, piece in zip(batch.units, pieces, strict=True):
        frames = len(piece.clip.motion)
        assert row[:frames].tolist() == piece.units.tolist() and (row[frames:] == NO_UNIT).all()


def test_features_cached_in_the_corpus_are_clustered_and_others_refused(small: Path, tmp_path: Path) -> None:
    def encode(audio: np.ndarray) -> np.ndarray:
        return np.abs(audio.reshape(-1, 80)).reshape(-1, 8, 80).mean(2)

    cache_features(small, tmp_path / "features", encode, encoder="loudness 1", progress=False)
    units = units_of("loudness 1", 4, number=5)
    cache_units(tmp_path / "features", tmp_path / "out", units, progress=False)
    sample = ShardIndex(tmp_path / "out").read(2)
    assert sample.features is not None and sample.units is not None
    assert np.array_equal(sample.units, units.assign(encoder_features(sample.features, 55), "loudness 1"))
    with pytest.raises(ShardError, match=r"of loudness 2.*are of loudness 1"):
        cache_units(tmp_path / "features", tmp_path / "no", units_of("loudness 2", 4), progress=False)
    assert not (tmp_path / "no").exists()
    with pytest.raises(UnitsError, match="'loudness 1', an encoder that is not known"):
        load_unit_encoder("loudness 1")


def test_the_verb_makes_the_copy_and_says_what_is_wrong(small: Path, tmp_path: Path, capsys) -> None:
    units = units_of(MfccContext.fingerprint, MfccContext.width)
    units.save(tmp_path / "units.safetensors")
    command = ["units", str(small), "--units", str(tmp_path / "units.safetensors"), "--out", str(tmp_path / "out")]
    assert prepare.main(command) == 0 and units.fingerprint in capsys.readouterr().out
    assert prepare.main(["check", str(tmp_path / "out")]) == 0
    command[3] = str(tmp_path / "nowhere.safetensors")
    assert prepare.main(command) == 2 and "nowhere.safetensors does not exist" in capsys.readouterr().err


def test_units_of_a_pretrained_encoder_want_its_very_weights(small: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from test_encoders import save_tiny

    from speech.encoders import load_pretrained_encoder
    from speech.semantic_units import encoder_identity

    weights = str(save_tiny(tmp_path / "hubert", "hubert"))
    encoder = load_pretrained_encoder("hubert", weights)
    audio = ShardIndex(small).read(0).clip.audio
    features = load_unit_encoder(encoder_identity(encoder), weights)(audio)
    whole = encoder(torch.from_numpy(audio)[None], torch.tensor([30]))[0]
    np.testing.assert_allclose(features, whole.unflatten(1, (2, -1)).mean(1), rtol=1e-5, atol=1e-6)
    with pytest.raises(UnitsError, match=r"of hubert hubert-0+, but hubert hubert-.* is loaded"):
        load_unit_encoder("hubert hubert-000000000000", weights)

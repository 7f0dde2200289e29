import io

import numpy as np
import pytest
from made_up_clips import make_clip

from datamodules.errors import SampleError
from datamodules.sample import decode_sample, encode_sample


def test_a_clip_survives_the_round_trip_exactly() -> None:
    clip = make_clip("a", 20, emotion="happy", intensity=2, extra={"text": "grüß dich", "phonemes": [["a", 0.1]]})
    decoded = decode_sample("a", encode_sample(clip)).clip
    np.testing.assert_array_equal(decoded.audio, clip.audio)
    for name in ("expression", "head", "jaw", "translation", "identity"):
        np.testing.assert_array_equal(getattr(decoded.motion, name), getattr(clip.motion, name))
    assert decoded.meta == clip.meta and decoded.motion.identity_space == "procedural"


def test_cached_units_and_features_survive_the_round_trip() -> None:
    units, features = np.arange(40), np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    decoded = decode_sample("a", encode_sample(make_clip("a", 20), units=units, features=features))
    np.testing.assert_array_equal(decoded.units, units)
    np.testing.assert_array_equal(decoded.features, features)


@pytest.mark.parametrize("member", ["audio.flac", "motion.npz", "meta.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "noise"])
def test_a_damaged_member_is_named_with_its_shard_and_key(member: str, damage: str) -> None:
    members = encode_sample(make_clip("a", 20))
    whole = members.pop(member)
    changed = {"empty": b"", "truncated": whole[: len(whole) // 2], "noise": bytes(range(256)) * 8}
    if damage != "missing":
        members[member] = changed[damage]
    with pytest.raises(SampleError, match=rf"shard s\.tar, sample a: .*{member}"):
        decode_sample("a", members, "s.tar")


def test_motion_that_is_not_finite_is_reported_with_its_key() -> None:
    members = encode_sample(make_clip("a", 20))
    with np.load(io.BytesIO(members["motion.npz"]), allow_pickle=False) as archive:
        arrays = dict(archive)
    arrays["head"][7, 1] = np.nan
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with pytest.raises(SampleError, match=r"sample a: motion\.npz .*head.*frame 7"):
        decode_sample("a", members | {"motion.npz": buffer.getvalue()}, "s.tar")


def test_audio_and_motion_of_different_length_are_refused() -> None:
    members = encode_sample(make_clip("a", 20)) | {"audio.flac": encode_sample(make_clip("b", 21))["audio.flac"]}
    with pytest.raises(SampleError, match="sample a: audio and motion do not belong together"):
        decode_sample("a", members)


def test_features_that_do_not_divide_into_motion_frames_are_refused() -> None:
    members = encode_sample(make_clip("a", 20), features=np.zeros((41, 8)))
    with pytest.raises(SampleError, match=r"features\.npy has shape \(41, 8\)"):
        decode_sample("a", members)


def test_pickled_arrays_are_never_loaded() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"code": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(SampleError, match=r"units\.npy cannot be used"):
        decode_sample("a", encode_sample(make_clip("a", 20)) | {"units.npy": buffer.getvalue()})

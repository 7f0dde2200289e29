import json
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_up_clips import make_corpus_clips

from datamodules.errors import SampleError, ShardError
from datamodules.manifest import Manifest
from datamodules.shard_index import ShardIndex


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus, tmp_path / "copy"))


def _change(path: Path, position: int, value: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[position : position + len(value)] = value
    path.write_bytes(data)


def test_every_sample_reads_as_it_was_written(index: ShardIndex) -> None:
    clips = {clip.key: clip for clip in make_corpus_clips()}
    assert len(index) == len(clips)
    for number, entry in enumerate(index.entries):
        read, clip = index.read(number).clip, clips[entry.key]
        np.testing.assert_array_equal(read.audio, clip.audio)
        np.testing.assert_array_equal(read.motion.head, clip.motion.head)
        np.testing.assert_array_equal(index.read_motion(number).head, clip.motion.head)
        assert (entry.split, entry.speaker, entry.num_frames) == (
            clip.meta.split,
            clip.meta.speaker,
            len(clip.motion),
        )


def test_splits_share_out_the_samples(index: ShardIndex) -> None:
    assert [len(index.indices(split)) for split in ("train", "val", "test")] == [53, 7, 6]
    with pytest.raises(ShardError, match="unknown split 'valid'"):
        index.indices("valid")


def _keys_read_in_another_process(index: ShardIndex, queue) -> None:
    queue.put([index.read(number).clip.key for number in (0, 30, 65)])


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_an_index_in_use_reads_in_other_processes_too(index: ShardIndex, start: str) -> None:
    expected = [index.read(number).clip.key for number in (0, 30, 65)]
    context = multiprocessing.get_context(start)
    queue = context.Queue()
    process = context.Process(target=_keys_read_in_another_process, args=(index, queue))
    process.start()
    assert queue.get(timeout=60) == expected
    process.join(60)
    assert [index.read(number).clip.key for number in (0, 30, 65)] == expected


def test_a_folder_without_manifest_says_how_to_make_one(copy: Path) -> None:
    (copy / "manifest.json").unlink()
    with pytest.raises(ShardError, match=r"no manifest\.json.*prepare\.py"):
        ShardIndex(copy)


def test_a_truncated_shard_is_named(copy: Path) -> None:
    path = copy / "train-000002.tar"
    path.write_bytes(path.read_bytes()[:-2048])
    with pytest.raises(ShardError, match=r"train-000002\.tar of .* bytes, .* truncated or edited"):
        ShardIndex(copy)


def test_a_renamed_shard_is_missed(copy: Path) -> None:
    (copy / "train-000002.tar").rename(copy / "train-000099.tar")
    with pytest.raises(ShardError, match=r"train-000002\.tar of .* is missing"):
        ShardIndex(copy)


def test_an_edited_manifest_is_one_sentence(copy: Path) -> None:
    path = copy / "manifest.json"
    whole = path.read_text()
    path.write_text(whole[:-100])
    with pytest.raises(ShardError, match=r"manifest\.json is damaged"):
        ShardIndex(copy)
    path.write_text(json.dumps(json.loads(whole) | {"format_version": 99}))
    with pytest.raises(ShardError, match="format version 99, this code reads 1"):
        ShardIndex(copy)
    path.write_text(json.dumps({k: v for k, v in json.loads(whole).items() if k != "space"}))
    with pytest.raises(ShardError, match=r"damaged \(KeyError: 'space'\)"):
        ShardIndex(copy)


@pytest.mark.parametrize("extension", ["audio.flac", "motion.npz", "meta.json"])
def test_a_flipped_byte_in_a_member_is_found_by_its_checksum(copy: Path, extension: str) -> None:
    index = ShardIndex(copy)
    offset, size = index.entries[20].members[extension]
    shard = copy / index.manifest.shards[index.shard_of[20]].file
    _change(shard, offset + size // 2, bytes([shard.read_bytes()[offset + size // 2] ^ 0x40]))
    problems = ShardIndex(copy).verify_checksums()
    assert len(problems) == 1 and shard.name in problems[0]


def test_a_flipped_byte_in_the_motion_is_found_when_it_is_read(copy: Path) -> None:
    index = ShardIndex(copy)
    offset, size = index.entries[20].members["motion.npz"]
    _change(copy / index.manifest.shards[index.shard_of[20]].file, offset + size // 2, b"\xff\x00\xff")
    with pytest.raises(SampleError, match=rf"{index.entries[20].key}: motion\.npz"):
        index.read(20)


def test_a_member_of_another_sample_in_its_place_is_found(copy: Path) -> None:
    index = ShardIndex(copy)
    offset, _ = index.entries[20].members["meta.json"]
    _change(copy / index.manifest.shards[index.shard_of[20]].file, offset - 512, b"clip000")
    with pytest.raises(SampleError, match=r"meta\.json is not where the index says"):
        index.read(20)


def test_a_shard_that_shrinks_while_it_is_open_is_reported(copy: Path) -> None:
    index = ShardIndex(copy)
    number = index.indices("val")[-1]
    with (copy / "val-000000.tar").open("r+b") as file:
        file.truncate(100_000)
    with pytest.raises(SampleError, match=r"val-000000\.tar, sample .* truncated"):
        index.read(number)


def test_the_fingerprint_follows_the_data_and_nothing_else(copy: Path, index: ShardIndex) -> None:
    manifest = Manifest.load(copy)
    manifest.made_by["elsewhere"] = True
    manifest.save(copy)
    assert ShardIndex(copy).fingerprint == index.fingerprint
    values = json.loads((copy / "manifest.json").read_text())
    values["shards"][1]["sha256"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(values))
    assert ShardIndex(copy).fingerprint != index.fingerprint

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from made_up_clips import make_corpus_clips

from datamodules.errors import SampleError, ShardError
from datamodules.foreign_shards import build_manifest
from datamodules.sample import encode_sample
from datamodules.shard_index import ShardIndex


def test_shards_of_webdataset_s_own_writer_are_read(tmp_path: Path) -> None:
    clips = make_corpus_clips()
    with webdataset.ShardWriter(str(tmp_path / "part-%06d.tar"), maxcount=25, encoder=False, verbose=0) as writer:
        for clip in clips:
            writer.write({"__key__": f"somewhere/{clip.key}", "thumbnail.png": b"x" * 700, **encode_sample(clip)})
    manifest = build_manifest(tmp_path)
    index = ShardIndex(tmp_path)
    assert [entry.key for entry in index.entries] == [clip.key for clip in clips]
    assert manifest.shards[-1].split == "mixed" and len(index.indices("train")) == 53
    for number in (0, 25, 65):
        np.testing.assert_array_equal(index.read(number).clip.audio, clips[number].audio)
    assert index.verify_checksums() == []


def test_a_manifest_built_from_our_shards_equals_ours(corpus: Path, index: ShardIndex, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(corpus, tmp_path / "copy"))
    (copy / "manifest.json").unlink()
    manifest = build_manifest(copy)
    assert manifest.fingerprint == index.fingerprint and manifest.entries == index.manifest.entries


def test_a_deleted_member_is_named(corpus: Path, tmp_path: Path) -> None:
    with tarfile.open(corpus / "val-000000.tar") as source, tarfile.open(tmp_path / "v.tar", "w") as target:
        for member in source:
            if member.name != "clip055.motion.npz":
                target.addfile(member, source.extractfile(member))
    with pytest.raises(SampleError, match=r"v\.tar, sample clip055: member motion\.npz is missing"):
        build_manifest(tmp_path)
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize("content", [b"", b"not a tar at all" * 100])
def test_what_is_not_a_tar_of_samples_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(ShardError, match=r"shard x\.tar"):
        build_manifest(tmp_path)


def test_an_indexed_folder_and_an_empty_one_are_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="already"):
        build_manifest(corpus)
    with pytest.raises(ShardError, match=r"no \*\.tar"):
        build_manifest(tmp_path)

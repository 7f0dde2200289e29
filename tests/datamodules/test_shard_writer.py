import hashlib
import json
import resource
import signal
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from made_up_clips import make_clip, make_corpus_clips, write_corpus

from datamodules.errors import ShardError
from datamodules.sample import decode_sample
from datamodules.shard_writer import ShardWriter


def test_webdataset_reads_our_shards_and_yields_the_same_samples(corpus: Path) -> None:
    urls = sorted(str(path) for path in corpus.glob("train-*.tar"))
    read = {sample["__key__"]: sample for sample in webdataset.WebDataset(urls, shardshuffle=False, empty_check=False)}
    expected = [clip for clip in make_corpus_clips() if clip.meta.split == "train"]
    assert len(urls) > 3 and list(read) == [clip.key for clip in expected]
    for clip in expected[::10]:
        members = {name: value for name, value in read[clip.key].items() if not name.startswith("__")}
        decoded = decode_sample(clip.key, members).clip
        np.testing.assert_array_equal(decoded.audio, clip.audio)
        np.testing.assert_array_equal(decoded.motion.expression, clip.motion.expression)


def test_the_index_equals_a_walk_through_the_tars(corpus: Path) -> None:
    manifest = json.loads((corpus / "manifest.json").read_text())
    for shard in manifest["shards"]:
        data = (corpus / shard["file"]).read_bytes()
        assert len(data) == shard["bytes"] and hashlib.sha256(data).hexdigest() == shard["sha256"]
        with tarfile.open(corpus / shard["file"]) as archive:
            walked = [(m.name, m.offset_data, m.size) for m in archive]
        indexed = [(f"{e['key']}.{name}", *place) for e in shard["index"] for name, place in e["members"].items()]
        assert indexed == walked and shard["samples"] == len(shard["index"])


def test_the_manifest_sums_up_what_was_written(corpus: Path) -> None:
    manifest = json.loads((corpus / "manifest.json").read_text())
    clips = make_corpus_clips()
    assert manifest["counts"]["total"]["clips"] == 66 and manifest["counts"]["val"]["speakers"] == 1
    assert manifest["counts"]["total"]["hours"] == pytest.approx(sum(c.motion.duration for c in clips) / 3600)
    assert manifest["splits"] == {
        "train": [f"speaker{i}" for i in range(5)],
        "val": ["vera"],
        "test": ["theo"],
    }
    assert manifest["identity"] == {"size": 10, "space": "procedural"}
    assert (manifest["space"], manifest["fps"], manifest["sample_rate"]) == ("arkit", 25, 16000)
    frames = np.concatenate([c.motion.expression for c in clips if c.meta.split == "train"]).astype(np.float64)
    np.testing.assert_allclose(manifest["statistics"]["expression"]["mean"], frames.mean(axis=0))
    np.testing.assert_allclose(manifest["statistics"]["expression"]["std"], frames.std(axis=0))


def test_the_same_clips_give_bit_identical_shards(corpus: Path, tmp_path: Path) -> None:
    again = write_corpus(tmp_path / "again")
    for path in corpus.glob("*.tar"):
        assert (again / path.name).read_bytes() == path.read_bytes()


def _write(out: Path, *clips) -> None:
    with ShardWriter(out, corpus="made-up") as writer:
        for clip in clips:
            writer.add(clip)
        writer.finish()


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (make_clip("a"), "key 'a' is used twice"),
        (make_clip("b", split="test"), "speaker 'ada' is in split train and, by clip b, in test"),
        (make_clip("x" * 90), "at most 86"),
    ],
)
def test_a_clip_that_does_not_fit_is_refused_and_nothing_stays(second, message: str, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=message):
        _write(tmp_path / "out", make_clip("a"), second)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_empty_corpus_and_a_used_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no clip was written"):
        _write(tmp_path / "out")
    _write(tmp_path / "out", make_clip("a"))
    with pytest.raises(ShardError, match="already holds a corpus"):
        _write(tmp_path / "out", make_clip("b"))


def test_a_full_disk_is_one_sentence_and_leaves_no_shard(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    asked = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        with pytest.raises(ShardError) as refused:
            write_corpus(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, asked)
    assert str(refused.value).startswith("cannot write") and "\n" not in str(refused.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_no_space_left_on_the_device_names_the_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *_, **__: FullDisk())
    with pytest.raises(ShardError, match=r"cannot write .*train-000000\.tar: No space left on device; free space"):
        _write(tmp_path / "out", make_clip("a"))

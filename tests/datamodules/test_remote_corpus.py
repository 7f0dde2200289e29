"""A corpus behind an address serves what the same folder serves."""

import gc
import os
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
from faulty_server import FaultyServer

from datamodules.errors import ShardError
from datamodules.shard_check import check_shards
from datamodules.shard_files import RemoteOptions
from datamodules.shard_index import ShardIndex
from datamodules.speech_face import SpeechFaceDataModule
from runtime.compose import compose
from runtime.run_folder import identity

OPTIONS = {"global_batch": 12, "window_frames": 20, "reference_frames": (10, 15), "shuffle_window": 2}


@pytest.fixture
def server(corpus: Path) -> Iterator[FaultyServer]:
    with FaultyServer(corpus) as running:
        yield running


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "persona-faces" / "shards"


def _local(corpus: Path, **options) -> SpeechFaceDataModule:
    return SpeechFaceDataModule(root=str(corpus), **OPTIONS | options)


def _remote(address: str, **options) -> SpeechFaceDataModule:
    return SpeechFaceDataModule(root=address, **OPTIONS | {"fetch_stall_seconds": 20.0, "fetch_retries": 2} | options)


def _same(one, other) -> bool:
    return (
        one.keys == other.keys
        and one.metas == other.metas
        and torch.equal(one.audio, other.audio)
        and torch.equal(one.expression, other.expression)
        and torch.equal(one.reference_expression, other.reference_expression)
    )


def _assert_same_loaders(one, other) -> None:
    pairs = list(zip(one, other, strict=True))
    assert pairs
    assert all(_same(first, second) for first, second in pairs)


def _shard_files(corpus: Path) -> set[str]:
    return {path.name for path in corpus.glob("*.tar")}


@pytest.mark.parametrize("workers", [0, 2])
def test_training_and_validation_batches_are_those_of_the_folder(
    corpus: Path, server: FaultyServer, workers: int
) -> None:
    local, remote = _local(corpus), _remote(server.url, workers=workers)
    assert remote.fingerprint == local.fingerprint
    assert remote.facts == local.facts
    _assert_same_loaders(local.train_dataloader(), remote.train_dataloader())
    _assert_same_loaders(local.evaluation_dataloader("val"), remote.evaluation_dataloader("val"))
    assert {server.requests[file] for file in _shard_files(corpus) if server.requests[file]} == {1}


@pytest.mark.slow
def test_spawned_workers_get_the_same_batches(corpus: Path, server: FaultyServer) -> None:
    remote = _remote(server.url, workers=2, worker_start="spawn")
    _assert_same_loaders(_local(corpus).train_dataloader(), remote.train_dataloader())


def test_batches_are_the_same_over_a_server_that_fails_and_a_cache_that_holds_little(
    corpus: Path, server: FaultyServer
) -> None:
    for file, fault in zip(sorted(corpus.glob("train-*.tar")), ("drop", "wrong", 503), strict=False):
        server.faults[file.name].append(fault)
    limit = max(path.stat().st_size for path in corpus.glob("*.tar")) * 1.5 / 1e9
    remote = _remote(server.url, shard_cache_gb=limit, workers=1)
    _assert_same_loaders(_local(corpus).train_dataloader(), remote.train_dataloader())


def test_a_resumed_epoch_is_fetched_from_its_position_on(corpus: Path, server: FaultyServer) -> None:
    own_clips_only = {"window_frames": 4, "reference_frames": (1, 1), "other_clip_probability": 0.0}
    local, remote = _local(corpus, **own_clips_only), _remote(server.url, **own_clips_only)
    for datamodule in (local, remote):
        datamodule.load_state_dict(datamodule.state_dict() | {"consumed": 36})
    loader = remote.train_dataloader()
    needed = {number for batch in loader.batch_sampler.batches for r in batch for number in loader.dataset.shards(r)}
    assert len(needed) < sum(shard.split == "train" for shard in remote.index.manifest.shards), "this shows nothing"
    _assert_same_loaders(local.train_dataloader(), loader)
    fetched = {file for file in server.requests if file.endswith(".tar")}
    assert fetched == {remote.index.manifest.shards[number].file for number in needed}


@pytest.mark.parametrize("how", ["memory", "pipe"])
def test_other_addresses_serve_the_same(corpus: Path, how: str) -> None:
    address = f"pipe:cat {corpus}/{{}}"
    if how == "memory":
        from fsspec.implementations.memory import MemoryFileSystem

        address = "memory://corpora/made up"
        for path in corpus.iterdir():
            if path.is_file():
                with MemoryFileSystem().open(f"/corpora/made up/{path.name}", "wb") as file:
                    file.write(path.read_bytes())
    # What lies in this process's memory is not in that of a worker, which fetches what was not fetched ahead.
    workers = 0 if how == "memory" else 1
    _assert_same_loaders(_local(corpus).train_dataloader(), _remote(address, workers=workers).train_dataloader())


def _assert_prefetching_ends() -> None:
    gc.collect()  # an abandoned loader is a cycle, and the collector of a test run is in no hurry
    deadline = time.monotonic() + 60
    while any(thread.name == "shard prefetch" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the thread goes on"
        time.sleep(0.01)


def _error_of(loader) -> str:
    iterator = iter(loader)
    try:
        list(iterator)
    except ShardError as error:  # unlike pytest.raises, which keeps the frames and with them the loader alive
        return str(error)
    finally:
        if loader.num_workers:
            iterator._shutdown_workers()
    raise AssertionError("no error")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_cannot_be_fetched_is_an_error_of_training_and_no_hang(
    corpus: Path, server: FaultyServer, workers: int
) -> None:
    remote = _remote(server.url, workers=workers, fetch_retries=0)
    for file in _shard_files(corpus):
        server.always[file] = 503
    assert "HTTP 503" in _error_of(remote.train_dataloader())
    if not workers:  # with workers the library's own error keeps the loader for the garbage collector
        _assert_prefetching_ends()


def test_ending_early_ends_the_prefetching(corpus: Path, server: FaultyServer) -> None:
    loader = iter(_remote(server.url).train_dataloader())
    list(islice(loader, 2))
    del loader
    _assert_prefetching_ends()


def test_a_copy_that_was_damaged_in_the_cache_is_fetched_again(
    corpus: Path, server: FaultyServer, cache_of_its_own: Path
) -> None:
    index, truth = ShardIndex(server.url), ShardIndex(corpus)
    expected = truth.read(0).clip
    assert (index.read(0).clip.audio == expected.audio).all()
    shard = index.manifest.shards[0]
    cached = cache_of_its_own / f"{shard.sha256}.tar"
    cached.write_bytes(bytes(shard.bytes))
    assert (index.read(0).clip.audio == expected.audio).all()
    cached.write_bytes(bytes(shard.bytes))
    assert (index.read_motion(0).head == expected.motion.head).all()
    assert server.requests[shard.file] == 3


def test_the_manifest_is_fetched_anew_by_each_start(corpus: Path, server: FaultyServer) -> None:
    first = ShardIndex(server.url)
    again = ShardIndex(server.url)
    assert server.requests["manifest.json"] == 2
    assert first.root == again.root != corpus
    assert (first.root / "manifest.json").read_bytes() == (corpus / "manifest.json").read_bytes()


def test_an_address_without_a_corpus_is_one_clear_error(server: FaultyServer) -> None:
    with pytest.raises(ShardError, match=r"nothing/manifest\.json cannot be fetched.*check data\.root"):
        ShardIndex(f"{server.url}/nothing")


def test_an_address_can_be_checked_to_the_last_byte(corpus: Path, server: FaultyServer) -> None:
    report = check_shards(server.url)
    assert report.ok
    assert report.clips_read == len(ShardIndex(corpus))
    assert {file for file in server.requests if file.endswith(".tar")} == _shard_files(corpus)


def test_statistics_of_other_choices_are_kept_beside_the_cached_manifest(corpus: Path, server: FaultyServer) -> None:
    options = {"test_speakers": ["speaker0"], "val_speakers": ["speaker1"]}
    local, remote = _local(corpus, **options), _remote(server.url, **options)
    assert remote.motion_statistics.to_dict() == local.motion_statistics.to_dict()
    assert list(remote.index.root.glob("statistics-*.json"))


def test_how_shards_are_fetched_makes_no_other_run() -> None:
    keys = {
        "data.shard_cache": "elsewhere",
        "data.shard_cache_gb": 1.5,
        "data.prefetch_shards": 2,
        "data.fetch_retries": 9,
        "data.fetch_stall_seconds": 1.0,
        "data.root": "https://host/corpus",
    }
    plain = compose("expression_pretraining", [])
    changed = compose("expression_pretraining", [f"{key}={value}" for key, value in keys.items()])
    assert identity(plain, "data") == identity(changed, "data")
    assert changed.data.fetch_retries == 9


@pytest.mark.parametrize(
    ("option", "value"),
    [("shard_cache_gb", 0), ("fetch_retries", -1), ("fetch_stall_seconds", 0), ("prefetch_shards", -1)],
)
def test_impossible_options_are_refused(corpus: Path, option: str, value: float) -> None:
    with pytest.raises(ShardError, match=f"data.{option}={value}"):
        _local(corpus, **{option: value})


def test_an_abandoned_manifest_is_removed(server: FaultyServer, cache_of_its_own: Path) -> None:
    folder = ShardIndex(server.url).root
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    abandoned = folder / f"manifest.json.{process}.tmp"
    abandoned.write_bytes(b"{")
    ShardIndex(server.url, RemoteOptions())
    assert not abandoned.exists()

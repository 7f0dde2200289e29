import errno
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from faulty_server import FaultyServer
from made_up_shards import make_shard

from datamodules import shard_cache
from datamodules.errors import ShardError
from datamodules.manifest import ShardEntry
from datamodules.shard_cache import ShardCache, release
from datamodules.shard_fetch import RetryRule, fetch
from datamodules.shard_source import make_source

SIZE = 100_000
SHARDS = [make_shard(f"train-{number:06d}.tar", SIZE) for number in range(6)]
CONTENTS = {shard.file: content for shard, content in SHARDS}
WAIT_SECONDS = 60


class Fills:
    """Fills shards from memory and counts them."""

    def __init__(self) -> None:
        self.files: list[str] = []

    def __call__(self, shard: ShardEntry) -> Callable[[BinaryIO], None]:
        def fill(file: BinaryIO) -> None:
            self.files.append(shard.file)
            file.write(CONTENTS[shard.file])

        return fill


@pytest.fixture
def fills() -> Fills:
    return Fills()


def _read(cache: ShardCache, number: int, fills: Fills) -> bytes:
    shard = SHARDS[number][0]
    with cache.reading(shard, fills(shard)) as handle:
        return os.pread(handle, 2 * SIZE, 0)


def _cached(cache: ShardCache) -> set[int]:
    return {number for number, (shard, _) in enumerate(SHARDS) if (cache.folder / f"{shard.sha256}.tar").exists()}


def test_a_shard_is_fetched_once_and_read_from_the_cache_after(tmp_path: Path, fills: Fills) -> None:
    cache = ShardCache(tmp_path, 10 * SIZE)
    assert _read(cache, 0, fills) == _read(cache, 0, fills) == _read(ShardCache(tmp_path, 10 * SIZE), 0, fills)
    assert _read(cache, 0, fills) == SHARDS[0][1]
    assert fills.files == [SHARDS[0][0].file]


def test_the_shard_used_longest_ago_makes_room(tmp_path: Path, fills: Fills) -> None:
    cache = ShardCache(tmp_path, 3 * SIZE)
    for number in (0, 1, 2):
        _read(cache, number, fills)
    _read(cache, 0, fills)
    _read(cache, 3, fills)
    assert _cached(cache) == {0, 2, 3}
    _read(cache, 4, fills)
    assert _cached(cache) == {0, 3, 4}


def test_a_shard_that_is_read_or_held_is_never_removed(tmp_path: Path, fills: Fills) -> None:
    cache = ShardCache(tmp_path, 3 * SIZE)
    held = cache.hold(SHARDS[0][0], fills(SHARDS[0][0]))
    assert held is not None
    with cache.reading(SHARDS[1][0], fills(SHARDS[1][0])):
        for number in (2, 3, 4):
            _read(cache, number, fills)
        assert _cached(cache) == {0, 1, 4}
    release(held)
    for number in (2, 3, 5):
        _read(cache, number, fills)
    assert _cached(cache) == {2, 3, 5}


def test_holding_ahead_of_need_waits_for_room_and_never_exceeds_the_bound(tmp_path: Path, fills: Fills) -> None:
    cache = ShardCache(tmp_path, 2 * SIZE)
    held = [cache.hold(shard, fills(shard)) for shard, _ in SHARDS[:4]]
    assert [handle is not None for handle in held] == [True, True, False, False]
    assert _cached(cache) == {0, 1}
    release(held[0])
    assert cache.hold(SHARDS[2][0], fills(SHARDS[2][0])) is not None
    assert _cached(cache) == {1, 2}


def test_one_shard_that_is_needed_now_is_let_in_above_the_bound_and_said_once(
    tmp_path: Path, fills: Fills, caplog
) -> None:
    cache = ShardCache(tmp_path, SIZE // 2)
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            assert _read(cache, number, fills) == SHARDS[number][1]
            assert _cached(cache) == {number}
    assert ["data.shard_cache_gb" in message for message in caplog.messages] == [True]


def test_a_second_shard_above_the_bound_waits_for_the_first(tmp_path: Path, fills: Fills, monkeypatch) -> None:
    monkeypatch.setattr(shard_cache, "PATIENCE_SECONDS", 0.3)
    cache = ShardCache(tmp_path, SIZE)
    shards = [shard for shard, _ in SHARDS[:3]]
    with cache.reading(shards[0], fills(shards[0])), cache.reading(shards[1], fills(shards[1])):
        begin = time.monotonic()
        with cache.reading(shards[2], fills(shards[2])):
            assert time.monotonic() - begin >= 0.3
            assert _cached(cache) == {0, 1, 2}


@pytest.mark.parametrize("change", [lambda data: data[:-100], lambda data: b"", lambda data: data + b"x"])
def test_a_cached_file_of_another_size_is_fetched_again(tmp_path: Path, fills: Fills, caplog, change) -> None:
    cache = ShardCache(tmp_path, 10 * SIZE)
    _read(cache, 0, fills)
    path = tmp_path / f"{SHARDS[0][0].sha256}.tar"
    path.write_bytes(change(path.read_bytes()))
    assert _read(cache, 0, fills) == SHARDS[0][1]
    assert len(fills.files) == 2
    assert "is damaged" in caplog.text


def test_a_cached_file_of_other_content_is_found_when_it_is_looked_at(tmp_path: Path, fills: Fills) -> None:
    cache = ShardCache(tmp_path, 10 * SIZE)
    _read(cache, 0, fills)
    assert not cache.discard_if_damaged(SHARDS[0][0])
    path = tmp_path / f"{SHARDS[0][0].sha256}.tar"
    path.write_bytes(b"?" + path.read_bytes()[1:])
    assert cache.discard_if_damaged(SHARDS[0][0])
    assert _read(cache, 0, fills) == SHARDS[0][1]


@pytest.mark.parametrize("error", [ShardError("no network"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_failed_fetch_leaves_nothing(tmp_path: Path, fills: Fills, error: Exception) -> None:
    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    cache = ShardCache(tmp_path, 10 * SIZE)
    with (
        pytest.raises(ShardError, match=r"no network|No space left.*data\.shard_cache"),
        cache.reading(SHARDS[0][0], fail),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["bound.lock"]
    assert _read(cache, 0, fills) == SHARDS[0][1]


def test_files_of_others_in_the_folder_stay(tmp_path: Path, fills: Fills) -> None:
    (tmp_path / "train-000000.tar").write_bytes(b"mine")
    (tmp_path / "movie.part").write_bytes(b"mine too")
    cache = ShardCache(tmp_path, SIZE)
    for number in range(3):
        _read(cache, number, fills)
    assert (tmp_path / "train-000000.tar").exists() and (tmp_path / "movie.part").exists()


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path, fills: Fills) -> None:
    shard = ShardEntry("a.tar", "train", 1, 10, "../../etc/passwd", [])
    cache = ShardCache(tmp_path / "cache", SIZE)
    with pytest.raises(ShardError, match="is none"), cache.reading(shard, fills(shard)):
        pass


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShardError, match=r"cannot be used.*data\.shard_cache"):
        ShardCache(tmp_path / "file" / "cache", SIZE)


def test_a_forked_child_keeps_no_hold_that_its_parent_has_let_go(tmp_path: Path, fills: Fills) -> None:
    cache = ShardCache(tmp_path, SIZE)
    held = cache.hold(SHARDS[0][0], fills(SHARDS[0][0]))
    assert held is not None
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"!")
        os.read(done[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        assert cache.hold(SHARDS[1][0], fills(SHARDS[1][0])) is None, "the parent's hold ended with the fork"
        release(held)
        assert cache.hold(SHARDS[1][0], fills(SHARDS[1][0])) is not None
    finally:
        os.write(done[1], b"!")
        os.waitpid(child, 0)


def _fetch_through(cache: ShardCache, address: str, shard: ShardEntry) -> bytes:
    def fill(file: BinaryIO) -> None:
        fetch(make_source(address, WAIT_SECONDS), shard.file, file, expected=shard, rule=RetryRule(first_delay=0.01))

    with cache.reading(shard, fill) as handle:
        return os.pread(handle, 2 * shard.bytes, 0)


def _read_all(folder: Path, limit: int, address: str, order: list[int], answers) -> None:
    cache = ShardCache(folder, limit)
    answers.put([_fetch_through(cache, address, SHARDS[number][0]) == SHARDS[number][1] for number in order])


@pytest.mark.parametrize("limit", [10, 2])
def test_processes_share_a_cache(tmp_path: Path, limit: int) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    orders = [[0, 1, 2, 3, 4, 5, 0, 1], [0, 1, 2, 3, 4, 5, 0, 1], [5, 4, 3, 2, 1, 0, 5, 4]]
    with FaultyServer(CONTENTS) as server:
        server.faults[SHARDS[0][0].file].append("drop")
        readers = [
            context.Process(target=_read_all, args=(tmp_path, limit * SIZE, server.url, order, answers))
            for order in orders
        ]
        for reader in readers:
            reader.start()
        most = 0
        while any(reader.is_alive() for reader in readers) and answers.qsize() < len(orders):
            most = max(most, _used(tmp_path))
            time.sleep(0.005)
        most = max(most, _used(tmp_path))
        assert [answers.get(timeout=WAIT_SECONDS) for _ in orders] == [[True] * 8] * 3
        for reader in readers:
            reader.join(WAIT_SECONDS)
        if limit == 10:
            assert server.requests == {shard.file: 2 if number == 0 else 1 for number, (shard, _) in enumerate(SHARDS)}
    # A folder's listing is no snapshot: one file may be counted in both of its states.
    assert 0 < most <= (limit + 2) * SIZE
    assert _used(tmp_path) <= (limit + 1) * SIZE
    assert not list(tmp_path.glob("*.part"))


def _used(folder: Path) -> int:
    sizes = {}
    for path in folder.glob("*.*"):
        try:
            sizes[path.stem] = path.stat().st_size
        except FileNotFoundError:
            continue
    return sum(sizes.values())


def _read_one(folder: Path, address: str) -> None:
    _fetch_through(ShardCache(folder, 10 * SIZE), address, SHARDS[0][0])


def test_a_process_killed_while_fetching_leaves_no_lock_and_its_part_is_removed_by_the_next(
    tmp_path: Path, fills: Fills
) -> None:
    with FaultyServer(CONTENTS) as server:
        server.faults[SHARDS[0][0].file].append("stall")
        victim = multiprocessing.get_context("fork").Process(target=_read_one, args=(tmp_path, server.url))
        victim.start()
        assert server.stalled.wait(WAIT_SECONDS)
        assert victim.pid is not None
        assert len(list(tmp_path.glob("*.part"))) == 1
        ShardCache(tmp_path, 10 * SIZE)
        assert len(list(tmp_path.glob("*.part"))) == 1, "the part of a living process was removed"
        os.kill(victim.pid, signal.SIGKILL)
        victim.join(WAIT_SECONDS)
        cache = ShardCache(tmp_path, 10 * SIZE)
        assert not list(tmp_path.glob("*.part"))
        assert _fetch_through(cache, server.url, SHARDS[0][0]) == SHARDS[0][1]


def test_who_waits_for_a_killed_process_fetches_the_shard_itself(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with FaultyServer(CONTENTS) as server:
        server.faults[SHARDS[0][0].file].append("stall")
        victim = context.Process(target=_read_one, args=(tmp_path, server.url))
        victim.start()
        assert server.stalled.wait(WAIT_SECONDS)
        waiter = context.Process(target=_read_all, args=(tmp_path, 10 * SIZE, server.url, [0], answers))
        waiter.start()
        time.sleep(0.2)
        assert answers.empty() and server.requests[SHARDS[0][0].file] == 1
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        assert answers.get(timeout=WAIT_SECONDS) == [True]
        waiter.join(WAIT_SECONDS)
        victim.join(WAIT_SECONDS)


def test_content_reaches_the_file_system_before_its_name(tmp_path: Path, fills: Fills, monkeypatch) -> None:
    happened = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (happened.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda self, target: (happened.append("name"), replace(self, target))[1])
    _read(ShardCache(tmp_path, 10 * SIZE), 0, fills)
    assert happened == ["fsync", "name"]

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_up_shards import make_shard

from datamodules.errors import ShardError
from datamodules.manifest import ShardEntry
from datamodules.shard_cache import ShardCache
from datamodules.shard_fetch import FetchStoppedError
from datamodules.shard_prefetch import PrefetchingSampler, ShardPrefetcher, fetching_ahead
from datamodules.speech_face import SpeechFaceDataModule

SIZE = 1000
SHARDS = [make_shard(f"train-{number:06d}.tar", SIZE) for number in range(12)]
ENTRIES = [entry for entry, _ in SHARDS]
DEADLINE_SECONDS = 60


class MadeUpFiles:
    """Stands in for RemoteFiles: remembers the order of fetches; `failing` ones raise, `closed` gates wait."""

    def __init__(self, folder: Path, limit: int = 100 * SIZE, failing: set[int] | None = None) -> None:
        self.cache = ShardCache(folder, limit)
        self.fetched: list[int] = []
        self.failing = failing or set()
        self.gate = threading.Event()
        self.gate.set()

    def hold(self, shard: ShardEntry, stop: threading.Event) -> int | None:
        def fill(file) -> None:
            number = ENTRIES.index(shard)
            while not self.gate.wait(0.01):
                if stop.is_set():
                    raise FetchStoppedError("stopped")
            self.fetched.append(number)
            if number in self.failing:
                raise ShardError(f"no shard {number}")
            file.write(SHARDS[number][1])

        return self.cache.hold(shard, fill)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable]:
    started = []

    def begin(budget: int = 100 * SIZE, **options) -> tuple[MadeUpFiles, ShardPrefetcher]:
        files = MadeUpFiles(tmp_path, **options)
        started.append(ShardPrefetcher(files, ENTRIES, budget))  # type: ignore[arg-type]
        return files, started[-1]

    yield begin
    for prefetcher in started:
        prefetcher.stop()


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.005)


def test_shards_are_fetched_in_the_order_of_need_and_held(start) -> None:
    files, prefetcher = start()
    prefetcher.want([3, 1, 4])
    _wait_until(lambda: prefetcher.held == {3, 1, 4})
    assert files.fetched == [3, 1, 4]


def test_what_is_no_longer_wanted_is_let_go_and_may_be_removed(start) -> None:
    files, prefetcher = start(limit=2 * SIZE)
    prefetcher.want([0, 1])
    _wait_until(lambda: prefetcher.held == {0, 1})
    prefetcher.want([1, 2])
    _wait_until(lambda: prefetcher.held == {1, 2})
    assert files.fetched == [0, 1, 2]


def test_no_more_is_held_than_the_budget_but_always_one(start) -> None:
    files, prefetcher = start(budget=2 * SIZE)
    prefetcher.want([5, 6, 7, 8])
    _wait_until(lambda: prefetcher.held == {5, 6})
    prefetcher.want([7, 8])
    _wait_until(lambda: prefetcher.held == {7, 8})
    assert files.fetched == [5, 6, 7, 8]


def test_a_shard_larger_than_the_budget_is_still_held(start) -> None:
    _, prefetcher = start(budget=1)
    prefetcher.want([5, 6])
    _wait_until(lambda: prefetcher.held == {5})


def test_it_holds_what_a_full_cache_did_not_take_once_there_is_room(start, tmp_path: Path) -> None:
    from datamodules.shard_cache import release

    files, prefetcher = start(limit=SIZE)
    other = ShardCache(tmp_path, SIZE).hold(ENTRIES[9], lambda file: file.write(SHARDS[9][1]))
    assert other is not None
    prefetcher.want([0])
    time.sleep(0.1)
    assert not files.fetched
    release(other)
    _wait_until(lambda: prefetcher.held == {0})


def test_a_shard_that_cannot_be_fetched_is_left_out_and_said(start, caplog) -> None:
    files, prefetcher = start(failing={1})
    prefetcher.want([0, 1, 2])
    _wait_until(lambda: prefetcher.held == {0, 2})
    prefetcher.want([1, 2, 3])
    _wait_until(lambda: prefetcher.held == {2, 3})
    assert files.fetched == [0, 1, 2, 3]
    assert "no shard 1" in caplog.text


def test_stopping_ends_the_thread_in_the_middle_of_a_fetch_and_lets_go(start) -> None:
    files, prefetcher = start()
    prefetcher.want([0])
    _wait_until(lambda: prefetcher.held == {0})
    files.gate.clear()
    prefetcher.want([0, 1])
    prefetcher.stop()
    _wait_until(lambda: not any(thread is prefetcher._thread for thread in threading.enumerate()))
    assert prefetcher.held == set()
    assert not list(files.cache.folder.glob("*.part"))


def test_a_prefetcher_that_finishes_fetches_what_is_wanted_first(start) -> None:
    files, prefetcher = start()
    files.gate.clear()
    prefetcher.want([0, 1, 2])
    prefetcher.finish()
    files.gate.set()
    _wait_until(lambda: not prefetcher._thread.is_alive())
    assert files.fetched == [0, 1, 2]
    assert prefetcher.held == set()


def test_a_forked_copy_of_a_prefetcher_stops_nothing(start) -> None:
    _, prefetcher = start()
    prefetcher.want([0])
    _wait_until(lambda: prefetcher.held == {0})
    child = os.fork()
    if child == 0:
        prefetcher.stop()
        os._exit(0)
    os.waitpid(child, 0)
    prefetcher.want([0, 1])
    _wait_until(lambda: prefetcher.held == {0, 1})


class _Recorder:
    """Stands in for a prefetcher."""

    def __init__(self) -> None:
        self.wanted: list[list[int]] = []
        self.ended = ""

    def want(self, shards: list[int]) -> None:
        self.wanted.append(list(shards))

    def finish(self) -> None:
        self.ended = "finished"

    def stop(self) -> None:
        self.ended = "stopped"


def _sampler(batches, recorder: _Recorder, ahead: int = 3, in_flight: int = 1) -> PrefetchingSampler:
    return PrefetchingSampler(batches, lambda request: request, lambda: recorder, ahead=ahead, in_flight=in_flight)  # type: ignore[arg-type,return-value]


def test_batches_pass_unchanged_and_shards_are_wanted_in_order_before_they_are_needed() -> None:
    recorder = _Recorder()
    batches = [[(0, 5)], [(1, 5)], [(2, 6), (2, 7)], [(3, 3)], [(0, 1)]]
    sampler = _sampler(batches, recorder)
    assert len(sampler) == 5
    assert list(sampler) == batches
    assert recorder.wanted[0] == [0, 5, 1]
    for step, batch in enumerate(batches):
        assert {shard for request in batch for shard in request} <= set(recorder.wanted[step])
    assert recorder.ended == "finished"


def test_shards_of_batches_that_may_still_be_read_stay_wanted() -> None:
    recorder = _Recorder()
    batches = [[(number,)] for number in range(10)]
    iterator = iter(_sampler(batches, recorder, ahead=5, in_flight=3))
    for _ in range(6):
        next(iterator)
    assert recorder.wanted[-1][:3] == [2, 3, 4]
    assert 5 in recorder.wanted[-1]
    iterator.close()  # type: ignore[attr-defined]
    assert recorder.ended == "stopped"


def test_an_endless_order_over_few_shards_is_not_drawn_for_ever() -> None:
    drawn = []

    def endless() -> Iterator[list]:
        while True:
            drawn.append(1)
            yield [(0,)]

    next(iter(_sampler(endless(), _Recorder())))
    assert 0 < len(drawn) < 1000


def test_a_local_corpus_is_not_fetched_ahead(corpus: Path) -> None:
    datamodule = SpeechFaceDataModule(root=str(corpus), global_batch=4)
    sampler = datamodule.train_dataloader().batch_sampler
    assert fetching_ahead(sampler, datamodule.index, lambda request: (), ahead=4, in_flight=1) is sampler
    assert not isinstance(sampler, PrefetchingSampler)

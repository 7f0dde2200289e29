"""Fetches the shards of the coming batches in the background, in the order in which they will be needed."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from torch.utils.data import Sampler

from datamodules.errors import ShardError
from datamodules.manifest import ShardEntry
from datamodules.shard_cache import release
from datamodules.shard_fetch import FetchStoppedError
from datamodules.shard_files import RemoteFiles
from datamodules.shard_index import ShardIndex

log = logging.getLogger(__name__)
Request = TypeVar("Request")
# What each batch needs is drawn ahead at most this far: a corpus of few shards would be drawn ahead for ever.
MOST_BATCHES_AHEAD = 256
# While another process fetches a shard, or the cache is full of shards in use.
POLL_SECONDS = 0.2
STOP_SECONDS = 2.0


def fetching_ahead(
    batches: Sampler[list[Request]],
    index: ShardIndex,
    shards_of: Callable[[Request], Iterable[int]],
    *,
    ahead: int,
    in_flight: int,
) -> Sampler[list[Request]]:
    """`batches` as a `PrefetchingSampler` where the index is remote and `ahead` is not 0, else as they are.

    Each loader, of which a rank iterates two at times, holds at most its share of a quarter of the cache: what is
    needed now finds room, also beside another run.
    """
    files, shards = index.files, index.manifest.shards
    if not isinstance(files, RemoteFiles) or not ahead:
        return batches
    budget = files.cache.limit_bytes // (4 * int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return PrefetchingSampler(
        batches, shards_of, lambda: ShardPrefetcher(files, shards, budget), ahead=ahead, in_flight=in_flight
    )


class ShardPrefetcher:
    """A thread that holds the shards that are wanted next, fetching those that are not in the cache.

    `want(shards)` says which, the most urgent first; together they hold at most `budget_bytes` of the cache (one
    shard always). A shard that cannot be fetched is left out with a warning: whoever reads it tries again and
    raises. The end of the thread lets go of everything.
    """

    def __init__(self, files: RemoteFiles, shards: Sequence[ShardEntry], budget_bytes: int) -> None:
        self._files = files
        self._shards = shards
        self._budget = budget_bytes
        self._wanted: list[int] = []
        self._held: dict[int, int] = {}
        self._failed: set[int] = set()
        self._stop = threading.Event()
        self._ends = False
        self._news = threading.Condition()
        self._owner = os.getpid()
        self._thread = threading.Thread(target=self._run, name="shard prefetch", daemon=True)
        self._thread.start()

    def want(self, shards: Sequence[int]) -> None:
        """Numbers of the shards that are or will be read, in order of need; replaces what was wanted before."""
        with self._news:
            if list(shards) != self._wanted:
                self._wanted = list(shards)
                self._news.notify()

    @property
    def held(self) -> set[int]:
        """Numbers of the shards that are in the cache and stay there."""
        return set(self._held)

    def finish(self) -> None:
        """Nothing else will be wanted: the thread ends once it has fetched what is."""
        with self._news:
            self._ends = True
            self._news.notify()

    def stop(self) -> None:
        """End the thread, also in the middle of a fetch."""
        if os.getpid() != self._owner:  # a forked worker's copy: thread and handles are the parent's
            return
        self._stop.set()
        with self._news:
            self._news.notify()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                with self._news:
                    wanted = self._wanted
                waits_for_others = self._serve(wanted)
                with self._news:
                    if self._ends and self._wanted is wanted:
                        break
                    if not self._stop.is_set() and self._wanted is wanted:
                        self._news.wait(POLL_SECONDS if waits_for_others else None)
        finally:
            for handle in self._held.values():
                release(handle)
            self._held = {}

    def _serve(self, wanted: list[int]) -> bool:
        """Hold as many of `wanted` as fit; True where some could not be held yet."""
        for number in set(self._held) - set(wanted):
            release(self._held.pop(number))
        waits = False
        for number in wanted:
            if self._stop.is_set() or self._wanted is not wanted:
                return False
            if number in self._held or number in self._failed:
                continue
            if self._held and self._bytes_held() + self._shards[number].bytes > self._budget:
                return waits
            waits |= not self._hold(number)
        return waits

    def _hold(self, number: int) -> bool:
        try:
            handle = self._files.hold(self._shards[number], self._stop)
        except FetchStoppedError:
            return True
        except ShardError as error:
            log.warning("not fetched ahead, to be tried again when it is needed: %s", error)
            self._failed.add(number)
            return True
        if handle is None:
            return False
        self._held[number] = handle
        return True

    def _bytes_held(self) -> int:
        return sum(self._shards[number].bytes for number in self._held)


class PrefetchingSampler(Sampler[list[Request]]):
    """The batches of another batch sampler, unchanged, while the shards of those to come are fetched.

    `shards_of(request)` are the shards that a sample is made of. Up to `ahead` different shards are wanted at a
    time, those of the last `in_flight` batches, which may still be being read, among them. Iterating makes a
    prefetcher by `start()`, which ends with the iterator.
    """

    def __init__(
        self,
        batches: Sampler[list[Request]],
        shards_of: Callable[[Request], Iterable[int]],
        start: Callable[[], ShardPrefetcher],
        *,
        ahead: int,
        in_flight: int,
    ) -> None:
        self.batches = batches
        self._shards_of = shards_of
        self._start = start
        self._ahead = ahead
        self._in_flight = in_flight

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[Request]]:
        prefetcher = self._start()
        try:
            window: deque[tuple[list[Request], dict[int, None]]] = deque()
            in_flight: deque[dict[int, None]] = deque(maxlen=self._in_flight)
            source = iter(self.batches)
            while True:
                wanted = self._fill(window, in_flight, source)
                if not window:
                    prefetcher.finish()  # the last batches are still being read
                    return
                prefetcher.want(wanted)
                batch, shards = window.popleft()
                in_flight.append(shards)
                yield batch
        except BaseException:  # GeneratorExit, when whoever iterates goes away, among them
            prefetcher.stop()
            raise

    def _fill(self, window: deque, in_flight: deque, source: Iterator[list[Request]]) -> list[int]:
        """Draw batches until enough shards are wanted; those shards, in order of need."""
        wanted: dict[int, None] = {}
        for shards in [*in_flight, *(shards for _, shards in window)]:
            wanted |= shards
        while not window or (len(wanted) < self._ahead and len(window) < MOST_BATCHES_AHEAD):
            batch = next(source, None)
            if batch is None:
                break
            shards = dict.fromkeys(number for request in batch for number in self._shards_of(request))
            window.append((batch, shards))
            wanted |= shards
        return list(wanted)

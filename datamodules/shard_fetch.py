"""Fetches one file of a remote corpus whole: attempts, back-off, resumption, size and checksum."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from datamodules.errors import ShardError
from datamodules.manifest import ShardEntry
from datamodules.shard_source import RefusedError, ShardSource, TransferError
from runtime.seeding import keyed_generator

log = logging.getLogger(__name__)
# An attempt that brought this much was no failure: long files over lines that break often arrive all the same.
WORTHWHILE_BYTES = 8 << 20


@dataclass(frozen=True)
class RetryRule:
    """`retries` further attempts after a first one that failed, later and later: before retry n the wait is
    `first_delay * 2^(n-1)` seconds, at most `longest_delay`, times a factor from 0.5 to 1 drawn of (`seed`,
    `rank`, file), so that ranks do not come back all at once.
    """

    retries: int = 5
    first_delay: float = 0.5
    longest_delay: float = 30.0
    seed: int = 0
    rank: int = 0

    def delays(self, file: str) -> list[float]:
        """The wait before each retry, seconds."""
        jitter = keyed_generator("fetch_backoff", self.seed, self.rank, zlib.crc32(file.encode()))
        steps = [min(self.longest_delay, self.first_delay * 2.0**n) for n in range(self.retries)]
        return [step * float(jitter.uniform(0.5, 1.0)) for step in steps]


class FetchStoppedError(ShardError):
    """A fetch was given up because nobody waits for it any more."""


def fetch(
    source: ShardSource,
    file: str,
    target: BinaryIO,
    *,
    expected: ShardEntry | None,
    rule: RetryRule,
    stop: threading.Event | None = None,
) -> None:
    """Write `file` of `source` to the opened `target`, whole.

    The content has to have the size and sha256 of `expected`, or without it (the manifest) be JSON. Raises
    ShardError with the address, the last cause and what to do after the last attempt; OSError when `target`
    cannot be written; FetchStoppedError soon after `stop` is set.
    """
    download = _Download(target, expected, stop or threading.Event())
    delays = rule.delays(file)
    failures = 0
    while True:
        before = download.position
        try:
            return download.attempt(source, file)
        except RefusedError as error:
            raise ShardError(
                f"{source.address(file)} cannot be fetched ({error}); check data.root and the credentials for it"
            ) from error
        except TransferError as error:
            failures = 1 if download.position - before >= WORTHWHILE_BYTES else failures + 1
            if failures > rule.retries:
                raise ShardError(
                    f"{source.address(file)} did not arrive in {failures} attempts, the last one: {error}; check the "
                    "address and the network (and that the corpus there is whole: `prepare.py check`), then run the same "
                    "command again: it goes on with what has arrived"
                ) from error
            delay = delays[failures - 1]
            log.warning("%s: %s; attempt %d in %.1f s", source.address(file), error, failures + 1, delay)
            download.pause(delay)


class _Download:
    """What has arrived of one file."""

    def __init__(self, target: BinaryIO, expected: ShardEntry | None, stop: threading.Event) -> None:
        self._target = target
        self._expected = expected
        self._stop = stop
        self._restart()

    def attempt(self, source: ShardSource, file: str) -> None:
        size = self._expected.bytes if self._expected else None
        if self._expected is None:  # no checksum would tell two halves of different versions
            self._restart()
        start, blocks = source.read(file, self.position, size)
        if start != self.position:
            self._restart()
        with contextlib.closing(blocks):  # type: ignore[type-var]
            for block in blocks:
                self._take(block)
        self._require_whole()
        self._target.truncate(self.position)

    def pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise FetchStoppedError("stopped")

    def _restart(self) -> None:
        self._target.seek(0)
        self._digest = hashlib.sha256()
        self.position = 0

    def _take(self, block: bytes) -> None:
        self.pause(0)
        self._target.write(block)
        self._digest.update(block)
        self.position += len(block)
        if self._expected and self.position > self._expected.bytes:
            self._restart()
            raise TransferError(f"more came than the {self._expected.bytes} bytes that the manifest says")

    def _require_whole(self) -> None:
        if self._expected is None:
            self._require_json()
        elif self.position < self._expected.bytes:
            raise TransferError(f"it ended after {self.position} of {self._expected.bytes} bytes")
        elif (found := self._digest.hexdigest()) != self._expected.sha256:
            self._restart()
            raise TransferError(
                f"its sha256 is {found[:12]}..., the manifest says {self._expected.sha256[:12]}...: damaged on the way, or another file"
            )

    def _require_json(self) -> None:
        self._target.seek(0)
        try:
            json.loads(self._target.read(self.position))
        except ValueError as error:
            self._restart()
            raise TransferError(f"it is not whole JSON ({error})") from error

"""The files of a corpus as an index reads them: in a local folder, or remote and fetched whole into a cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from corpora.tracker_model import cache_folder
from datamodules.errors import ShardError
from datamodules.manifest import MANIFEST_NAME, ShardEntry, write_error
from datamodules.sampler import rank_and_world
from datamodules.shard_cache import ShardCache
from datamodules.shard_fetch import RetryRule, fetch
from datamodules.shard_source import is_remote, make_source


@dataclass(frozen=True)
class RemoteOptions:
    """How shards of an address are fetched; no sample depends on it.

    `cache`: folder that holds them (None: `shards` in the user's cache folder), at most `cache_gb` (1e9 bytes);
    an attempt ends after `stall_seconds` without a byte; see `shard_fetch.RetryRule` for `retry`.
    """

    cache: str | None = None
    cache_gb: float = 50.0
    stall_seconds: float = 30.0
    retry: RetryRule = field(default_factory=RetryRule)

    @property
    def folder(self) -> Path:
        return Path(self.cache).expanduser() if self.cache else cache_folder() / "shards"

    @property
    def limit_bytes(self) -> int:
        return int(self.cache_gb * 1e9)


class ShardFiles(Protocol):
    """What an index needs: `folder` holds `manifest.json` (and takes what is gathered about the corpus)."""

    folder: Path
    name: str

    def check(self, shard: ShardEntry) -> None: ...

    def opened(self, shard: ShardEntry) -> contextlib.AbstractContextManager[int]: ...

    def sha256(self, shard: ShardEntry) -> str: ...

    def discard_if_damaged(self, shard: ShardEntry) -> bool: ...

    def close(self) -> None: ...


def shard_files(root: str | os.PathLike[str], options: RemoteOptions | None = None) -> LocalFiles | RemoteFiles:
    """The files of a folder, or of an address (see `shard_source.make_source`), whose manifest is fetched now."""
    return RemoteFiles(str(root), options or RemoteOptions()) if is_remote(root) else LocalFiles(Path(root))


class LocalFiles:
    """A folder. Each process opens a shard once and keeps it open; may be forked or pickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)
        self._handles: dict[str, int] = {}
        self._owner = os.getpid()

    def check(self, shard: ShardEntry) -> None:
        """Raises ShardError when the shard is missing or has another size than the manifest says."""
        path = self.folder / shard.file
        if not path.is_file():
            raise ShardError(
                f"shard {shard.file} of {self.name} is missing although {MANIFEST_NAME} lists it; restore it or prepare the corpus again"
            )
        size = path.stat().st_size
        if size != shard.bytes:
            raise ShardError(
                f"shard {shard.file} of {self.name} has {size} bytes, {MANIFEST_NAME} says {shard.bytes}: "
                "it was truncated or edited; restore it or prepare the corpus again"
            )

    @contextlib.contextmanager
    def opened(self, shard: ShardEntry) -> Iterator[int]:
        """A file descriptor to `pread` from."""
        if self._owner != os.getpid():
            self._handles = {}
            self._owner = os.getpid()
        if shard.file not in self._handles:
            path = self.folder / shard.file
            try:
                self._handles[shard.file] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise ShardError(f"shard {path} cannot be opened: {error.strerror}") from error
        yield self._handles[shard.file]

    def sha256(self, shard: ShardEntry) -> str:
        """Checksum of the shard as it is; raises ShardError when it cannot be read."""
        return file_sha256(self.folder / shard.file)

    def discard_if_damaged(self, shard: ShardEntry) -> bool:
        """False: the only copy of a shard is never removed."""
        return False

    def close(self) -> None:
        """Close this process' file descriptors; reading opens them again."""
        if self._owner == os.getpid():
            for handle in self._handles.values():
                os.close(handle)
        self._handles = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_handles": {}}


class RemoteFiles:
    """An address whose shards are fetched whole, when they are needed or ahead of it, into a `ShardCache`.

    The manifest is fetched anew by each process that starts, so `folder` holds the corpus as it is now. A shard is
    checked against the manifest: size and sha256 when it is fetched, the size each time it is opened. May be forked
    or pickled; raises ShardError as `shard_fetch.fetch` and `ShardCache` do.
    """

    def __init__(self, root: str, options: RemoteOptions) -> None:
        self.source = make_source(root, options.stall_seconds)
        self.name = self.source.address("").rstrip("/") if "://" in root else root
        self.cache = ShardCache(options.folder, options.limit_bytes)
        self._rule = options.retry
        self.folder = options.folder / f"corpus-{hashlib.sha256(root.encode()).hexdigest()[:16]}"
        self._fetch_manifest()

    def check(self, shard: ShardEntry) -> None:
        """Nothing: a shard is checked when it arrives."""

    def opened(self, shard: ShardEntry) -> contextlib.AbstractContextManager[int]:
        """A file descriptor to `pread` from, fetching the shard if it is not in the cache."""
        return self.cache.reading(shard, partial(self._fill, shard))

    def hold(self, shard: ShardEntry, stop: threading.Event) -> int | None:
        """Keep a shard that will be needed; see `ShardCache.hold`."""
        return self.cache.hold(shard, partial(self._fill, shard, stop=stop))

    def sha256(self, shard: ShardEntry) -> str:
        """Checksum of the shard, fetched (again) if it is not in the cache as the manifest says."""
        self.discard_if_damaged(shard)
        with self.opened(shard):
            return shard.sha256  # nothing else is let into the cache

    def discard_if_damaged(self, shard: ShardEntry) -> bool:
        """Remove the cached shard, to be fetched again, if its checksum is wrong; True if so."""
        return self.cache.discard_if_damaged(shard)

    def close(self) -> None:
        """Nothing: shards are open only while they are read."""

    def _fill(self, shard: ShardEntry, file: BinaryIO, stop: threading.Event | None = None) -> None:
        fetch(self.source, shard.file, file, expected=shard, rule=self._rule, stop=stop)

    def _fetch_manifest(self) -> None:
        path = self.folder / MANIFEST_NAME
        temporary = path.with_name(f"{MANIFEST_NAME}.{os.getpid()}.tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for abandoned in self.folder.glob(f"{MANIFEST_NAME}.*.tmp"):
                if not _is_running(int(abandoned.name.split(".")[-2])):
                    abandoned.unlink(missing_ok=True)
            with temporary.open("w+b") as file:
                fetch(self.source, MANIFEST_NAME, file, expected=None, rule=self._rule)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise write_error(path, error) from error
        finally:
            temporary.unlink(missing_ok=True)


def retry_rule(retries: int, seed: int) -> RetryRule:
    """The rule of this rank."""
    return RetryRule(retries=retries, seed=seed, rank=rank_and_world()[0])


def file_sha256(path: Path) -> str:
    """Hexadecimal checksum of a file; raises ShardError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ShardError(f"shard {path} cannot be read: {error.strerror}") from error


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

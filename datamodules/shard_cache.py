"""A bounded folder of fetched shards that any number of processes share.

    <sha256>.tar     a whole shard, named after its content; its modification time is its last use
    <sha256>.part    a shard on its way, as long as the shard already
    bound.lock       held while room is made

Everything rests on `flock`, which ends with the process: who fills a part holds it exclusively, who reads a shard or
will soon holds it shared, and only a shard that nobody holds is removed, the one used longest ago first.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from datamodules.errors import ShardError
from datamodules.manifest import ShardEntry

log = logging.getLogger(__name__)
Fill = Callable[[BinaryIO], None]
# How long a shard that is needed now waits for the shards in use to leave it room under the bound.
PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.05
SHA256_DIGITS = 64

_open_handles: set[int] = set()


def _forget_inherited_handles() -> None:
    # Closing does not unlock what the parent holds; keeping them would keep its locks after it has let go.
    for handle in _open_handles:
        with contextlib.suppress(OSError):
            os.close(handle)
    _open_handles.clear()


os.register_at_fork(after_in_child=_forget_inherited_handles)


class ShardCache:
    """Shards of any corpora in `folder`, together at most `limit_bytes`; may be pickled.

    A shard that is needed now is let in even where all others are in use and nothing can be removed: then the
    folder is over the bound by that one, which is said once. The folder has to be on a file system whose
    `flock` works between the processes that share it (a local disk).
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._said = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._making_room():
                self._remove_abandoned()
        except OSError as error:
            raise self._unusable(error) from error

    @contextlib.contextmanager
    def reading(self, shard: ShardEntry, fill: Fill) -> Iterator[int]:
        """A file descriptor of the whole shard, for the block; `fill(file)` fetches it if it is not there.

        Waits for another process that is fetching it. Raises what `fill` raises, and ShardError when the folder
        cannot be written.
        """
        handle = self._obtain(shard, fill, wait=True)
        assert handle is not None
        try:
            yield handle
        finally:
            release(handle)

    def hold(self, shard: ShardEntry, fill: Fill) -> int | None:
        """Keep a shard that will be needed, fetching it if need be, until `release(handle)`.

        None, at once, where another process is fetching it just now or nothing can be removed to make room.
        """
        return self._obtain(shard, fill, wait=False)

    def discard_if_damaged(self, shard: ShardEntry) -> bool:
        """Read a cached shard; remove it when it is not what the manifest says. True when it was removed."""
        handle = self._open_whole(shard)
        if handle is None:
            return False
        try:
            with open(handle, "rb", closefd=False) as file:
                damaged = hashlib.file_digest(file, "sha256").hexdigest() != shard.sha256
            if damaged:
                self._remove_damaged(shard, "its sha256 is not the manifest's")
            return damaged
        finally:
            release(handle)

    def _obtain(self, shard: ShardEntry, fill: Fill, wait: bool) -> int | None:
        try:
            while (handle := self._open_whole(shard)) is None:
                if self._fetch(shard, fill, wait):
                    continue
                if not wait:
                    return None
                time.sleep(POLL_SECONDS)
            return handle
        except OSError as error:
            raise self._unusable(error) from error

    def _whole(self, shard: ShardEntry) -> Path:
        return self._path(shard, ".tar")

    def _part(self, shard: ShardEntry) -> Path:
        return self._path(shard, ".part")

    def _path(self, shard: ShardEntry, suffix: str) -> Path:
        if not re.fullmatch(f"[0-9a-f]{{{SHA256_DIGITS}}}", shard.sha256):  # a manifest from far away names files here
            raise ShardError(
                f"shard {shard.file}: the manifest's sha256 {shard.sha256[:80]!r} is none; prepare the corpus again"
            )
        return self.folder / (shard.sha256 + suffix)

    def _open_whole(self, shard: ShardEntry) -> int | None:
        """A shared hold on the shard, or None where it is not there (any more)."""
        try:
            handle = _locked(self._whole(shard), os.O_RDONLY, fcntl.LOCK_SH)
        except FileNotFoundError:
            return None
        found = os.fstat(handle)
        if found.st_nlink and found.st_size == shard.bytes:
            os.utime(handle)
            return handle
        if found.st_nlink:
            self._remove_damaged(shard, f"it has {found.st_size} bytes instead of {shard.bytes}")
        release(handle)
        return None

    def _remove_damaged(self, shard: ShardEntry, what: str) -> None:
        log.warning("cached shard %s (%s) is damaged: %s; fetching it again", shard.file, self._whole(shard), what)
        self._whole(shard).unlink(missing_ok=True)

    def _fetch(self, shard: ShardEntry, fill: Fill, wait: bool) -> bool:
        """Fetch the shard; False while another process does, or while it would not fit and `wait` is not set."""
        part = self._part(shard)
        try:
            # Never waiting in the lock: when the part is finished, the same file is what others read and hold.
            handle = _locked(part, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            if not _is_at(handle, part):  # just finished or given up
                return True
            if self._whole(shard).exists():
                part.unlink()
                return True
            if not self._reserve(shard, handle, wait):
                part.unlink()
                return False
            self._fill(shard, handle, fill)
            return True
        finally:
            release(handle)

    def _fill(self, shard: ShardEntry, handle: int, fill: Fill) -> None:
        part = self._part(shard)
        try:
            with open(handle, "r+b", closefd=False) as file:
                fill(file)
                file.flush()
                os.fsync(handle)
            part.replace(self._whole(shard))
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _reserve(self, shard: ShardEntry, handle: int, wait: bool) -> bool:
        """Make the part as long as the shard once that fits under the bound (or, see the class, though it does not)."""
        patience = time.monotonic() + PATIENCE_SECONDS
        while True:
            with self._making_room():
                used = self._make_room(shard)
                fits = used + shard.bytes <= self.limit_bytes
                # Over the bound by one shard, not by several; but waiting for ever would be worse.
                if fits or (wait and (used <= self.limit_bytes or time.monotonic() > patience)):
                    os.ftruncate(handle, shard.bytes)
                    break
            if not wait:
                return False
            time.sleep(POLL_SECONDS)
        if not fits and not self._said:
            self._said = True
            log.warning(
                "%s holds %.2f GB of shards that are all in use and its bound is %.2f GB: shard %s (%.2f GB) is let in above it; "
                "raise data.shard_cache_gb or lower data.prefetch_shards",
                self.folder, used / 1e9, self.limit_bytes / 1e9, shard.file, shard.bytes / 1e9,
            )  # fmt: skip
        return True

    def _make_room(self, shard: ShardEntry) -> int:
        """Remove what nobody holds, longest unused first, until `shard` fits; bytes that are left."""
        self._remove_abandoned(besides=self._part(shard))
        # Parts first: one that is finished meanwhile is then seen as a whole shard, and not twice.
        parts = [entry for entry in _listed(self.folder, ".part") if entry[0] != self._part(shard)]
        kept = _listed(self.folder, ".tar")
        sizes = {path.stem: found.st_size for path, found in parts + kept}
        used = sum(sizes.values())
        for path, found in sorted(kept, key=lambda entry: entry[1].st_mtime_ns):
            if used + shard.bytes <= self.limit_bytes:
                break
            if _remove_unless_held(path):
                used -= found.st_size
        return used

    def _remove_abandoned(self, besides: Path | None = None) -> None:
        for path, _ in _listed(self.folder, ".part"):
            if path != besides:
                _remove_unless_held(path)

    @contextlib.contextmanager
    def _making_room(self) -> Iterator[None]:
        handle = _locked(self.folder / "bound.lock", os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX)
        try:
            yield
        finally:
            release(handle)

    def _unusable(self, error: OSError) -> ShardError:
        return ShardError(
            f"the shard cache {self.folder} cannot be used ({error.strerror or error}); free space there, lower "
            "data.shard_cache_gb, or choose another folder on a local disk by data.shard_cache"
        )


def release(handle: int) -> None:
    """Let go of a shard that `ShardCache.hold` gave."""
    fcntl.flock(handle, fcntl.LOCK_UN)  # also for children that inherited the descriptor before they could close it
    _open_handles.discard(handle)
    os.close(handle)


def _locked(path: Path, flags: int, lock: int) -> int:
    handle = os.open(path, flags | os.O_CLOEXEC, 0o644)
    _open_handles.add(handle)
    try:
        fcntl.flock(handle, lock)
    except BaseException:
        _open_handles.discard(handle)
        os.close(handle)
        raise
    return handle


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _listed(folder: Path, suffix: str) -> list[tuple[Path, os.stat_result]]:
    """This cache's files: somebody's own tars may lie in a folder that was given by mistake."""
    found = []
    for path in folder.glob("[0-9a-f]" * SHA256_DIGITS + suffix):
        with contextlib.suppress(FileNotFoundError):
            found.append((path, path.stat()))
    return found


def _remove_unless_held(path: Path) -> bool:
    try:
        handle = _locked(path, os.O_RDONLY, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    try:
        if _is_at(handle, path):
            path.unlink()
        return True
    finally:
        release(handle)

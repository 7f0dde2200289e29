"""Where the files of a remote corpus come from: web servers, object stores, and the output of a command."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from datamodules.errors import ShardError

WEB_SCHEMES = ("https", "http")
STORE_SCHEMES = ("s3", "gs", "memory")
PIPE = "pipe:"
BLOCK_BYTES = 1 << 20
PART_BYTES = 4 << 20  # of an object store, in one request; also what has to arrive within the stall time
PASSING_STATUSES = (408, 425, 429)  # of 4xx; all other 4xx say that asking again is useless


# Filesystems of the process that a worker was forked from. Were they collected there, closing their connections would
# take these out of the epoll set that both processes share, and the parent's transfers would stall.
_inherited: list[Any] = []


class TransferError(ShardError):
    """A file did not arrive whole; another attempt may bring it."""


class RefusedError(TransferError):
    """The other side does not give the file, and would not on another attempt."""


def is_remote(root: str | os.PathLike[str]) -> bool:
    """Whether a corpus root is an address (`scheme://...`, `pipe:COMMAND {}`) rather than a folder."""
    return isinstance(root, str) and ("://" in root or root.startswith(PIPE))


def make_source(root: str, stall_seconds: float) -> ShardSource:
    """The source of a remote root; raises ShardError for a scheme that is not known.

    No bytes for `stall_seconds` end an attempt (for object stores: no whole part of 4 MiB).
    """
    if root.startswith(PIPE):
        return PipeSource(root, stall_seconds)
    scheme = urlsplit(root).scheme
    if scheme in WEB_SCHEMES:
        return WebSource(root, stall_seconds)
    if scheme in STORE_SCHEMES:
        return StoreSource(root, stall_seconds)
    known = ", ".join(f"{name}://" for name in (*WEB_SCHEMES, *STORE_SCHEMES))
    raise ShardError(f"data.root={root!r}: {scheme}:// is not known; expected a folder, {known} or 'pipe:COMMAND {{}}'")


class ShardSource(ABC):
    """Gives the files of one corpus. Sources may be pickled and used after a fork."""

    root: str

    @abstractmethod
    def address(self, file: str) -> str:
        """How messages name a file: without passwords and signatures."""

    @abstractmethod
    def read(self, file: str, start: int, size: int | None) -> tuple[int, Iterator[bytes]]:
        """(position, blocks): the content of `file` from `position` on, which is `start` or, where the source
        cannot go on there, 0. `size` is the file's size if it is known.

        Blocks is a generator; close it when leaving early. Both raise TransferError.
        """


class _FilesystemSource(ShardSource):
    """Opens an fsspec filesystem in each process that reads: their event loops do not survive a fork."""

    def __init__(self, root: str, stall_seconds: float) -> None:
        self.root = root
        self.stall_seconds = stall_seconds
        self._opened: tuple[int, Any] | None = None

    def _filesystem(self) -> Any:
        if self._opened is None or self._opened[0] != os.getpid():
            if self._opened is not None:
                _inherited.append(self._opened[1])
            self._opened = (os.getpid(), self._open_filesystem())
        return self._opened[1]

    @abstractmethod
    def _open_filesystem(self) -> Any: ...

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": None}


class WebSource(_FilesystemSource):
    """Files below an `https://` or `http://` address, streamed; a query (`?token=...`) goes to every file.

    Proxies and `~/.netrc` are respected. A broken transfer goes on where it stopped if the server knows ranges.
    """

    def address(self, file: str) -> str:
        parts = urlsplit(self._url(file))
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    def read(self, file: str, start: int, size: int | None) -> tuple[int, Iterator[bytes]]:
        try:
            stream = self._request(file, start)
        except Exception as error:
            if start and getattr(error, "status", None) == 416:  # the server's file is shorter than what we have
                return self.read(file, 0, size)
            raise _transfer_error(error) from error
        return (start if stream.r.status == 206 else 0), self._blocks(stream)

    def _request(self, file: str, start: int) -> Any:
        headers = {
            "Accept-Encoding": "identity"
        }  # a decompressed body has neither the size nor the positions asked for
        if start:
            headers["Range"] = f"bytes={start}-"
        # Block size 0 means a plain stream; any size given spares a HEAD request.
        return self._filesystem().open(self._url(file), block_size=0, size=1, headers=headers)

    @staticmethod
    def _blocks(stream: Any) -> Iterator[bytes]:
        with contextlib.closing(stream):
            while True:
                try:
                    block = stream.read(BLOCK_BYTES)
                except Exception as error:
                    raise _transfer_error(error) from error
                if not block:
                    return
                yield block

    def _open_filesystem(self) -> Any:
        import aiohttp
        import fsspec

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.stall_seconds, sock_read=self.stall_seconds)
        options = {"timeout": timeout, "trust_env": True}
        return fsspec.filesystem("http", client_kwargs=options, encoded=True, skip_instance_cache=True)

    def _url(self, file: str) -> str:
        parts = urlsplit(self.root)
        path = f"{quote(parts.path.rstrip('/'), safe='/%:@!$&()*+,;=~')}/{quote(file)}"
        return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


class StoreSource(_FilesystemSource):
    """Objects below an `s3://`, `gs://` or `memory://` address, read in parts; credentials are the library's
    usual ones.
    """

    def address(self, file: str) -> str:
        return f"{self.root.rstrip('/')}/{file}"

    def read(self, file: str, start: int, size: int | None) -> tuple[int, Iterator[bytes]]:
        return (0 if size is None else start), self._parts(file, start, size)

    def _parts(self, file: str, start: int, size: int | None) -> Iterator[bytes]:
        if size is None:
            yield self._part(file, None, None)
            return
        while start < size:
            part = self._part(file, start, min(size, start + PART_BYTES))
            if not part:
                raise TransferError(f"it ends after {start} of {size} bytes")
            yield part
            start += len(part)

    def _part(self, file: str, start: int | None, end: int | None) -> bytes:
        filesystem = self._filesystem()
        try:
            from fsspec.asyn import AsyncFileSystem, sync

            path = filesystem._strip_protocol(self.address(file))
            if isinstance(filesystem, AsyncFileSystem):
                read = filesystem._cat_file
                return sync(filesystem.loop, read, path, start=start, end=end, timeout=self.stall_seconds)
            return filesystem.cat_file(path, start=start, end=end)
        except Exception as error:
            raise _transfer_error(error) from error

    def _open_filesystem(self) -> Any:
        import fsspec

        scheme = urlsplit(self.root).scheme
        try:
            return fsspec.filesystem(scheme)
        except ImportError as error:
            raise ShardError(
                f"data.root={self.root}: reading {scheme}:// needs a package that is not installed ({error}); "
                "pip install 'persona-faces[remote]', or use https:// or pipe:"
            ) from error


class PipeSource(ShardSource):
    """The output of a shell command in which `{}` stands for the (quoted) name of the file.

    A command that ends with another status than 0 failed; a transfer always begins anew.
    """

    def __init__(self, root: str, stall_seconds: float) -> None:
        self.root = root
        self.command = root.removeprefix(PIPE).strip()
        self.stall_seconds = stall_seconds
        if "{}" not in self.command:
            raise ShardError(
                f"data.root={root!r} has no {{}} for the file's name; expected for example "
                "'pipe:curl -fsSL https://host/corpus/{}'"
            )

    def address(self, file: str) -> str:
        return PIPE + self._line(file)

    def read(self, file: str, start: int, size: int | None) -> tuple[int, Iterator[bytes]]:
        return 0, self._blocks(file)

    def _line(self, file: str) -> str:
        return self.command.replace("{}", shlex.quote(file))

    def _blocks(self, file: str) -> Iterator[bytes]:
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(
                ["/bin/sh", "-c", self._line(file)],  # the user's own command line, with the file's name quoted
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,  # so that the whole pipeline can be ended
            )
            try:
                yield from self._output(process)
                status = process.wait(self.stall_seconds)
            except subprocess.TimeoutExpired as error:
                raise TransferError(f"the command did not end within {self.stall_seconds:g} s of its output") from error
            finally:
                _end(process)
            if status:
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip()[-300:]
                raise TransferError(f"the command ended with status {status}" + (f": {said}" if said else ""))

    def _output(self, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        assert process.stdout is not None
        waiting = select.poll()
        waiting.register(process.stdout, select.POLLIN)
        while True:
            if not waiting.poll(self.stall_seconds * 1000):
                raise TransferError(f"the command gave no byte for {self.stall_seconds:g} s")
            block = os.read(process.stdout.fileno(), BLOCK_BYTES)
            if not block:
                return
            yield block


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _transfer_error(error: Exception) -> ShardError:
    if isinstance(error, ShardError):
        return error
    status = getattr(error, "status", None)
    said = f"HTTP {status} {getattr(error, 'message', '')}".strip() if status else str(error) or "no answer in time"
    final = isinstance(error, FileNotFoundError | PermissionError) or (
        isinstance(status, int) and 400 <= status < 500 and status not in PASSING_STATUSES
    )
    if isinstance(error, FileNotFoundError):
        said = "there is no such file"
    return (RefusedError if final else TransferError)(f"{type(error).__name__}: {said}")

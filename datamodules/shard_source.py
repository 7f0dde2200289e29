"""Where the files of a remote corpus come from: web servers, object stores, and the output of a command."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import select
import shlex
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

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


class WebSource(ShardSource):
    """Files below an `https://` or `http://` address, streamed; a query (`?token=...`) goes to every file.

    A user and password in the address, and the proxies of the environment, are used. A broken transfer goes on where
    it stopped if the server knows ranges. The standard library's client, because it has neither threads nor an event
    loop: loader workers are forked from a process that is fetching.
    """

    def __init__(self, root: str, stall_seconds: float) -> None:
        self.root = root
        self.stall_seconds = stall_seconds

    def address(self, file: str) -> str:
        parts = urlsplit(self._url(file))
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))

    def read(self, file: str, start: int, size: int | None) -> tuple[int, Iterator[bytes]]:
        try:
            response = urllib.request.urlopen(self._request(file, start), timeout=self.stall_seconds)
        except urllib.error.HTTPError as error:
            error.close()
            if start and error.code == 416:  # the server's file is shorter than what we have
                return self.read(file, 0, size)
            final = 400 <= error.code < 500 and error.code not in PASSING_STATUSES
            raise (RefusedError if final else TransferError)(f"HTTP {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise TransferError(_told(error)) from error
        return (start if response.status == 206 else 0), self._blocks(response)

    @staticmethod
    def _blocks(response: Any) -> Iterator[bytes]:
        with response:
            while True:
                try:
                    block = response.read1(BLOCK_BYTES)
                except (OSError, http.client.HTTPException) as error:
                    raise TransferError(_told(error)) from error
                if not block:
                    break
                yield block
            if response.length:
                raise TransferError(f"the connection ended with {response.length} bytes to come")

    def _request(self, file: str, start: int) -> urllib.request.Request:
        request = urllib.request.Request(self._url(file), headers={"User-Agent": "persona-faces"})
        if start:
            request.add_header("Range", f"bytes={start}-")
        user, _, _ = urlsplit(self.root).netloc.rpartition("@")
        if user:  # not to be sent on to where a redirection leads
            encoded = base64.b64encode(unquote(user).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {encoded}")
        return request

    def _url(self, file: str) -> str:
        parts = urlsplit(self.root)
        path = f"{quote(parts.path.rstrip('/'), safe='/%:@!$&()*+,;=~')}/{quote(file)}"
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, parts.query, ""))


class StoreSource(ShardSource):
    """Objects below an `s3://`, `gs://` or `memory://` address, read in parts; credentials are the library's
    usual ones. Each process that reads opens a filesystem of its own: event loops do not survive a fork.
    """

    def __init__(self, root: str, stall_seconds: float) -> None:
        self.root = root
        self.stall_seconds = stall_seconds
        self._opened: tuple[int, Any] | None = None

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
            if isinstance(error, ShardError):
                raise
            final = isinstance(error, FileNotFoundError | PermissionError)
            raise (RefusedError if final else TransferError)(_told(error)) from error

    def _filesystem(self) -> Any:
        if self._opened is None or self._opened[0] != os.getpid():
            if self._opened is not None:
                _inherited.append(self._opened[1])
            self._opened = (os.getpid(), self._open_filesystem())
        return self._opened[1]

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

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": None}


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


def _told(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    reason = getattr(error, "reason", error)  # urllib wraps what happened
    return f"{type(reason).__name__}: {str(reason) or 'no answer in time'}"

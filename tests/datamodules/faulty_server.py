"""A web server on the loopback whose answers go wrong in the ways that are asked of it."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STALL_LIMIT_SECONDS = 60


class FaultyServer:
    """Serves `files` (name: content) or a folder; a context manager.

    `faults[name]` are used up one a request: "drop" (the connection ends after half of the content), "stall" (it stays
    open and silent there), "refuse" (no answer at all), "truncate" (a whole answer with half of the content), "wrong"
    (a byte is changed), "longer" (more than the content), or a status such as 503. `requests` counts them,
    `ranges` lists where each began, `bytes_sent` what left. A server of `ranges=False` ignores ranges.
    """

    def __init__(self, files: dict[str, bytes] | Path, ranges: bool = True) -> None:
        self.files = files
        self.knows_ranges = ranges
        self.faults: dict[str, deque] = defaultdict(deque)
        self.always: dict[str, object] = {}
        self.requests: Counter[str] = Counter()
        self.ranges: dict[str, list[int]] = defaultdict(list)
        self.bytes_sent: Counter[str] = Counter()
        self.stalled = threading.Event()
        self._let_go = threading.Event()
        self._lock = threading.Lock()

    def content(self, name: str) -> bytes | None:
        if isinstance(self.files, dict):
            return self.files.get(name)
        path = self.files / name
        return path.read_bytes() if path.is_file() else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultyServer:
        outer = self

        class Handler(_Handler):
            server_of_faults = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()

    def next_fault(self, name: str, start: int) -> object:
        with self._lock:
            self.requests[name] += 1
            self.ranges[name].append(start)
            return self.faults[name].popleft() if self.faults[name] else self.always.get(name)

    def stall(self) -> None:
        self.stalled.set()
        self._let_go.wait(STALL_LIMIT_SECONDS)

    def count(self, name: str, sent: int) -> None:
        with self._lock:
            self.bytes_sent[name] += sent


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_faults: FaultyServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        faulty = self.server_of_faults
        name = self.path.partition("?")[0].lstrip("/")
        content = faulty.content(name)
        wanted = self.headers.get("Range") if faulty.knows_ranges else None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        fault = faulty.next_fault(name, start)
        if content is None:
            fault = 404
        if isinstance(fault, int):
            self._answer(fault, b"")
            return
        assert content is not None
        if fault == "refuse":
            self.close_connection = True
            return
        if fault == "truncate":
            content = content[: len(content) // 2]
        elif fault == "longer":
            content += b"more"
        elif fault == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        body = content[start:]
        sent = len(body) // 2 if fault in ("drop", "stall") else len(body)
        faulty.count(name, sent)
        self._answer(206 if start else 200, body, start, sent)
        if fault == "stall":
            self.wfile.flush()
            faulty.stall()
        if fault in ("drop", "stall"):
            self.wfile.flush()
            self.close_connection = True

    def _answer(self, status: int, body: bytes, start: int = 0, sent: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{start + len(body)}")
        self.end_headers()
        self.wfile.write(body[: len(body) if sent is None else sent])

"""Where the tracker's model file is, and fetching it once from its official address."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from corpora.tracker import TrackerError

MODEL_NAME = "face_landmarker.task"
MODEL_URL = f"https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/{MODEL_NAME}"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
MODEL_BYTES = 3_758_596
MODEL_VARIABLE = "FACE_LANDMARKER_TASK"
TIMEOUT_S = 30.0
_HOW_TO = (
    f"fetch {MODEL_URL} (Apache-2.0, 3.8 MB) on any machine, then give it by --tracker-model FILE or ${MODEL_VARIABLE}"
)


def find_tracker_model(given: str | Path | None = None) -> Path:
    """The model file: `given`, else $FACE_LANDMARKER_TASK, else the user's cache, where it is fetched to once.

    Raises `TrackerError` where the named file is absent or the fetch fails; the message says what to do.
    """
    for value, name in ((given, "--tracker-model"), (os.environ.get(MODEL_VARIABLE), f"${MODEL_VARIABLE}")):
        if value:
            path = Path(value).expanduser()
            if not path.is_file():
                raise TrackerError(f"{name} names {path}, where there is no file; {_HOW_TO}")
            return path.resolve()
    cached = cache_folder() / MODEL_NAME
    if not cached.is_file():
        fetch_model(MODEL_URL, cached)
    return cached


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/persona-faces`, or `~/.cache/persona-faces`."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "persona-faces"


def fetch_model(
    url: str,
    destination: Path,
    *,
    sha256: str = MODEL_SHA256,
    max_bytes: int = MODEL_BYTES,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Fetch `url` to `destination`, whole and with the right checksum, or not at all.

    Raises `TrackerError` for an address that cannot be reached, an answer cut short, or another content than expected.
    """
    content = _download(url, max_bytes, timeout_s)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise TrackerError(
            f"the file at {url} is not the expected tracker model (sha256 {found[:12]}..., expected {sha256[:12]}..., "
            f"{len(content)} bytes read); nothing was kept, {_HOW_TO}"
        )
    # Two preparations may fetch at once; each writes its own file and the last rename wins with the same content.
    partial = destination.with_name(f"{destination.name}.{os.getpid()}.tmp")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(destination)
    except OSError as error:
        raise TrackerError(
            f"the tracker model cannot be kept at {destination} ({error.strerror}); {_HOW_TO}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _download(url: str, max_bytes: int, timeout_s: float) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            content = response.read(max_bytes + 1)
            stated = response.headers.get("Content-Length")
    except (urllib.error.URLError, HTTPException, OSError) as error:
        raise TrackerError(f"the tracker model cannot be fetched ({error}); {_HOW_TO}") from error
    if stated is not None and len(content) < min(int(stated), max_bytes):
        raise TrackerError(
            f"the tracker model was cut short after {len(content)} of {stated} bytes; run again, or {_HOW_TO}"
        )
    return content

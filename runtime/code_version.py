"""Which code a run was made by: a hash of the sources themselves, as a commit says nothing of uncommitted changes."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    "callbacks", "corpora", "datamodules", "faces", "lightning_modules", "losses", "metrics", "networks", "runtime", "speech",
)  # fmt: skip


@functools.cache
def source_hash(root: Path = ROOT) -> str:
    """Twelve hex digits over the Python files of all rooms and of `train.py`, names included."""
    digest = hashlib.sha256()
    for file in [*sorted(path for room in ROOMS for path in (root / room).rglob("*.py")), root / "train.py"]:
        digest.update(str(file.relative_to(root)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]

"""Checkpoints that are whole or absent: written beside their destination, synced, renamed, and then vouched for by a manifest.

`step-00001200.ckpt` is valid once `step-00001200.ckpt.json` (sha256, bytes, step) stands beside it: the manifest is the commit
record. Loading always uses `weights_only=True`. Stock Lightning writes to $TMPDIR and copies, and a kill during that copy leaves a
truncated file under the final name.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from runtime.run_folder import RunError, write_atomically

BEST = "best.ckpt"


class AtomicCheckpointIO(CheckpointIO):
    """Lightning plugin; every save and load of a run goes through it (rank 0 writes)."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any | None = None
    ) -> None:
        path = Path(path)
        temporary = path.with_name(path.name + ".tmp")
        manifest_of(path).unlink(missing_ok=True)
        try:
            with temporary.open("wb") as handle:
                _save(checkpoint, handle)
                handle.flush()
                os.fsync(handle.fileno())
            digest, size = _sha256(temporary), temporary.stat().st_size
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        record = {
            "sha256": digest,
            "bytes": size,
            "step": int(checkpoint.get("global_step", 0)),
            "torch": torch.__version__,
        }
        write_atomically(manifest_of(path), json.dumps(record))
        _sync_directory(path.parent)

    def load_checkpoint(
        self, path: str | os.PathLike, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load_checkpoint(Path(path), map_location)

    def remove_checkpoint(self, path: str | os.PathLike) -> None:
        manifest_of(Path(path)).unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)


def manifest_of(checkpoint: Path) -> Path:
    return checkpoint.with_name(checkpoint.name + ".json")


def load_checkpoint(path: Path, map_location: Any | None = "cpu") -> dict[str, Any]:
    """Read a checkpoint after comparing it with its manifest; raises RunError if it is missing, edited or truncated."""
    problem = problem_with(path)
    if problem:
        raise RunError(f"checkpoint {path} cannot be loaded: {problem}")
    return torch.load(path, map_location=map_location or "cpu", weights_only=True)


def problem_with(path: Path) -> str | None:
    """Why a checkpoint is not usable, or None."""
    if not path.is_file():
        return "the file is missing"
    try:
        record: Mapping[str, Any] = json.loads(manifest_of(path).read_text())
        expected_bytes, expected_hash = int(record["bytes"]), str(record["sha256"])
    except FileNotFoundError:
        return "it has no manifest, so its save did not finish"
    except (ValueError, KeyError, OSError) as error:
        return f"its manifest is damaged ({error})"
    if path.stat().st_size != expected_bytes:
        return f"it has {path.stat().st_size} bytes, its manifest says {expected_bytes}"
    if _sha256(path) != expected_hash:
        return "its content does not match its manifest's checksum"
    return None


def find_resumable(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest usable `step-*.ckpt`; bad ones are renamed to `*.corrupt` and said so through `say`, leftovers of killed saves removed."""
    for leftover in folder.glob("*.tmp"):
        leftover.unlink(missing_ok=True)
    for path in sorted(folder.glob("step-*.ckpt"), reverse=True):
        problem = problem_with(path)
        if problem is None:
            return path
        say(f"skipped checkpoint {path.name}: {problem}")
        path.replace(path.with_name(path.name + ".corrupt"))
        manifest_of(path).unlink(missing_ok=True)
    return None


def choose_checkpoint(folder: Path, which: str) -> Path:
    """The file for `best` (lowest validation error; the last one if none was chosen), `last` or a step number."""
    steps = sorted(folder.glob("step-*.ckpt"))
    if which == "best" and (folder / BEST).is_file():
        return folder / BEST
    if which in ("best", "last"):
        if not steps:
            raise RunError(f"{folder} holds no checkpoint yet; train until the first checkpoint.every_steps")
        return steps[-1]
    wanted = folder / f"step-{int(which):08d}.ckpt" if which.isdigit() else None
    if wanted is None or not wanted.is_file():
        raise RunError(
            f"no checkpoint {which!r} in {folder}; there are: best, last, {', '.join(p.stem for p in steps)}"
        )
    return wanted


def _save(checkpoint: dict[str, Any], handle: BinaryIO) -> None:
    """`torch.save`, whose zip writer turns the disk's error into a RuntimeError about positions, with that error again."""
    try:
        torch.save(checkpoint, handle)
    except RuntimeError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise OSError(cause.errno, cause.strerror) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""What the wandb package wrote offline, read back: `wandb/offline-run-*` folders as configuration, summary and rows."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.run_folder import RunError

# The LevelDB log format: blocks of records, each with checksum, length and kind; W&B puts seven bytes of its own first.
_BLOCK, _HEADER, _MAGIC = 32768, 7, b":W&B"
_FULL, _FIRST, _LAST = 1, 2, 4


@dataclass
class WandbRun:
    """`rows` in the order in which they were logged, over all starts of the run."""

    run_id: str
    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


def record_files(folder: Path) -> list[Path]:
    """The `.wandb` files of an offline run folder, or of all such folders in a `wandb` folder, in order of their starts."""
    return sorted(folder.glob("run-*.wandb")) or sorted(folder.glob("*run-*/run-*.wandb"))


def read_wandb_run(files: list[Path]) -> list[WandbRun]:
    """Runs by their id, several files of one id joined. Raises RunError for a file that is none of W&B's; of one cut off in the middle, what is whole is read."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    runs: dict[str, WandbRun] = {}
    for path in files:
        run: WandbRun | None = None
        for payload in _payloads(path):
            record = Record()
            record.ParseFromString(payload)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = runs.setdefault(record.run.run_id, WandbRun(record.run.run_id))
                run.name = record.run.display_name or run.name
                run.config |= _items(record.run.config.update)
            elif run is not None and kind == "history":
                run.rows.append(_items(record.history.item))
            elif run is not None and kind == "summary":
                run.summary |= _items(record.summary.update)
    return list(runs.values())


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _payloads(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    if data[:4] != _MAGIC:
        raise RunError(
            f"{path} is not a file that the wandb package wrote; expected run-<id>.wandb of an offline run folder"
        )
    pending, position = b"", _HEADER
    while position + _HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        _, length, kind = struct.unpack_from("<IHB", data, position) if left >= _HEADER else (0, 0, 0)
        if kind == 0:
            position += left
            continue
        pending = (b"" if kind in (_FULL, _FIRST) else pending) + data[position + _HEADER : position + _HEADER + length]
        position += _HEADER + length
        if kind in (_FULL, _LAST) and position <= len(data):
            yield pending

"""Reads what the real wandb package wrote offline: records in the LevelDB log format, each a protobuf."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

BLOCK, FULL, FIRST, LAST = 32768, 1, 2, 4
FILE_HEADER, RECORD_HEADER = 7, 7


def wandb_files(folder: Path) -> list[Path]:
    """The segments of a run in the order in which they were begun."""
    return sorted((folder / "wandb").glob("*run-*/run-*.wandb"))


def read_records(path: Path) -> list[Any]:
    """All protobuf records of one `.wandb` file."""
    from wandb.proto.wandb_internal_pb2 import Record

    records = []
    for payload in _payloads(path.read_bytes()):
        record = Record()
        record.ParseFromString(payload)
        records.append(record)
    return records


def _payloads(data: bytes) -> list[bytes]:
    assert data[:4] == b":W&B", "not a W&B file"
    payloads, pending, position = [], b"", FILE_HEADER
    while position + RECORD_HEADER <= len(data):
        if BLOCK - position % BLOCK < RECORD_HEADER:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if kind == 0:
            position += BLOCK - position % BLOCK
            continue
        pending += data[position + RECORD_HEADER : position + RECORD_HEADER + length]
        position += RECORD_HEADER + length
        if kind in (FULL, LAST):
            payloads.append(pending)
            pending = b""
    return payloads


class Segment:
    """One start of a run as W&B saw it."""

    def __init__(self, path: Path) -> None:
        records = read_records(path)
        self.run = next(r.run for r in records if r.WhichOneof("record_type") == "run")
        self.config = {_key(item): json.loads(item.value_json) for item in self.run.config.update}
        for record in records:
            if record.WhichOneof("record_type") == "config":
                self.config.update({_key(item): json.loads(item.value_json) for item in record.config.update})
        self.history = [
            {_key(item): json.loads(item.value_json) for item in r.history.item}
            for r in records
            if r.WhichOneof("record_type") == "history"
        ]
        self.summary: dict[str, Any] = {}
        for record in records:
            if record.WhichOneof("record_type") == "summary":
                self.summary.update({_key(item): json.loads(item.value_json) for item in record.summary.update})
        self.metrics = {m.name or m.glob_name: m for r in records if (m := r.metric) and (m.name or m.glob_name)}
        self.exit_codes = [r.exit.exit_code for r in records if r.WhichOneof("record_type") == "exit"]
        self.has_preempting = any(r.WhichOneof("record_type") == "preempting" for r in records)


def _key(item: Any) -> str:
    return item.key or "/".join(item.nested_key)

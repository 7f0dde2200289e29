"""Normalisation statistics of the clips that a run really trains on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from datamodules.errors import ShardError
from datamodules.manifest import write_json
from datamodules.motion_statistics import MotionStatistics, StatisticsAccumulator
from datamodules.shard_index import ShardIndex

log = logging.getLogger(__name__)


def training_statistics(index: ShardIndex, chosen: Sequence[int]) -> MotionStatistics:
    """The manifest's statistics where `chosen` is its whole training split, else gathered from the clips in
    order.

    Gathered ones are kept beside the shards, `statistics-<hash of the choice>.json`, where the folder can be
    written.
    """
    stored = index.manifest.statistics
    if stored is not None and list(chosen) == [i for i, entry in enumerate(index.entries) if entry.split == "train"]:
        return stored
    path = _kept_at(index, chosen)
    if path.is_file():
        return MotionStatistics.from_dict(json.loads(path.read_bytes()))
    accumulator = StatisticsAccumulator()
    for i in chosen:
        accumulator.add(index.read_motion(i))
    statistics = accumulator.result()
    if statistics is None:
        raise ShardError(f"no training clips chosen of {index.root}; there is nothing to normalise by")
    try:
        write_json(path, statistics.to_dict())
    except ShardError as error:
        log.info("statistics of this choice of clips are not kept for the next run: %s", error)
    return statistics


def _kept_at(index: ShardIndex, chosen: Sequence[int]) -> Path:
    choice = json.dumps([index.fingerprint, [index.entries[i].key for i in chosen]])
    return index.root / f"statistics-{hashlib.sha256(choice.encode('utf-8')).hexdigest()[:16]}.json"

"""A copy of a corpus with the semantic unit of every frame of speech beside each clip, so that pose styles are built without an encoder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from datamodules.errors import ShardError
from datamodules.feature_cache import copy_corpus
from datamodules.manifest import Manifest
from datamodules.sample import UNITS, Sample, array_bytes
from datamodules.shard_index import ShardIndex
from speech.semantic_units import UNITS_FILE, UNITS_RECORD, SemanticUnits, encoder_features

Encode = Callable[[np.ndarray], np.ndarray]


def cache_units(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    units: SemanticUnits,
    encode: Encode | None = None,
    *,
    max_shard_mb: float = 256.0,
    progress: bool = True,
) -> Manifest:
    """Write the corpus `root` into the new folder `out` with `units.npy` added to each clip, one unit a motion frame, and the units themselves beside
    the shards; all other members stay as they are.

    `encode` maps the audio of a whole clip `[640 * T]` to the features `[T, F]` that the units cluster; None takes the features cached in the corpus,
    which must be of the units' encoder. The units' fingerprint goes into each clip's metadata (`extra.semantic_units`) and the manifest. Raises
    ShardError for cached features that are absent or of another encoder.
    """
    index = ShardIndex(root)
    if encode is None:
        require_cached_features(index, units.encoder)

    def added(sample: Sample) -> dict[str, bytes]:
        frames = len(sample.clip.motion)
        if encode is not None:
            features = encode(sample.clip.audio)
        elif sample.features is not None:
            features = encoder_features(sample.features, frames)
        else:
            raise ShardError(f"clip {sample.clip.key} of {index.name} has no cached features; cache them again")
        assigned = units.assign(features, units.encoder)
        if len(assigned) != frames:
            raise ShardError(f"{units.encoder} gave {len(assigned)} frames for clip {sample.clip.key} of {frames}")
        return {UNITS: array_bytes(assigned.astype(np.int32))}

    record = {UNITS_RECORD: units.fingerprint}
    manifest = copy_corpus(
        index, Path(out), added, record, caption="assigning units", max_shard_mb=max_shard_mb, progress=progress
    )
    units.save(Path(out) / UNITS_FILE)
    return manifest


def holds_features_of(index: ShardIndex, encoder: str) -> bool:
    """Whether the corpus holds cached features of the encoder of this identity."""
    return index.manifest.made_by.get("features_encoder") == encoder


def require_cached_features(index: ShardIndex, encoder: str) -> None:
    if not holds_features_of(index, encoder):
        found = index.manifest.made_by.get("features_encoder", "none")
        raise ShardError(
            f"the units cluster features of {encoder}, the features cached in {index.name} are of {found}; "
            "give the encoder's weights, or a corpus with its features"
        )

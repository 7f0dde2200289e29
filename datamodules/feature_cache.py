"""A copy of a corpus with the features of a frozen speech encoder beside each clip, so that training need not
run the encoder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from datamodules.errors import ShardError
from datamodules.manifest import Manifest
from datamodules.sample import FEATURES, META, Sample, array_bytes
from datamodules.shard_index import ShardIndex
from datamodules.shard_writer import ShardWriter


def cache_features(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    encode: Callable[[np.ndarray], np.ndarray],
    *,
    encoder: str,
    max_shard_mb: float = 256.0,
    progress: bool = True,
) -> Manifest:
    """Write the corpus `root` into the new folder `out` with `features.npy` added; all other members stay as
    they are.

    `encode` maps the audio of a whole clip `[640 * T]` to features `[k * T, D]`, k a whole number; they are
    stored as float16. `encoder` names it, with its weights, in each clip's metadata
    (`extra.features_encoder`). Audio augmentation cannot reach cached features. Raises ShardError for
    features of another length or with values that are not finite.
    """

    def added(sample: Sample) -> dict[str, bytes]:
        clip = sample.clip
        features = np.asarray(encode(clip.audio))
        if features.ndim != 2 or len(features) == 0 or len(features) % len(clip.motion):
            raise ShardError(
                f"{encoder} gave features of shape {features.shape} for clip {clip.key} of {len(clip.motion)} frames; "
                "expected [k * frames, D] with a whole number k"
            )
        with np.errstate(over="ignore"):
            stored = features.astype(np.float16)
        if not np.isfinite(stored).all():
            raise ShardError(f"{encoder} gave features for clip {clip.key} that float16 cannot hold")
        return {FEATURES: array_bytes(stored)}

    index, record = ShardIndex(root), {"features_encoder": encoder}
    return copy_corpus(
        index, Path(out), added, record, caption="encoding speech", max_shard_mb=max_shard_mb, progress=progress
    )


def copy_corpus(
    index: ShardIndex,
    out: Path,
    added: Callable[[Sample], dict[str, bytes]],
    record: dict[str, str],
    *,
    caption: str,
    max_shard_mb: float = 256.0,
    progress: bool = True,
) -> Manifest:
    """Write a corpus into the new folder `out` with the members `added(sample)` in the place of its own of these names; `record` is added to each
    clip's `extra` and to the manifest's `made_by`.
    """
    made_by = {**index.manifest.made_by, **record}
    with ShardWriter(out, corpus=index.manifest.corpus, max_shard_mb=max_shard_mb, made_by=made_by) as writer:
        for number in track(range(len(index)), caption, disable=not progress, console=Console(stderr=True)):
            sample = index.read(number)
            meta = sample.clip.meta.to_dict()
            meta["extra"] = {**meta["extra"], **record}
            changed = {META: json.dumps(meta, ensure_ascii=False, sort_keys=True).encode(), **added(sample)}
            writer.add_encoded(sample.clip.key, {**index.read_members(number), **changed})
        return writer.finish(index.manifest.extra)

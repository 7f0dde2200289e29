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
from datamodules.sample import FEATURES, META, array_bytes
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
    index = ShardIndex(root)
    made_by = {**index.manifest.made_by, "features_encoder": encoder}
    with ShardWriter(Path(out), corpus=index.manifest.corpus, max_shard_mb=max_shard_mb, made_by=made_by) as writer:
        numbers = track(range(len(index)), "encoding speech", disable=not progress, console=Console(stderr=True))
        for number in numbers:
            clip = index.read(number).clip
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
            meta = clip.meta.to_dict()
            meta["extra"] = {**meta["extra"], "features_encoder": encoder}
            changed = {
                META: json.dumps(meta, ensure_ascii=False, sort_keys=True).encode(),
                FEATURES: array_bytes(stored),
            }
            writer.add_encoded(clip.key, {**index.read_members(number), **changed})
        return writer.finish(index.manifest.extra)

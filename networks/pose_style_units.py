"""The semantic units of a batch's speech: cached beside its clips, or assigned to the features that the units cluster.

Batches are `SpeechFaceBatch`es. Features come from the shards where somebody cached them, from the pretrained encoder of a network's front end where it
has one, and else are those of `MfccContext`, which needs no weights.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from networks.speech_front_end import SpeechFrontEnd
from networks.style_bank import StyleBankError
from speech.encoders import PretrainedEncoder
from speech.semantic_units import UNITS_RECORD, MfccContext, SemanticUnits, encoder_features, encoder_identity


class HeardFeatures(NamedTuple):
    """Features `[T, F]` of each clip, and the identity of the `encoder` that made them."""

    features: list[np.ndarray]
    encoder: str


def features_to_cluster(batch: Any, front_end: SpeechFrontEnd | None = None) -> HeardFeatures:
    """What units are fitted on: the best that there is. Raises StyleBankError for cached features that do not say of which encoder they are."""
    if batch.features is not None:
        encoder = cached_encoder(batch)
        if encoder is None:
            raise StyleBankError(
                f"the cached features of clip {batch.keys[0]} do not say which encoder made them (extra.features_encoder), or not all the same; "
                "cache them again with `python prepare.py features`"
            )
        return HeardFeatures(_cached_features(batch), encoder)
    online = online_encoder(front_end)
    if online is not None:
        return HeardFeatures(_encoded(batch, online), encoder_identity(online))
    return HeardFeatures(_cepstra(batch), MfccContext.fingerprint)


def units_of_batch(batch: Any, units: SemanticUnits, front_end: SpeechFrontEnd | None = None) -> list[Tensor | None]:
    """The unit [T] int64 of every frame of each clip; None for all where there are no features of the units' encoder."""
    frames = batch.num_frames.tolist()
    if cached_units(batch) == units.fingerprint and batch.units.shape[1] == batch.head.shape[1]:
        return [row[:n].long() for row, n in zip(batch.units, frames, strict=True)]
    features = _features_of(batch, units.encoder, front_end)
    if features is None:
        return [None] * len(frames)
    return [torch.from_numpy(units.assign(clip, units.encoder)) for clip in features]


def missing_units(batch: Any, units: SemanticUnits, front_end: SpeechFrontEnd | None) -> StyleBankError:
    """The error for speech of which the units cannot be found; names the encoder asked for and those that there are."""
    found = (
        [f"cached features of {cached_encoder(batch) or 'an unnamed encoder'}"] if batch.features is not None else []
    )
    online = online_encoder(front_end)
    found += [f"the network's encoder {encoder_identity(online)}"] if online is not None else []
    return StyleBankError(
        f"the bank's semantic units cluster features of {units.encoder}; of this speech there are "
        f"{' and '.join(found) or 'no features, and the network has no encoder to make them'}: "
        "give a clip of a corpus with those features (`python prepare.py features`), or compare by statistics"
    )


def cached_encoder(batch: Any) -> str | None:
    """The encoder of a batch's cached features, None where there are none, they do not say, or clips differ."""
    return None if batch.features is None else _recorded(batch, "features_encoder")


def cached_units(batch: Any) -> str | None:
    """The fingerprint of the units that are cached beside all clips of a batch, None where there are none or clips differ."""
    return None if getattr(batch, "units", None) is None else _recorded(batch, UNITS_RECORD)


def online_encoder(front_end: SpeechFrontEnd | None) -> PretrainedEncoder | None:
    """The pretrained encoder that a front end runs itself."""
    encoder = getattr(front_end, "encoder", None)
    return encoder if isinstance(encoder, PretrainedEncoder) else None


def _recorded(batch: Any, name: str) -> str | None:
    found = {meta.get("extra", {}).get(name) for meta in batch.metas}
    return found.pop() if len(found) == 1 else None


def _features_of(batch: Any, encoder: str, front_end: SpeechFrontEnd | None) -> list[np.ndarray] | None:
    if encoder == MfccContext.fingerprint:
        return _cepstra(batch)
    if encoder == cached_encoder(batch):
        return _cached_features(batch)
    online = online_encoder(front_end)
    return _encoded(batch, online) if online is not None and encoder_identity(online) == encoder else None


def _cached_features(batch: Any) -> list[np.ndarray]:
    features = batch.features.reshape(*batch.head.shape[:2], -1).float()
    return [encoder_features(clip[:n].numpy(), n) for clip, n in zip(features, batch.num_frames.tolist(), strict=True)]


def _encoded(batch: Any, encoder: PretrainedEncoder) -> list[np.ndarray]:
    features = encoder(batch.audio, batch.num_frames)
    return [encoder_features(clip[:n].numpy(), n) for clip, n in zip(features, batch.num_frames.tolist(), strict=True)]


def _cepstra(batch: Any) -> list[np.ndarray]:
    features = MfccContext()(batch.audio, batch.num_frames)
    return [clip[:n].numpy() for clip, n in zip(features, batch.num_frames.tolist(), strict=True)]

"""From audio to the features that semantic units cluster, by the encoder that the units name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from speech.audio import num_motion_frames
from speech.encoders import KNOWN_ENCODERS, load_pretrained_encoder
from speech.semantic_units import MfccContext, UnitsError, encoder_features, encoder_identity


def load_unit_encoder(
    identity: str, path_or_hub_id: str | None = None, layer: int | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """A function of a clip's audio `[640 * T]` to features `[T, F]`, of the encoder that units name as `identity`.

    Weights are found as by `load_pretrained_encoder`. Raises UnitsError for an encoder that is not known and for other weights than the named ones, and
    EncoderError where there are none.
    """
    if identity == MfccContext.fingerprint:
        context = MfccContext()

        def cepstra(audio: np.ndarray) -> np.ndarray:
            return context(torch.from_numpy(audio)[None], torch.tensor([num_motion_frames(len(audio))]))[0].numpy()

        return cepstra
    name = identity.split(" ")[0]
    if name not in KNOWN_ENCODERS:
        raise UnitsError(
            f"the units cluster features of {identity!r}, an encoder that is not known; expected {MfccContext.fingerprint} or one of {', '.join(KNOWN_ENCODERS)}"
        )
    encoder = load_pretrained_encoder(name, path_or_hub_id, layer)
    if encoder_identity(encoder) != identity:
        raise UnitsError(
            f"the units cluster features of {identity}, but {encoder_identity(encoder)} is loaded; give that one's weights and layer"
        )

    def encode(audio: np.ndarray) -> np.ndarray:
        frames = num_motion_frames(len(audio))
        return encoder_features(encoder(torch.from_numpy(audio)[None], torch.tensor([frames]))[0].numpy(), frames)

    return encode

"""Frozen pretrained speech encoders (HuBERT, wav2vec 2.0, WavLM) as features at the motion's 25 frames/s."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from speech.audio import MOTION_FPS, SAMPLES_PER_FRAME

# The convolutions see 400 samples every 320, so that N samples give floor((N - 80) / 320) frames; with these 40 zeros at each
# end 640 T samples give exactly 2 T, and each frame is centred on its own 20 ms.
_EDGE = 40
CHUNK_FRAMES = 20 * MOTION_FPS
CONTEXT_FRAMES = 2 * MOTION_FPS


class EncoderError(ValueError):
    """A pretrained encoder cannot be loaded; the message says which file is needed, its licence, and what to do."""


@dataclass(frozen=True)
class KnownEncoder:
    model_class: str
    hub_id: str
    licence: str
    model_types: tuple[str, ...]


KNOWN_ENCODERS = {
    "hubert": KnownEncoder("HubertModel", "facebook/hubert-large-ls960-ft", "Apache-2.0", ("hubert",)),
    "wav2vec2": KnownEncoder("Wav2Vec2Model", "facebook/wav2vec2-base-960h", "Apache-2.0", ("wav2vec2",)),
    "wavlm": KnownEncoder("WavLMModel", "microsoft/wavlm-base-plus", "CC BY-SA 3.0", ("wavlm",)),
}


def num_encoder_frames(num_samples: int) -> int:
    """Frames at 50 Hz that these encoders give for `num_samples` of 16 kHz audio: floor((N - 80) / 320), at least 0."""
    return max(0, (num_samples - 80) // 320)


class PretrainedEncoder(nn.Module):
    """Audio `[B, N]` and `num_frames` [B] to features `[B, T, 2 * hidden]` at 25 frames/s, T = N // 640.

    Each motion frame holds its two 50 Hz frames side by side. Every clip is encoded alone and unpadded, since the
    group norm of the base models looks at a whole clip and would let padding leak; frames behind a clip's end are zero.
    Clips longer than 20 s are encoded in pieces with 2 s of real context on both sides, which are then dropped. The
    weights are frozen, always in evaluation mode, and left out of state dicts: only the fingerprint is stored, and
    loading a state made with other weights raises `EncoderError`.
    """

    def __init__(self, model: nn.Module, name: str, layer: int | None = None, normalise: bool = True) -> None:
        super().__init__()
        config: Any = model.config
        if layer is not None and not 0 <= layer <= config.num_hidden_layers:
            raise EncoderError(
                f"layer {layer} of {name}: it has layers 0 to {config.num_hidden_layers}, or null for the last"
            )
        self.model = model.requires_grad_(False).eval()
        self.name, self.layer, self.normalise = name, layer, normalise
        self.width = 2 * int(config.hidden_size)
        self.fingerprint = encoder_fingerprint(model, name, layer, normalise)
        self.register_state_dict_post_hook(_drop_frozen_weights)
        self.register_load_state_dict_pre_hook(_add_frozen_weights)

    def train(self, mode: bool = True) -> PretrainedEncoder:
        """Stay in evaluation mode: dropout or layer drop would make frozen features random."""
        return super().train(False)

    def parts_to_shard(self) -> list[nn.Module]:
        """What fully sharded data parallelism gathers at a time: each transformer layer, then the rest of the model."""
        model: Any = self.model
        return [*model.encoder.layers, model]

    @torch.no_grad()
    def forward(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        lengths = [int(length) for length in num_frames]
        features = audio.new_zeros(len(lengths), audio.shape[1] // SAMPLES_PER_FRAME, self.width)
        if max(lengths, default=0) > features.shape[1]:
            raise ValueError(f"audio has {features.shape[1]} frames, but num_frames asks for {max(lengths)}")
        for clip, length, row in zip(audio, lengths, features, strict=True):
            if length:
                row[:length] = self._encode_clip(clip[: length * SAMPLES_PER_FRAME], length)
        return features

    def _encode_clip(self, clip: Tensor, length: int) -> Tensor:
        if self.normalise:
            clip = (clip - clip.mean()) / torch.sqrt(clip.var(unbiased=False) + 1e-7)
        padded = functional.pad(clip, (_EDGE, _EDGE))
        pieces = []
        for start in range(0, length, CHUNK_FRAMES):
            end = min(start + CHUNK_FRAMES, length)
            first, last = max(0, start - CONTEXT_FRAMES), min(length, end + CONTEXT_FRAMES)
            piece = padded[first * SAMPLES_PER_FRAME : last * SAMPLES_PER_FRAME + 2 * _EDGE]
            hidden = self._hidden(piece[None])[0]
            pieces.append(hidden.reshape(last - first, self.width)[start - first : end - first])
        return torch.cat(pieces)

    def _hidden(self, audio: Tensor) -> Tensor:
        if self.layer is None:
            return self.model(audio).last_hidden_state
        return self.model(audio, output_hidden_states=True).hidden_states[self.layer]

    def get_extra_state(self) -> Tensor:
        return torch.tensor(list(self.fingerprint.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        stored = bytes(state.tolist()).decode()
        if stored != self.fingerprint:
            raise EncoderError(f"the checkpoint was trained with encoder {stored}, but {self.fingerprint} is loaded")


def _drop_frozen_weights(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}model.")]:
        del state[key]


def _add_frozen_weights(module: nn.Module, state: dict, prefix: str, *args: object) -> None:
    for key, value in module.model.state_dict().items():  # type: ignore[union-attr]
        state.setdefault(f"{prefix}model.{key}", value)


def encoder_fingerprint(model: nn.Module, name: str, layer: int | None, normalise: bool) -> str:
    """`<name>-<12 hex>` over layer, input normalisation and every weight; cached features carry it."""
    digest = hashlib.sha256(json.dumps([name, layer, normalise]).encode())
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key}{list(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return f"{name}-{digest.hexdigest()[:12]}"


def load_pretrained_encoder(
    name: str, path_or_hub_id: str | None = None, layer: int | None = None
) -> PretrainedEncoder:
    """Load `name` (hubert, wav2vec2 or wavlm) from a local folder or, where there is a network, from the Hugging Face hub.

    `layer`: which hidden layer gives the features (0 = input of the first), None for the last. Only safetensors weights
    are read. Raises `EncoderError` where the library or the weights are absent or belong to another kind of model.
    """
    if name not in KNOWN_ENCODERS:
        raise EncoderError(f"unknown speech encoder {name!r}; expected one of {', '.join(KNOWN_ENCODERS)}, or logmel")
    known = KNOWN_ENCODERS[name]
    source = path_or_hub_id or known.hub_id
    try:
        import transformers
    except ImportError as error:
        raise EncoderError(
            f"speech encoder {name} needs the package transformers: pip install 'persona-faces[pretrained]', or use "
            "speech=logmel, which needs nothing"
        ) from error
    try:
        config = transformers.AutoConfig.from_pretrained(source)
        if config.model_type not in known.model_types:
            raise EncoderError(f"{source} holds a {config.model_type} model; expected {name}")
        model_class = getattr(transformers, known.model_class)
        model = model_class.from_pretrained(source, use_safetensors=True, dtype=torch.float32)
    except (OSError, ImportError) as error:
        raise EncoderError(_absent_weights(name, known, source)) from error
    return PretrainedEncoder(model, name, layer, normalise=_normalises_input(source, config))


def _normalises_input(source: str, config: Any) -> bool:
    """Whether the model expects zero mean and unit variance: as its preprocessor file says, else as its kind was trained."""
    import transformers

    try:
        values, _ = transformers.Wav2Vec2FeatureExtractor.get_feature_extractor_dict(source)
    except OSError:
        return config.feat_extract_norm == "layer"
    return bool(values.get("do_normalize", True))


def _absent_weights(name: str, known: KnownEncoder, source: str) -> str:
    return (
        f"the weights of speech encoder {name} were not found at {source!r}. Needed: config.json and model.safetensors of "
        f"https://huggingface.co/{known.hub_id} (licence {known.licence}). With a network they are fetched once; without "
        f"one, copy that folder here and set its path. A repository that has only pytorch_model.bin must be converted to "
        f"safetensors first (pickle is not loaded). Or use speech=logmel, which needs no weights"
    )

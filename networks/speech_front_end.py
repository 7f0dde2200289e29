"""What turns speech into one vector per motion frame: log-mel trained from scratch, or a frozen pretrained encoder.

All front ends share one interface: `front_end(speech, num_frames) -> [B, T, width]`, `num_frames` [B] valid in each.
`speech` is audio `[B, N]` (16 kHz, T = N // 640) or features `[B, T, front_end.feature_width]` cached earlier.
Audio behind a clip's end is set to zero first, so nothing there can matter. Padded frames of the result are not zero.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.conformer import MaskedConv1d, valid_frames
from networks.convolution_linear import convolution_relu_linear
from networks.mel_augmentation import VoiceAugmentation
from speech.audio import SAMPLES_PER_FRAME
from speech.encoders import PretrainedEncoder, load_pretrained_encoder
from speech.features import MEL_FRAMES_PER_MOTION_FRAME, NUM_MELS, LogMel


class SpeechFrontEnd(nn.Module, ABC):
    """The shared part: features from audio (`extract`), then what is learned (`project`)."""

    width: int
    feature_width: int
    takes_cached_features = True
    context = 2  # motion frames to each side that a frame of the result depends on

    def forward(self, speech: Tensor, num_frames: Tensor) -> Tensor:
        features = self.extract(speech, num_frames) if speech.ndim == 2 else speech
        if features.ndim != 3 or features.shape[-1] != self.feature_width:
            raise ValueError(f"features have shape {list(features.shape)}; expected [B, T, {self.feature_width}]")
        return self.project(features, valid_frames(num_frames, features.shape[1]))

    @abstractmethod
    def extract(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        """Features `[B, T, feature_width]` without learned parameters; they can be cached."""

    @abstractmethod
    def project(self, features: Tensor, mask: Tensor) -> Tensor:
        """Features and mask `[B, T]` to `[B, T, width]`."""


def speech_of(front_end: SpeechFrontEnd, batch: Any) -> Tensor:
    """What a front end hears of a batch: cached features `[B, T, F]` where the shards hold them and it wants them, else audio `[B, N]`."""
    features = getattr(batch, "features", None)
    if features is None or not front_end.takes_cached_features:
        return batch.audio
    return features.reshape(*batch.mask.shape, -1)


def silence_behind_end(audio: Tensor, num_frames: Tensor) -> Tensor:
    """Audio `[B, N]` cut to whole motion frames, with zeros behind each clip's last frame."""
    frames = audio.shape[1] // SAMPLES_PER_FRAME
    blocks = audio[:, : frames * SAMPLES_PER_FRAME].unflatten(1, (frames, SAMPLES_PER_FRAME))
    return blocks.masked_fill(~valid_frames(num_frames, frames).unsqueeze(-1), 0.0).flatten(1)


class LogMelFrontEnd(SpeechFrontEnd):
    """The four mel frames of a motion frame side by side, then a convolution over three motion frames and a projection."""

    feature_width = MEL_FRAMES_PER_MOTION_FRAME * NUM_MELS
    takes_cached_features = False  # faster to compute than to read, and shards cache those of pretrained encoders

    def __init__(self, width: int = 128, voice_augmentation: bool = True) -> None:
        super().__init__()
        self.width = width
        self.log_mel = LogMel()
        self.augmentation = VoiceAugmentation() if voice_augmentation else nn.Identity()
        self.convolution = MaskedConv1d(self.feature_width, width, kernel_size=3)
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, width)

    def extract(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        return self.log_mel(silence_behind_end(audio, num_frames)).unflatten(1, (-1, 4)).flatten(2)

    def project(self, features: Tensor, mask: Tensor) -> Tensor:
        mel = self.augmentation(features.unflatten(2, (-1, NUM_MELS)).flatten(1, 2))
        features = mel.reshape(features.shape)
        return self.output(functional.silu(self.norm(self.convolution(features, mask))))


class PretrainedFrontEnd(SpeechFrontEnd):
    """Two stacked 50 Hz frames of a frozen encoder -> Linear. With `encoder` None only cached features are accepted."""

    def __init__(self, encoder: PretrainedEncoder | None, width: int = 128, feature_width: int | None = None) -> None:
        super().__init__()
        self.width, self.encoder = width, encoder
        self.feature_width = _feature_width(encoder, feature_width)
        self.norm = nn.LayerNorm(self.feature_width)
        self.output = nn.Linear(self.feature_width, width)

    def extract(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        return _encode(self.encoder, audio, num_frames)

    def project(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.output(self.norm(features))


class ReleasedFrontEnd(SpeechFrontEnd):
    """The front end of the released AdaMesh code, for fidelity: a 2-D convolution over (time, channel) that halves both.

    50 Hz features `[B, 2 T, H]` -> Conv2d 1 -> 256 (kernel 3, stride 2, padding 1), ReLU -> `[B, T, 256 * H / 2]` -> Linear,
    scaled by sqrt(width), dropout 0.1. With H = 1024 and width 256 the Linear alone has 33.6 million parameters.
    """

    CHANNELS = 256

    def __init__(self, encoder: PretrainedEncoder | None, width: int = 256, feature_width: int | None = None) -> None:
        super().__init__()
        self.width, self.encoder = width, encoder
        self.feature_width = _feature_width(encoder, feature_width)
        self.convolution = nn.Conv2d(1, self.CHANNELS, kernel_size=3, stride=2, padding=1)
        self.output = nn.Linear(self.CHANNELS * ((self.feature_width // 2 + 1) // 2), width)
        self.dropout = nn.Dropout(0.1)

    def extract(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        return _encode(self.encoder, audio, num_frames)

    def project(self, features: Tensor, mask: Tensor) -> Tensor:
        features = features.masked_fill(~mask.unsqueeze(-1), 0.0)
        batch, frames, width = features.shape
        plane = features.reshape(batch, 2 * frames, width // 2)
        if self._runs_blockwise(plane):
            x = convolution_relu_linear(plane, mask, self.convolution, self.output)
        else:
            maps = functional.relu(self.convolution(plane.unsqueeze(1)))
            x = self.output(maps.transpose(1, 2).flatten(2))
        return self.dropout(x * math.sqrt(self.width))

    def _runs_blockwise(self, plane: Tensor) -> bool:
        """Whether `convolution_relu_linear` can stand for the layers: a CPU, full precision, and layers that nothing has wrapped or adapted."""
        layers = (self.convolution, self.output)
        return (
            plane.device.type == "cpu"
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
            and (type(self.convolution), type(self.output)) == (nn.Conv2d, nn.Linear)
            and plane.dtype in (torch.float32, torch.float64)
            and all(layer.weight.dtype == plane.dtype for layer in layers)
        )


def _feature_width(encoder: PretrainedEncoder | None, feature_width: int | None) -> int:
    width = encoder.width if encoder is not None else feature_width
    if width is None:
        raise ValueError("without an encoder, give the feature_width of the cached features")
    return width


def _encode(encoder: PretrainedEncoder | None, audio: Tensor, num_frames: Tensor) -> Tensor:
    if encoder is None:
        raise ValueError(
            f"this front end has no encoder and takes cached features [B, T, F], but got audio {list(audio.shape)}; "
            "load the encoder or read the cached features from the shards"
        )
    return encoder(audio, num_frames)


def require_width(front_end: SpeechFrontEnd | None, width: int) -> None:
    """Raises ValueError for no front end, or one that gives another width than a network's `width`."""
    if front_end is None:
        raise ValueError("speech=none: this network hears nothing without a front end; give speech=logmel or another")
    if front_end.width != width:
        raise ValueError(f"the front end gives width {front_end.width}; the network has {width}: make them equal")


def no_front_end() -> None:
    """For networks that hear the log-mel by themselves and a front end beside it, if any."""


def build_front_end(
    speech: str,
    width: int = 128,
    model_path: str | None = None,
    layer: int | None = None,
    released: bool = False,
    cached_feature_width: int | None = None,
    voice_augmentation: bool = True,
) -> SpeechFrontEnd:
    """The front end named `speech`: logmel, or hubert, wav2vec2 or wavlm with weights at `model_path` (folder or hub id).

    With `cached_feature_width` no weights are loaded, and only features cached in the shards are accepted.
    `voice_augmentation` is of logmel: other voices in training, see `VoiceAugmentation`.
    """
    if speech == "logmel":
        return LogMelFrontEnd(width, voice_augmentation)
    encoder = None if cached_feature_width else load_pretrained_encoder(speech, model_path, layer)
    front_end = ReleasedFrontEnd if released else PretrainedFrontEnd
    return front_end(encoder, width, cached_feature_width)

"""A small network that hears phonemes: log-mel to the phoneme class of every 20 ms."""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from torch import Tensor, nn

from networks.conformer import Conformer, ConformerSettings, MaskedConv1d, valid_frames
from networks.fingerprint import fingerprint_of
from networks.mel_augmentation import VoiceAugmentation
from networks.speech_front_end import silence_behind_end
from speech.features import MEL_FRAMES_PER_MOTION_FRAME, NUM_MELS, LogMel
from speech.phonemes import LABELS_PER_MOTION_FRAME, PHONEMES
from speech.tensor_file import load_tensor_file, save_tensor_file

FORMAT = "phonetic-encoder-1"


class PhoneticEncoder(nn.Module):
    """Audio `[B, N]` and `num_frames` [B] to logits `[B, 2 * T, C]` of the classes of `speech.phonemes`, T = N // 640.

    The four mel frames of a motion frame side by side, a convolution over three motion frames, `blocks` Conformer blocks that see `attention_span` frames to
    each side, and for every motion frame the classes of its two halves. In training each clip gets another voice (`VoiceAugmentation`), where
    `voice_augmentation` is on. Raises ValueError for sizes that do not fit together.
    """

    mel_width = MEL_FRAMES_PER_MOTION_FRAME * NUM_MELS

    def __init__(
        self,
        width: int = 160,
        blocks: int = 3,
        num_heads: int = 4,
        feed_forward: int = 480,
        kernel_size: int = 15,
        dropout: float = 0.1,
        attention_span: int = 25,
        voice_augmentation: bool = True,
    ) -> None:
        super().__init__()
        sizes = {"width": width, "blocks": blocks, "num_heads": num_heads, "feed_forward": feed_forward}
        rest = {"kernel_size": kernel_size, "dropout": dropout, "attention_span": attention_span}
        self.settings: dict[str, Any] = {**sizes, **rest, "voice_augmentation": voice_augmentation}
        self.width = width
        self.context = blocks * (attention_span + kernel_size // 2) + 2
        self.log_mel = LogMel()
        self.augmentation = VoiceAugmentation() if voice_augmentation else nn.Identity()
        self.convolution = MaskedConv1d(self.mel_width, width, kernel_size=3)
        self.norm = nn.LayerNorm(width)
        self.conformer = Conformer(
            ConformerSettings(width, num_heads, feed_forward, kernel_size, dropout, attention_span), blocks
        )
        self.classifier = nn.Linear(width, LABELS_PER_MOTION_FRAME * len(PHONEMES))

    def forward(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        mel = self.mel(audio, num_frames)
        return self.classify(self.encode(mel, valid_frames(num_frames, mel.shape[1])))

    def mel(self, audio: Tensor, num_frames: Tensor) -> Tensor:
        """Log-mel of each motion frame `[B, T, 320]`, as of silence behind a clip's end."""
        return self.log_mel(silence_behind_end(audio, num_frames)).unflatten(1, (-1, 4)).flatten(2)

    def encode(self, mel: Tensor, mask: Tensor) -> Tensor:
        """Log-mel `[B, T, 320]` and mask `[B, T]` to features `[B, T, width]`, zero in padded frames."""
        voiced = self.augmentation(mel.unflatten(2, (-1, NUM_MELS)).flatten(1, 2)).reshape(mel.shape)
        x = nn.functional.silu(self.norm(self.convolution(voiced, mask)))
        return self.conformer(x, mask)

    def classify(self, features: Tensor) -> Tensor:
        """Features `[B, T, width]` to logits `[B, 2 * T, C]`."""
        return self.classifier(features).unflatten(2, (LABELS_PER_MOTION_FRAME, -1)).flatten(1, 2)

    def posteriors(self, mel: Tensor, mask: Tensor) -> Tensor:
        """Probabilities of the classes in both halves of each motion frame `[B, T, 2 * C]` from log-mel `[B, T, 320]`."""
        return self.classify(self.encode(mel, mask)).softmax(-1).unflatten(1, (-1, LABELS_PER_MOTION_FRAME)).flatten(2)

    def fingerprint(self) -> str:
        """Hash of settings and weights."""
        return fingerprint_of(self, json.dumps(self.settings, sort_keys=True))


def save_phonetic_encoder(path: str | os.PathLike[str], encoder: PhoneticEncoder) -> None:
    """Write weights, sizes and classes into one safetensors file, whole or not at all."""
    tensors = {name: value.detach().cpu().numpy() for name, value in encoder.state_dict().items()}
    metadata = {"format": FORMAT, "settings": json.dumps(encoder.settings), "phonemes": json.dumps(PHONEMES)}
    save_tensor_file(path, tensors, metadata)


def load_phonetic_encoder(path: str) -> PhoneticEncoder:
    """The encoder of a file that `save_phonetic_encoder` wrote, in evaluation mode.

    Raises ValueError for another file or one with other phoneme classes, FileNotFoundError for none.
    """
    tensors, metadata = load_tensor_file(path, FORMAT)
    try:
        settings, phonemes = (json.loads(metadata[name]) for name in ("settings", "phonemes"))
        if phonemes != list(PHONEMES):
            raise ValueError("its phoneme classes are not those of this version; train it again")
        encoder = PhoneticEncoder(**settings)
        encoder.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} holds no phonetic encoder of this version: {error}") from error
    return encoder.eval()

"""What generated head motion is compared with: the person's own template, somebody's motion at random, and regression from speech."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from networks.conformer import valid_frames
from networks.mel_augmentation import VoiceAugmentation
from networks.pose_representation import NUM_CHANNELS, HeadRepresentation
from networks.speech_front_end import silence_behind_end
from speech.features import MEL_FRAMES_PER_MOTION_FRAME, NUM_MELS, LogMel


def template_copy(template: Tensor, num_frames: int) -> Tensor:
    """The template's head rotations `[R, 3]` played forward and back without a jump for `num_frames` `[num_frames, 3]`: the
    person's own motion, which knows nothing of the speech.

    Raises ValueError for an empty template.
    """
    if template.ndim != 2 or not len(template):
        raise ValueError(
            f"the template has shape {list(template.shape)}; expected head rotations [R, 3] of at least one frame"
        )
    loop = torch.cat([template, template.flip(0)[1:-1]])
    return loop[torch.arange(num_frames) % len(loop)]


def random_retrieval(heads: Sequence[Tensor], num_frames: int, generator: torch.Generator) -> Tensor:
    """A random piece of a random one of `heads` (each `[T, 3]`) `[num_frames, 3]`; a shorter clip goes forward and back.

    Real motion of the wrong person for other speech: as natural as motion gets, and right in nothing else. Raises
    ValueError without clips.
    """
    if not heads:
        raise ValueError("random retrieval got no clips; is the training split empty?")
    chosen = heads[int(torch.randint(len(heads), (), generator=generator))]
    start = int(torch.randint(max(1, len(chosen) - num_frames + 1), (), generator=generator))
    return template_copy(chosen[start:], num_frames)


class HeadRegression(nn.Module):
    """Log-mel and the reference's posture to head motion by a bidirectional LSTM: one answer for each speech, the mean of what
    fits it, as regression gives.

    `head_of(batch)` gives axis-angle `[B, T, 3]`; `forward` the channels of `HeadRepresentation` `[B, T, 6]`. Of the
    person it knows mean and deviation of the reference's channels. In training mode the sound is changed as
    `VoiceAugmentation` does.
    """

    def __init__(self, width: int = 128, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.representation = HeadRepresentation()
        self.log_mel = LogMel()
        self.augmentation = VoiceAugmentation()
        self.input = nn.Linear(MEL_FRAMES_PER_MOTION_FRAME * NUM_MELS + 2 * NUM_CHANNELS, width)
        self.lstm = nn.LSTM(
            width, width, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )
        self.output = nn.Linear(2 * width, NUM_CHANNELS)

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Mean and standard deviation `[3]` of the corpus' axis-angle head rotations, radians."""
        self.representation.set_statistics(mean, std)

    def forward(self, audio: Tensor, num_frames: Tensor, reference: Tensor, reference_num_frames: Tensor) -> Tensor:
        """Audio `[B, N]` (16 kHz) and reference head rotations `[B, R, 3]` to channels `[B, T, 6]`, zero at padding."""
        mel = self.augmentation(self.log_mel(silence_behind_end(audio, num_frames)))
        mel = mel.unflatten(1, (-1, MEL_FRAMES_PER_MOTION_FRAME)).flatten(2)
        manner = self._manner(reference, reference_num_frames)
        mean = manner[:, None, :NUM_CHANNELS]
        x = torch.cat([mel, manner.unsqueeze(1).expand(-1, mel.shape[1], -1)], -1)
        x = nn.functional.silu(self.input(x))
        packed = nn.utils.rnn.pack_padded_sequence(x, num_frames.cpu(), batch_first=True, enforce_sorted=False)
        hidden, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        # What is learned is the difference from how the person holds the head.
        return (mean + self.output(hidden)).masked_fill(~valid_frames(num_frames, x.shape[1]).unsqueeze(-1), 0.0)

    def head_of(self, batch: Any, audio: Tensor | None = None) -> Tensor:
        """Head rotations `[B, T, 3]` for a `SpeechFaceBatch`, or for other `audio` `[B, N]` of its lengths; zero at padding."""
        sound = batch.audio if audio is None else audio
        channels = self(sound, batch.num_frames, batch.reference_head, batch.reference_num_frames)
        return self.representation.inverse(channels.float()).masked_fill(~batch.mask.unsqueeze(-1), 0.0)

    def _manner(self, reference: Tensor, num_frames: Tensor) -> Tensor:
        """Mean and deviation over time of the reference's channels `[B, 12]`."""
        mask = valid_frames(num_frames, reference.shape[1]).unsqueeze(-1)
        count = num_frames.view(-1, 1)
        channels = self.representation(reference.masked_fill(~mask, 0.0)).masked_fill(~mask, 0.0)
        mean = channels.sum(1) / count
        square = (channels - mean.unsqueeze(1)).masked_fill(~mask, 0.0).square().sum(1) / count
        return torch.cat([mean, square.sqrt()], -1).detach()

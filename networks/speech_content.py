"""What is said, one vector a motion frame: a front end and a Conformer of limited attention span, for the networks beside the expression adapter."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from networks.conformer import Conformer, ConformerSettings, valid_frames
from networks.speech_front_end import SpeechFrontEnd, require_width
from speech.audio import SAMPLES_PER_FRAME

# Frames encoded at once where a clip is long.
PIECE_FRAMES = 1500


class SpeechContent(nn.Module):
    """Audio `[B, N]` or cached features `[B, T, F]` to content `[B, T, width]`, as the audio encoder of `ExpressionAdapter`.

    Raises ValueError for a front end of another width and for settings without an attention span, which would make long speech quadratic.
    """

    def __init__(self, front_end: SpeechFrontEnd, settings: ConformerSettings, blocks: int) -> None:
        super().__init__()
        require_width(front_end, settings.width)
        if settings.attention_span is None:
            raise ValueError("settings.attention_span is None; give the frames to each side that attention sees")
        self.front_end = front_end
        self.encoder = Conformer(settings, blocks)
        # Frames to each side that one frame can depend on.
        self.reach = blocks * (settings.attention_span + settings.kernel_size // 2) + front_end.context

    def forward(self, speech: Tensor, num_frames: Tensor) -> Tensor:
        x = self.front_end(speech, num_frames)
        return self.encoder(x, valid_frames(num_frames, x.shape[1]))

    def encode_long(self, speech: Tensor, num_frames: Tensor) -> Tensor:
        """As `forward`, in pieces that overlap by what a frame can see: exact, and linear in the length of the speech."""
        stride = SAMPLES_PER_FRAME if speech.ndim == 2 else 1
        total = speech.shape[1] // stride
        pieces = []
        for start in range(0, total, PIECE_FRAMES):
            end = min(start + PIECE_FRAMES, total)
            first, last = max(0, start - self.reach), min(total, end + self.reach)
            lengths = (num_frames - first).clamp(0, last - first)
            content = self(speech[:, first * stride : last * stride], lengths)
            pieces.append(content[:, start - first : end - first])
        return torch.cat(pieces, dim=1)

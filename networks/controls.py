"""What a talking face must beat: the person held still, and the same network on speech whose order in time is destroyed."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from networks.speech_front_end import speech_of
from speech.audio import SAMPLES_PER_FRAME

# Long enough to keep the sound of speech, short enough to destroy its timing.
SHUFFLE_BLOCK_FRAMES = 5


def predict(net: Any, batch: Any, speech: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Raw expression `[B, T, E]` and jaw `[B, T, 3]` of an expression adapter for a batch with its style references."""
    return net.generate(
        speech_of(net.front_end, batch) if speech is None else speech,
        batch.num_frames,
        torch.cat([batch.reference_expression, batch.reference_jaw], dim=-1),
        batch.reference_num_frames,
        batch.identity,
        batch.identity_known,
    )


def time_shuffled(speech: Tensor, num_frames: Tensor, keys: list[str]) -> Tensor:
    """Audio `[B, 640 T]` or features `[B, T, F]` with blocks of 0.2 s in another order, drawn from each clip's key; padding stays."""
    per_frame = SAMPLES_PER_FRAME if speech.ndim == 2 else 1
    shuffled = speech.clone()
    for row, (frames, key) in enumerate(zip(num_frames.tolist(), keys, strict=True)):
        blocks = list(speech[row, : frames * per_frame].split(SHUFFLE_BLOCK_FRAMES * per_frame))
        order = np.random.default_rng(zlib.crc32(key.encode())).permutation(len(blocks))
        shuffled[row, : frames * per_frame] = torch.cat([blocks[i] for i in order])
    return shuffled


def reference_mean_face(batch: Any) -> tuple[Tensor, Tensor]:
    """The style reference's mean expression `[B, T, E]` and jaw `[B, T, 3]`, held still: all that the model knows of the person."""
    reference = torch.cat([batch.reference_expression, batch.reference_jaw], dim=-1)
    weight = batch.reference_mask.unsqueeze(-1)
    mean = (reference * weight).sum(1) / weight.sum(1)
    held = mean[:, None].expand(-1, batch.expression.shape[1], -1)
    return held[..., : batch.expression.shape[-1]], held[..., batch.expression.shape[-1] :]


class SpeakerMeanFace(nn.Module):
    """The mean over all frames of all scored clips of the speaker, the scored one included: it knows more than any method may."""

    def __init__(self) -> None:
        super().__init__()
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def observe(self, batch: Any) -> None:
        raw = torch.cat([batch.expression, batch.jaw], dim=-1).double()
        for row, speaker in enumerate(batch.speakers):
            frames = int(batch.num_frames[row])
            self._sums[speaker] = (
                self._sums.get(speaker, torch.zeros(raw.shape[-1]).double()) + raw[row, :frames].sum(0).cpu()
            )
            self._counts[speaker] = self._counts.get(speaker, 0) + frames

    def forward(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Raw expression `[B, T, E]` and jaw `[B, T, 3]`; raises ValueError for a speaker that was never observed."""
        unseen = sorted(set(batch.speakers) - set(self._sums))
        if unseen:
            raise ValueError(f"no frames of {unseen} were observed; call observe() on every batch first")
        means = (
            torch.stack([self._sums[s] / self._counts[s] for s in batch.speakers]).float().to(batch.expression.device)
        )
        held = means[:, None].expand(-1, batch.expression.shape[1], -1)
        return held[..., : batch.expression.shape[-1]], held[..., batch.expression.shape[-1] :]

"""CodeTalker's second stage (Xing et al., CVPR 2023): speech to the codes of a motion prior, one frame after the other.

Written from the paper, over coefficients in place of vertices. docs/BASELINES.md lists what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.biased_decoder import PERIOD, BiasedDecoder, DecoderCache
from networks.codetalker_prior import MotionPrior
from networks.conformer import ConformerSettings
from networks.expression_adapter import ATTENTION_SPAN
from networks.expression_baseline import ExpressionBaseline, OneHotStyle
from networks.speech_content import SpeechContent
from networks.speech_front_end import SpeechFrontEnd
from networks.style_encoder import Style


class TeacherForced(NamedTuple):
    """`coefficients` `[B, T, E + 3]` normalised; `features` `[B, T, H * D]` predicted from the true past, and `true_codes`, the quantised
    features of the true motion, without gradient.
    """

    coefficients: Tensor
    features: Tensor
    true_codes: Tensor


class CodeTalker(ExpressionBaseline):
    """A decoder predicts the prior's features of a frame from speech, past motion and a learned vector of the speaker; they are quantised
    by the prior's codebook and decoded to displacements by its decoder.

    The prior stays frozen and in evaluation mode, and its statistics are those of this network: codes mean nothing with others.
    `style_names`: the speakers that are trained on; see `OneHotStyle` for others. `forward` is given the true past, `speak` its own.
    """

    def __init__(
        self,
        front_end: SpeechFrontEnd,
        prior: MotionPrior,
        style_names: Sequence[str],
        width: int = 128,
        blocks: int = 2,
        num_heads: int = 4,
        feed_forward: int = 512,
        kernel_size: int = 15,
        dropout: float = 0.1,
        decoder_layers: int = 2,
        period: int = PERIOD,
    ) -> None:
        super().__init__(prior.space)
        settings = ConformerSettings(width, num_heads, feed_forward, kernel_size, dropout, ATTENTION_SPAN)
        self.front_end = front_end
        self.prior = prior.requires_grad_(False).eval()
        # The same memory: whatever fills the prior's statistics fills these.
        self.mean, self.std = prior.mean, prior.std
        self.content = SpeechContent(front_end, settings, blocks)
        self.style = OneHotStyle(style_names, width)
        self.motion_input = nn.Linear(self.num_channels, width, bias=False)
        self.decoder = BiasedDecoder(width, decoder_layers, num_heads, feed_forward, dropout, period)
        self.output = nn.Linear(width, prior.feature_width)

    def train(self, mode: bool = True) -> CodeTalker:
        super().train(mode)
        self.prior.eval()
        return self

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """The prior's statistics stay."""

    def style_vector(self, speakers: Sequence[str] | None, batch: int) -> Tensor:
        return self.style(speakers, batch)

    def forward(self, speech: Tensor, num_frames: Tensor, style: Style, target: Tensor) -> TeacherForced:
        """Audio `[B, N]` or cached features `[B, T, F]` and the true normalised coefficients `[B, T, E + 3]`."""
        content = self.content(speech, num_frames)
        displacement = target - style.resting.unsqueeze(1)
        past = functional.pad(displacement[:, :-1], (0, 0, 1, 0))
        hidden = self.decoder(self.motion_input(past) + style.embedding.unsqueeze(1), content)
        features = self.output(hidden)
        with torch.no_grad():
            true_codes = self.prior.quantize(self.prior.encode(displacement, num_frames), num_frames).quantized
        quantized = self.prior.quantize(features, num_frames).quantized
        motion = self.prior.decode(quantized, num_frames)
        return TeacherForced(self.around(style, motion, num_frames), features, true_codes)

    @torch.no_grad()
    def speak(self, speech: Tensor, num_frames: Tensor, style: Style) -> Tensor:
        """What is fed back of a frame is decoded from the codes up to it; the result is decoded from all of them.

        A decoded frame depends on `prior.reach` codes to each side, so no more of the past is decoded again: a step costs the same
        however many came before it, up to attention.
        """
        content = self.content.encode_long(speech, num_frames)
        heard, cache = self.decoder.hear(content), DecoderCache(len(self.decoder.layers))
        batch, reach = len(content), self.prior.reach
        past, codes = content.new_zeros(batch, self.num_channels), []
        one = torch.ones(batch, dtype=torch.int64, device=content.device)
        for frame in range(content.shape[1]):
            hidden = self.decoder.step(self.motion_input(past) + style.embedding, heard, frame, cache)
            codes.append(self.prior.quantize(self.output(hidden).unsqueeze(1), one).quantized)
            recent = torch.cat(codes[-reach - 1 :], dim=1)
            past = self.prior.decode(recent, recent.shape[1] * one)[:, -1]
        motion = self.prior.decode_long(torch.cat(codes, dim=1), num_frames)
        return self.around(style, motion, num_frames)

"""FaceFormer (Fan et al., CVPR 2022), written from the paper, speaking in coefficients instead of vertices.

The speech encoder is this project's own, so that all methods hear alike; the paper fine-tunes wav2vec 2.0. docs/BASELINES.md lists what differs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from networks.biased_decoder import PERIOD, BiasedDecoder, DecoderCache
from networks.conformer import ConformerSettings
from networks.expression_adapter import ATTENTION_SPAN
from networks.expression_baseline import ExpressionBaseline, OneHotStyle
from networks.speech_content import SpeechContent
from networks.speech_front_end import SpeechFrontEnd
from networks.style_encoder import Style


class FaceFormer(ExpressionBaseline):
    """Each frame from the speech, the frames that were predicted before it and a learned vector of the speaker.

    The decoder is autoregressive in training too (the paper found that better than the true past), and gradients flow through the frames
    that are fed back. `style_names`: the speakers that are trained on; see `OneHotStyle` for others.
    """

    def __init__(
        self,
        front_end: SpeechFrontEnd,
        style_names: Sequence[str],
        space: str = "arkit",
        width: int = 128,
        blocks: int = 2,
        num_heads: int = 4,
        feed_forward: int = 512,
        kernel_size: int = 15,
        dropout: float = 0.1,
        decoder_layers: int = 1,
        period: int = PERIOD,
    ) -> None:
        super().__init__(space)
        settings = ConformerSettings(width, num_heads, feed_forward, kernel_size, dropout, ATTENTION_SPAN)
        self.front_end = front_end
        self.content = SpeechContent(front_end, settings, blocks)
        self.style = OneHotStyle(style_names, width)
        # Without a bias: the first frame's past is nothing but the style, and later ones have the bias in the style.
        self.motion_input = nn.Linear(self.num_channels, width, bias=False)
        self.decoder = BiasedDecoder(width, decoder_layers, num_heads, feed_forward, dropout, period)
        self.output = nn.Linear(width, self.num_channels)
        # Training starts from the resting face.
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def style_vector(self, speakers: Sequence[str] | None, batch: int) -> Tensor:
        return self.style(speakers, batch)

    def forward(self, speech: Tensor, num_frames: Tensor, style: Style) -> Tensor:
        """Normalised coefficients `[B, T, E + 3]` for audio `[B, N]` or cached features `[B, T, F]`."""
        return self.decode(self.content(speech, num_frames), num_frames, style)

    def speak(self, speech: Tensor, num_frames: Tensor, style: Style) -> Tensor:
        return self.decode(self.content.encode_long(speech, num_frames), num_frames, style)

    def decode(self, content: Tensor, num_frames: Tensor, style: Style) -> Tensor:
        """Content `[B, T, width]` to normalised coefficients, one frame after the other."""
        heard, cache = self.decoder.hear(content), DecoderCache(len(self.decoder.layers))
        moving = (self.std > 0).to(content.dtype)
        displacement = content.new_zeros(len(content), self.num_channels)
        frames = []
        for frame in range(content.shape[1]):
            past = self.motion_input(displacement) + style.embedding
            displacement = self.output(self.decoder.step(past, heard, frame, cache)) * moving
            frames.append(displacement)
        return self.around(style, torch.stack(frames, dim=1), num_frames)

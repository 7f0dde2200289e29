"""AdaMesh's expression adapter: speech gives the content, a reference clip and the person's shape give the style.

Audio encoder and decoder follow the released code (reference sizes: width 256, 3 blocks, feed-forward 2048, kernel 15);
style encoder, identity encoder and fusion are drawn but not specified in the paper, and their sizes are this project's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from networks.coefficient_space import CoefficientSpace
from networks.conformer import (
    Conformer,
    ConformerSettings,
    MaskedConv1d,
    dropout_layer,
    masked_norm,
    valid_frames,
)
from networks.identity_encoder import IdentityEncoder
from networks.speech_front_end import SpeechFrontEnd, require_width
from networks.style_encoder import Style, StyleEncoder
from speech.audio import SAMPLES_PER_FRAME

# Two seconds to each side; see ConformerSettings.attention_span.
ATTENTION_SPAN = 50
GENERATION_CHUNK = 1500
# A coefficient that the corpus hardly uses can spread by dozens of its deviations in one reference.
LARGEST_SPREAD = 4.0


class AdapterOutput(NamedTuple):
    """Normalised coefficients `[B, T, E + 3]` before (`mid`) and after (`final`) the post-net; padded frames are zero."""

    mid: Tensor
    final: Tensor


class PostNet(nn.Module):
    """A correction of the coefficients from their neighbours in time: two masked convolutions and a Linear."""

    HIDDEN = 128

    def __init__(self, num_channels: int, released: bool) -> None:
        super().__init__()
        self.first = MaskedConv1d(num_channels, self.HIDDEN, kernel_size=5)
        self.first_norm = masked_norm(self.HIDDEN, released)
        self.second = MaskedConv1d(self.HIDDEN, num_channels, kernel_size=5)
        self.second_norm = masked_norm(num_channels, released)
        self.output = nn.Linear(num_channels, num_channels)
        self.dropout = nn.Dropout(0.5 if released else 0.0)
        nn.init.xavier_uniform_(self.first.weight, gain=nn.init.calculate_gain("tanh"))
        nn.init.xavier_uniform_(self.second.weight)
        if released:
            nn.init.xavier_uniform_(self.output.weight)
        else:  # start from no correction: random ones cost the first hundreds of steps
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.dropout(torch.tanh(self.first_norm(self.first(x, mask), mask)))
        x = self.dropout(self.second_norm(self.second(x, mask), mask))
        return self.output(x)


class ExpressionAdapter(CoefficientSpace):
    """Speech, reference expression and identity to expression and jaw of one face space.

    `num_identity` is the length of the identity vector, 0 for none. `blocks` Conformer blocks form the audio encoder and
    as many the decoder; the style encoder has one fewer of half the feed-forward width. `released` takes the released
    code's options (see `ConformerSettings`), its scaling by sqrt(width) and its dropout of 0.5 in the post-net. In training `null_style` of the samples get the null style and `reference_hidden`
    of a reference's frames are masked.
    """

    def __init__(
        self,
        front_end: SpeechFrontEnd,
        space: str = "arkit",
        num_identity: int = 0,
        width: int = 128,
        blocks: int = 2,
        num_heads: int = 4,
        feed_forward: int = 512,
        kernel_size: int = 15,
        dropout: float = 0.1,
        released: bool = False,
        null_style: float = 0.1,
        reference_hidden: float = 0.5,
    ) -> None:
        super().__init__(space)
        require_width(front_end, width)
        channels = self.num_channels
        self.num_identity = num_identity
        span = None if released else ATTENTION_SPAN
        settings = ConformerSettings(width, num_heads, feed_forward, kernel_size, dropout, span, released)
        style = ConformerSettings(width, num_heads, feed_forward // 2, kernel_size, dropout, span, released)
        self.input_scale = math.sqrt(width) if released else 1.0
        self.context = None if span is None else 2 * blocks * (span + kernel_size // 2) + 6 + front_end.context

        self.front_end = front_end
        self.audio_encoder = Conformer(settings, blocks)
        self.style_encoder = StyleEncoder(channels, style, max(1, blocks - 1), null_style, reference_hidden)
        self.identity_encoder = IdentityEncoder(num_identity, width)
        self.fusion = nn.Linear(3 * width, width)
        self.decoder_input = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), dropout_layer(settings))
        self.decoder = Conformer(settings, blocks)
        self.head = nn.Linear(width, channels)
        self.post_net = PostNet(channels, released)
        self.resting_gate = nn.Parameter(torch.ones(channels))
        self.spread_gate = nn.Parameter(torch.full((channels,), 0.5))

    def forward(
        self,
        speech: Tensor,
        num_frames: Tensor,
        reference: Tensor,
        reference_num_frames: Tensor,
        identity: Tensor,
        identity_known: Tensor | None = None,
    ) -> AdapterOutput:
        """Coefficients for audio `[B, N]` or cached features `[B, T, F]`; T = N // 640.

        `reference` `[B, R, E + 3]` is normalised; `identity` `[B, I]`, unknown where `identity_known` [B] is False (by
        default where all its coefficients are zero).
        """
        style = self.style_encoder(reference, reference_num_frames)
        person = self.encode_identity(identity, identity_known)
        return self.decode(self.encode_audio(speech, num_frames), num_frames, style, person)

    def encode_identity(self, identity: Tensor, known: Tensor | None = None) -> Tensor:
        """Identity `[B, I]` to one vector a person `[B, width]`."""
        return self.identity_encoder(identity, identity.ne(0).any(-1) if known is None else known)

    def encode_audio(self, speech: Tensor, num_frames: Tensor) -> Tensor:
        """Audio or features to content `[B, T, width]`; it does not depend on style or identity."""
        x = self.front_end(speech, num_frames)
        return self.audio_encoder(x, valid_frames(num_frames, x.shape[1]))

    def decode(self, content: Tensor, num_frames: Tensor, style: Style, person: Tensor) -> AdapterOutput:
        """Content `[B, T, width]`, style and person `[B, width]` to normalised coefficients.

        The reference's mean and spread reach the output directly, each coefficient by a learned share: a face at rest differs between
        people (and trackers) more than a network can learn from a few dozen of them.
        """
        mask = valid_frames(num_frames, content.shape[1])
        constant = torch.cat([style.embedding, person], dim=-1).unsqueeze(1).expand(-1, content.shape[1], -1)
        x = self.fusion(torch.cat([content, constant], dim=-1))
        x = self.decoder(self.decoder_input(x) * self.input_scale, mask)
        # Constant dimensions are not predicted: zero is their normalised value, and no gradient comes from them.
        keep = mask.unsqueeze(-1) & (self.std > 0)
        scale = (1 + self.spread_gate * (style.spread.clamp(max=LARGEST_SPREAD) - 1)).clamp(min=0)
        mid = (self.resting_gate * style.resting).unsqueeze(1) + scale.unsqueeze(1) * self.head(x)
        final = mid + self.post_net(mid, mask)
        return AdapterOutput(mid.masked_fill(~keep, 0.0), final.masked_fill(~keep, 0.0))

    @torch.no_grad()
    def generate(
        self,
        speech: Tensor,
        num_frames: Tensor,
        reference: Tensor | None = None,
        reference_num_frames: Tensor | None = None,
        identity: Tensor | None = None,
        identity_known: Tensor | None = None,
        guidance: float = 1.0,
        style: Style | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Raw expression `[B, T, E]` and jaw `[B, T, 3]` for speech of any length, in evaluation mode.

        `reference` `[B, R, E + 3]` is in raw units (expression, then jaw), `style` what `encode_style` makes of one; without either the style is
        the learned null style.
        `guidance` moves from the null style (0) over the style (1) beyond it (above 1), in normalised units (Ho and
        Salimans, 2022). The result is that of `raw_output`.
        """
        was_training = self.training
        self.eval()
        try:
            batch = len(num_frames)
            null = self.style_encoder.null_style(batch)
            if reference is not None:
                style = self.encode_style(reference, reference_num_frames)
            chosen = null if style is None else style
            if identity is None:
                identity = self.mean.new_zeros(batch, self.identity_encoder.num_identity)
            person = self.encode_identity(identity, identity_known)
            coefficients = self._generate_pieces(speech, num_frames, chosen, person)
            if guidance != 1.0 and style is not None:
                plain = self._generate_pieces(speech, num_frames, null, person)
                coefficients = plain + guidance * (coefficients - plain)
        finally:
            self.train(was_training)
        return self.raw_output(coefficients)

    @torch.no_grad()
    def encode_style(self, reference: Tensor, reference_num_frames: Tensor | None = None) -> Style:
        """The style of a reference `[B, R, E + 3]` in raw units (expression, then jaw), in evaluation mode."""
        normalised = self.normalise(reference[..., : self.num_expression], reference[..., self.num_expression :])
        if reference_num_frames is None:
            reference_num_frames = torch.full((len(reference),), reference.shape[1], device=reference.device)
        encoder, was_training = self.style_encoder, self.style_encoder.training
        encoder.eval()
        try:
            return encoder(normalised, reference_num_frames)
        finally:
            encoder.train(was_training)

    def _generate_pieces(self, speech: Tensor, num_frames: Tensor, style: Style, person: Tensor) -> Tensor:
        """The final output, in pieces where the clip is long: beyond `context` frames nothing is seen, so this is exact."""
        is_audio = speech.ndim == 2
        total = speech.shape[1] // SAMPLES_PER_FRAME if is_audio else speech.shape[1]
        size = total if self.context is None else GENERATION_CHUNK
        stride = SAMPLES_PER_FRAME if is_audio else 1
        pieces = []
        for start in range(0, total, size):
            end = min(start + size, total)
            first = max(0, start - (self.context or 0))
            last = min(total, end + (self.context or 0))
            lengths = (num_frames - first).clamp(0, last - first)
            content = self.encode_audio(speech[:, first * stride : last * stride], lengths)
            final = self.decode(content, lengths, style, person).final
            pieces.append(final[:, start - first : end - first])
        return torch.cat(pieces, dim=1)

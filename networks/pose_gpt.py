"""PoseGPT: a causal transformer over pose codes that hears the speech, as AdaMesh's pose prediction; sizes are this
project's own.

Everything here works at the rate of the codes: step s stands for `frames_per_code` motion frames. See
`networks.pose_generation` for generation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.conformer import ROTARY_BASE, SequenceDropout, valid_frames
from networks.mel_augmentation import VoiceAugmentation
from networks.speech_front_end import SpeechFrontEnd, silence_behind_end
from speech.features import MEL_FRAMES_PER_MOTION_FRAME, NUM_MELS, LogMel


@dataclass(frozen=True)
class PoseGPTSettings:
    """Sizes. `context`: steps that one layer's attention looks back, itself included; with L layers a code can matter
    for L * (context - 1) + 1 steps, and training windows need not be that long. `look_ahead`: steps of speech beyond
    the present one.
    """

    num_codes: int = 1024
    width: int = 128
    layers: int = 6
    num_heads: int = 4
    feed_forward: int = 256
    style_width: int = 16
    context: int = 125
    look_ahead: int = 15
    frames_per_code: int = 1
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.width % self.num_heads or (self.width // self.num_heads) % 2:
            raise ValueError(f"width {self.width} must split into {self.num_heads} heads of even size")
        if min(self.num_codes, self.layers, self.context, self.frames_per_code) < 1 or self.look_ahead < 0:
            raise ValueError(f"sizes must be positive and look_ahead at least 0, got {self}")

    @property
    def head_width(self) -> int:
        return self.width // self.num_heads


class SpeechContext(nn.Module):
    """Mel `[B, T, 320]` and, where `feature_width` is not 0, a front end's features `[B, T, F]`, both 25 frames/s, to
    `[B, S, width]`.

    The two are projected and added; a convolution then sees steps s ... s + look_ahead and nothing else. Beyond a
    clip's end lie zeros.
    """

    def __init__(self, settings: PoseGPTSettings, feature_width: int = 0) -> None:
        super().__init__()
        self.frames_per_code, self.look_ahead = settings.frames_per_code, settings.look_ahead
        self.feature_width = feature_width
        mel_width = MEL_FRAMES_PER_MOTION_FRAME * NUM_MELS
        self.mel = nn.Linear(self.frames_per_code * mel_width, settings.width)
        if feature_width:
            self.feature_norm = nn.LayerNorm(feature_width)
            self.features = nn.Linear(self.frames_per_code * feature_width, settings.width, bias=False)
        self.convolution = nn.Conv1d(settings.width, settings.width, settings.look_ahead + 1)
        self.output = nn.Linear(settings.width, settings.width)

    def forward(self, mel: Tensor, num_frames: Tensor, features: Tensor | None = None) -> Tensor:
        if (features is None) != (self.feature_width == 0):
            raise ValueError(
                f"this network was built for features of width {self.feature_width} beside the mel, but got "
                f"{'none' if features is None else list(features.shape)}"
            )
        x = self.mel(self._grouped(mel, num_frames))
        if features is not None:
            if features.shape[-1] != self.feature_width or features.shape[1] != mel.shape[1]:
                raise ValueError(
                    f"features have shape {list(features.shape)}; expected [B, {mel.shape[1]}, {self.feature_width}]"
                )
            x = x + self.features(self._grouped(self.feature_norm(features), num_frames))
        steps = -(-num_frames // self.frames_per_code)
        x = functional.silu(x).masked_fill(~valid_frames(steps, x.shape[1]).unsqueeze(-1), 0.0)
        x = functional.pad(x.transpose(1, 2), (0, self.look_ahead))
        return self.output(functional.silu(self.convolution(x)).transpose(1, 2))

    def _grouped(self, x: Tensor, num_frames: Tensor) -> Tensor:
        """The frames of a step side by side `[B, S, frames_per_code * C]`, zeros behind the end."""
        x = x.masked_fill(~valid_frames(num_frames, x.shape[1]).unsqueeze(-1), 0.0)
        x = functional.pad(x, (0, 0, 0, -x.shape[1] % self.frames_per_code))
        return x.unflatten(1, (-1, self.frames_per_code)).flatten(2)


def rotary_turns(positions: Tensor, head_width: int) -> Tensor:
    """Unit complex numbers `[P, head_width / 2]` by which pairs of channels turn at a position (Su et al., 2021)."""
    rates = ROTARY_BASE ** (-torch.arange(0, head_width, 2, dtype=torch.float64, device=positions.device) / head_width)
    # In float64, so that positions of an hour keep their phase.
    angles = positions.double()[:, None] * rates
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn neighbouring pairs of channels of `[..., P, D]` by `turns` `[P, D / 2]`."""
    turned = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous()) * turns
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


class PoseBlock(nn.Module):
    """Attention and feed-forward; the style scales and shifts the input of both (adaptive layer norm; Perez et al.,
    2018).

    All heads of queries share one head of keys and values (Shazeer, 2019): the cache is a quarter of the size, and
    reading it is what generation of many clips spends most of its time on. The projections onto the residual stream
    have no bias.
    """

    def __init__(self, settings: PoseGPTSettings) -> None:
        super().__init__()
        width = settings.width
        self.num_heads, self.head_width = settings.num_heads, settings.head_width
        self.style = nn.Linear(settings.style_width, 4 * width)
        self.query_key_value = nn.Linear(width, width + 2 * self.head_width)
        self.attention_output = nn.Linear(width, width, bias=False)
        self.expand = nn.Linear(width, settings.feed_forward)
        self.reduce = nn.Linear(settings.feed_forward, width, bias=False)
        self.dropout = SequenceDropout(settings.dropout)
        nn.init.normal_(self.style.weight, std=0.02)
        nn.init.zeros_(self.style.bias)
        for onto_residual in (self.attention_output, self.reduce):
            with torch.no_grad():
                onto_residual.weight.mul_((2 * settings.layers) ** -0.5)

    def forward(self, x: Tensor, style: Tensor, turns: Tensor, visible: Tensor | None) -> Tensor:
        """`x` `[B, S, width]`, `style` `[B, style_width]`, `visible` `[S, S]` or None where all of the past is in the
        context.
        """
        scale_in, shift_in, scale_out, shift_out = self.modulation(style).unsqueeze(2).unbind(1)
        x = x + self.dropout(self._attend(shift_in + self._norm(x) * scale_in, turns, visible))
        hidden = functional.silu(self.expand(shift_out + self._norm(x) * scale_out))
        return x + self.dropout(self.reduce(hidden))

    def modulation(self, style: Tensor) -> Tensor:
        """Scale and shift of the attention's input, scale and shift of the feed-forward's `[B, 4, width]`."""
        values = self.style(style).unflatten(-1, (4, -1))
        return values + values.new_tensor([1.0, 0.0, 1.0, 0.0])[:, None]

    def _norm(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:])

    def _attend(self, x: Tensor, turns: Tensor, visible: Tensor | None) -> Tensor:
        heads = self.query_key_value(x).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
        query, key, value = heads.split([self.num_heads, 1, 1], dim=1)
        query, key = rotate(query, turns), rotate(key, turns)
        key, value = key.expand_as(query), value.expand_as(query)
        x = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, is_causal=visible is None)
        return self.attention_output(x.transpose(1, 2).flatten(2))


class PoseGPT(nn.Module):
    """Pose codes `[B, S]`, speech and a style vector to logits of every next code.

    `num_styles` learned style vectors are in `styles`, one for each speaker of the training corpus (or source video, see `PoseAdapter`) and one for
    nobody in particular; any vector of that width can be given instead. What the `front_end` hears is added to the mel, None for the mel alone; speech then
    matters from further ahead, by the front end's own context. In training mode the mel is changed as `VoiceAugmentation` does, so that the style cannot be told from the sound of
    the voice.
    """

    def __init__(self, settings: PoseGPTSettings, num_styles: int, front_end: SpeechFrontEnd | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.front_end = front_end
        self.log_mel = LogMel()
        self.augmentation = VoiceAugmentation()
        self.speech_context = SpeechContext(settings, front_end.width if front_end is not None else 0)
        self.styles = nn.Embedding(num_styles, settings.style_width)
        # One more row: the code before the first is the start symbol.
        self.codes = nn.Embedding(settings.num_codes + 1, settings.width)
        self.blocks = nn.ModuleList(PoseBlock(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width)
        self.output = nn.Linear(settings.width, settings.num_codes)
        nn.init.normal_(self.codes.weight, std=0.5)

    @property
    def start(self) -> int:
        """The start symbol."""
        return self.settings.num_codes

    def hear(self, audio: Tensor, num_frames: Tensor, features: Tensor | None = None) -> Tensor:
        """Audio `[B, N]` (16 kHz) to the speech `[B, S, width]` that `forward` takes; T = N // 640. `features` `[B, T, F]`, where
        a front end takes cached ones, save it the encoder.
        """
        mel = self.augmentation(self.log_mel(silence_behind_end(audio, num_frames)))
        mel = mel.unflatten(1, (-1, MEL_FRAMES_PER_MOTION_FRAME)).flatten(2)
        if self.front_end is None:
            return self.speech_context(mel, num_frames)
        cached = features is not None and self.front_end.takes_cached_features
        return self.speech_context(mel, num_frames, self.front_end(features if cached else audio, num_frames))

    def forward(self, codes: Tensor, speech: Tensor, style: Tensor) -> Tensor:
        """Logits `[B, S, num_codes]` of code s from the codes before s, speech up to s + look_ahead and style `[B,
        style_width]`.

        Codes `[B, S]` are those to be predicted; they are shifted here. Code s never reaches logits up to s, so padding
        at the end needs no mask.
        """
        if codes.shape != speech.shape[:2]:
            raise ValueError(
                f"codes have shape {list(codes.shape)}, speech {list(speech.shape)}; expected [B, S] and [B, S, {self.settings.width}]: one code for each step"
            )
        past = functional.pad(codes[:, :-1], (1, 0), value=self.start)
        x = self.codes(past) + speech
        steps = torch.arange(codes.shape[1], device=codes.device)
        turns = rotary_turns(steps, self.settings.head_width)
        visible = None
        if codes.shape[1] > self.settings.context:
            distance = steps[:, None] - steps
            visible = (distance >= 0) & (distance < self.settings.context)
        for block in self.blocks:
            x = block(x, style, turns, visible)
        return self.output(self.norm(x))


def replace_at_random(codes: Tensor, share: float, num_codes: int, generator: torch.Generator | None = None) -> Tensor:
    """Codes with a random `share` of them replaced by uniform ones: past codes of training that look like a
    generation's own mistakes.

    The targets stay the true codes. Draws come from `generator`, by default torch's global one.
    """
    drawn = torch.rand(codes.shape, generator=generator, device=codes.device) < share
    other = torch.randint(num_codes, codes.shape, generator=generator, device=codes.device)
    return torch.where(drawn, other, codes)

"""The pose adapter as one network: a frozen pose VQ-VAE, PoseGPT over its codes, and the names of the styles that PoseGPT
knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from networks.conformer import valid_frames
from networks.pose_gpt import PoseGPT, PoseGPTSettings, replace_at_random
from networks.pose_style_start import styles_from_statistics
from networks.pose_vqvae import PoseVQVAE
from networks.speech_front_end import SpeechFrontEnd

StyleBy = Literal["speaker", "source"]
StyleStart = Literal["statistics", "random"]


def style_name(style_by: StyleBy, speaker: str, source: str) -> str:
    """What the style of a clip is called. Two people's videos may have the same name."""
    return speaker if style_by == "speaker" else f"{speaker}/{source}"


def styles_of(batch: Any, style_by: StyleBy) -> list[str]:
    """The name of the style of each clip of a `SpeechFaceBatch`."""
    if style_by == "speaker":
        return list(batch.speakers)
    return [style_name(style_by, who, meta["source"]) for who, meta in zip(batch.speakers, batch.metas, strict=True)]


class PoseCodes(NamedTuple):
    """`codes` `[B, S]` int64 (0 at padding) and which steps are valid, `mask` `[B, S]`."""

    codes: Tensor
    mask: Tensor


class PoseAdapter(nn.Module):
    """PoseGPT beside the VQ-VAE whose codes it predicts: one checkpoint holds all that generation needs.

    `style_names`: people or source videos (`speaker/source`) of the training corpus, in the order of their learned vectors; `style_by` says
    which of the two. One more vector, the last, stands for somebody unknown. `style_start`: `begin_styles` is to be called before training
    (`statistics`), or vectors begin at random. In training mode a random share
    `style_hidden` of the samples has that vector, `speech_hidden` hears nothing (zeros instead of what `hear` gives),
    and a share `codes_replaced` of the past codes is random. Draws come from torch's global generator. The VQ-VAE stays in
    evaluation mode and gets no gradient. `front_end`: what PoseGPT hears with beside the mel, None for nothing.
    Raises ValueError for a VQ-VAE with several codes a step, and for shares outside 0 to 1.
    """

    def __init__(
        self,
        vqvae: PoseVQVAE,
        style_names: Sequence[str],
        style_by: StyleBy = "speaker",
        style_start: StyleStart = "statistics",
        front_end: SpeechFrontEnd | None = None,
        width: int = 128,
        layers: int = 6,
        num_heads: int = 4,
        feed_forward: int = 256,
        style_width: int = 16,
        context: int = 125,
        look_ahead: int = 15,
        dropout: float = 0.1,
        style_hidden: float = 0.1,
        speech_hidden: float = 0.1,
        codes_replaced: float = 0.3,
    ) -> None:
        super().__init__()
        quantizer = vqvae.quantizer
        if quantizer.codes_per_step != 1:
            raise ValueError(
                f"the VQ-VAE's quantiser gives {quantizer.codes_per_step} codes a step, PoseGPT predicts one; "
                "train pose_vqvae with net.quantizer.kind=vq or fsq"
            )
        shares = {
            "style_hidden": style_hidden,
            "speech_hidden": speech_hidden,
            "codes_replaced": codes_replaced,
        }
        if not all(0 <= share <= 1 for share in shares.values()):
            raise ValueError(f"got {shares}; expected shares of samples or codes, each 0 to 1")
        if style_start not in get_args(StyleStart):
            raise ValueError(f"style_start is {style_start!r}; expected one of {', '.join(get_args(StyleStart))}")
        settings = PoseGPTSettings(
            quantizer.num_codes,
            width,
            layers,
            num_heads,
            feed_forward,
            style_width,
            context,
            look_ahead,
            vqvae.stride,
            dropout,
        )
        self.vqvae = vqvae.requires_grad_(False).eval()
        self.gpt = PoseGPT(settings, len(style_names) + 1, front_end)
        self.style_names, self.style_by, self.style_start = tuple(style_names), style_by, style_start
        self._style_index = {name: index for index, name in enumerate(self.style_names)}
        self.style_hidden, self.speech_hidden = style_hidden, speech_hidden
        self.codes_replaced = codes_replaced

    @property
    def front_end(self) -> SpeechFrontEnd | None:
        return self.gpt.front_end

    @property
    def unknown_style(self) -> int:
        """Index of the style of somebody who is none of `style_names`."""
        return len(self.style_names)

    def train(self, mode: bool = True) -> PoseAdapter:
        super().train(mode)
        self.vqvae.eval()
        return self

    @torch.no_grad()
    def begin_styles(self, clips: Iterable[tuple[str, Tensor]]) -> None:
        """Put the style vectors where the clips, `(name, head [T, 3])`, of each name lie (`styles_from_statistics`), and nobody's at their mean."""
        weight = self.gpt.styles.weight
        known = styles_from_statistics(clips, self.style_names, self.vqvae.representation, weight.shape[1])
        weight.copy_(torch.nn.functional.pad(known, (0, 0, 0, 1)))

    @torch.no_grad()
    def tokenize(self, head: Tensor, num_frames: Tensor) -> PoseCodes:
        """Codes of head rotations `[B, T, 3]` (axis-angle, radians, 25 frames/s)."""
        codes = self.vqvae.tokenize(head, num_frames).squeeze(-1)
        return PoseCodes(codes, valid_frames(self.vqvae.num_steps(num_frames), codes.shape[1]))

    def style_indices(self, batch: Any) -> Tensor:
        """The style `[B]` of each clip of a `SpeechFaceBatch`; `unknown_style` for people or videos not trained on."""
        found = [self._style_index.get(name, self.unknown_style) for name in styles_of(batch, self.style_by)]
        return torch.tensor(found, device=batch.num_frames.device)

    def features_of(self, batch: Any) -> Tensor | None:
        """Cached encoder features `[B, T, F]` of a batch, None where it has none or the network takes none."""
        if self.front_end is None or not self.front_end.takes_cached_features or batch.features is None:
            return None
        return batch.features.reshape(*batch.mask.shape, -1)

    def forward(
        self, codes: Tensor, audio: Tensor, num_frames: Tensor, style: Tensor, features: Tensor | None = None
    ) -> Tensor:
        """Logits `[B, S, num_codes]` of every code from those before it, audio `[B, N]` (16 kHz) and style indices
        `[B]`.
        """
        return self.predict_codes(codes, self.gpt.hear(audio, num_frames, features), style)

    def predict_codes(self, codes: Tensor, speech: Tensor, style: Tensor) -> Tensor:
        """As `forward`, for speech `[B, S, width]` that was heard already; zeros are silence to be told from nothing
        heard only by a network that was trained with `speech_hidden`.
        """
        if self.training:
            hidden = torch.rand(2, len(codes), device=codes.device)
            style = torch.where(hidden[0] < self.style_hidden, self.unknown_style, style)
            speech = speech.masked_fill((hidden[1] < self.speech_hidden)[:, None, None], 0.0)
            codes = replace_at_random(codes, self.codes_replaced, self.gpt.settings.num_codes)
        return self.gpt(codes, speech, self.gpt.styles(style))

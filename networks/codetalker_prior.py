"""CodeTalker's first stage (Xing et al., CVPR 2023): facial motion as discrete codes and back, over coefficients in place of vertices.

Written from the paper. Conformers of limited span stand for its transformers, and no norm over time is used: codes then depend neither on
padding nor on how long a clip is. docs/BASELINES.md lists what differs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from networks.coefficient_space import CoefficientSpace
from networks.conformer import Conformer, ConformerSettings, MaskedConv1d, valid_frames
from networks.fingerprint import fingerprint_of
from networks.quantizers import Quantized, Quantizer
from networks.style_encoder import mean_and_deviation

# Frames handled at once where a clip is long.
PIECE_FRAMES = 1500


class MotionReconstruction(NamedTuple):
    """`motion` `[B, T, C]`, the displacements decoded from the codes; zero at padding. `features` `[B, T, H * D]` are those before
    quantisation.
    """

    motion: Tensor
    features: Tensor
    quantized: Quantized


class MotionPrior(CoefficientSpace):
    """Displacements from a resting face `[B, T, E + 3]`, normalised, to codes `[B, T, H]` of one codebook and back.

    The features of a frame are cut into H = `components` parts, each quantised by the same codebook of `quantizer`, whose width is that of a
    part (the paper's face components). Raises ValueError for a quantiser with several codes a step.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        space: str = "arkit",
        components: int = 8,
        width: int = 96,
        blocks: int = 1,
        num_heads: int = 4,
        feed_forward: int = 256,
        kernel_size: int = 5,
        attention_span: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(space)
        if quantizer.codes_per_step != 1:
            raise ValueError(
                f"the quantiser gives {quantizer.codes_per_step} codes a step; a component has one code: net.quantizer.kind=vq or fsq"
            )
        settings = ConformerSettings(width, num_heads, feed_forward, kernel_size, dropout, attention_span)
        self.quantizer, self.components = quantizer, components
        self.feature_width = components * quantizer.width
        # Frames to each side that one frame can depend on, in encoder or decoder.
        self.reach = blocks * (attention_span + kernel_size // 2) + kernel_size // 2
        self.encoder_input = MaskedConv1d(self.num_channels, width, kernel_size)
        self.encoder = Conformer(settings, blocks)
        self.to_features = nn.Linear(width, self.feature_width)
        self.from_features = MaskedConv1d(self.feature_width, width, kernel_size)
        self.decoder = Conformer(settings, blocks)
        self.output = nn.Linear(width, self.num_channels)

    def fingerprint(self) -> str:
        """Hash of the quantiser's sizes and every weight, statistics among them."""
        return fingerprint_of(self, f"{self.quantizer}")

    def resting(self, reference: Tensor, num_frames: Tensor) -> Tensor:
        """Mean face `[B, E + 3]` of a normalised reference `[B, R, E + 3]`: what displacements are measured from."""
        return mean_and_deviation(reference, valid_frames(num_frames, reference.shape[1]))[0]

    def forward(self, motion: Tensor, num_frames: Tensor) -> MotionReconstruction:
        """In training mode the codebook learns from the features."""
        features = self.encode(motion, num_frames)
        quantized = self.quantize(features, num_frames)
        return MotionReconstruction(self.decode(quantized.quantized, num_frames), features, quantized)

    def encode(self, motion: Tensor, num_frames: Tensor) -> Tensor:
        """Displacements `[B, T, C]` to features `[B, T, H * D]`; zero at padding, and whatever stands there does not matter."""
        mask = valid_frames(num_frames, motion.shape[1])
        features = self.to_features(self.encoder(self.encoder_input(motion, mask), mask))
        return features.masked_fill(~mask.unsqueeze(-1), 0.0)

    def quantize(self, features: Tensor, num_frames: Tensor) -> Quantized:
        """Features `[B, T, H * D]` to `Quantized` of that shape, with codes `[B, T, H]`; gradients go straight through."""
        mask = valid_frames(num_frames, features.shape[1])
        parts = features.unflatten(2, (self.components, -1)).flatten(1, 2)
        found = self.quantizer(parts, mask.repeat_interleave(self.components, dim=1))
        whole = found.quantized.unflatten(1, (-1, self.components)).flatten(2)
        return found._replace(quantized=whole, codes=found.codes.view(*mask.shape, self.components))

    def decode(self, quantized: Tensor, num_frames: Tensor) -> Tensor:
        """Quantised features `[B, T, H * D]` to displacements `[B, T, C]`; zero at padding and in constant dimensions."""
        mask = valid_frames(num_frames, quantized.shape[1])
        motion = self.output(self.decoder(self.from_features(quantized, mask), mask))
        return motion.masked_fill(~(mask.unsqueeze(-1) & (self.std > 0)), 0.0)

    def decode_long(self, quantized: Tensor, num_frames: Tensor) -> Tensor:
        """As `decode`, in pieces that overlap by what a frame can see: exact, and linear in the length."""
        total, pieces = quantized.shape[1], []
        for start in range(0, total, PIECE_FRAMES):
            end = min(start + PIECE_FRAMES, total)
            first, last = max(0, start - self.reach), min(total, end + self.reach)
            motion = self.decode(quantized[:, first:last], (num_frames - first).clamp(0, last - first))
            pieces.append(motion[:, start - first : end - first])
        return torch.cat(pieces, dim=1)

"""Pose VQ-VAE: head rotations to codes and back, as AdaMesh's pose reconstruction; its sizes are this project's own."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.conformer import Conformer, ConformerSettings, MaskedConv1d, valid_frames
from networks.fingerprint import fingerprint_of
from networks.pose_representation import NUM_CHANNELS, HeadRepresentation
from networks.quantizers import Quantized, Quantizer

# Frames handled at once; longer sequences go in pieces that overlap by the network's reach, so the result is the same.
_PIECE_STEPS = 1500


class PoseReconstruction(NamedTuple):
    """`channels` and `target` `[B, T, 6]` in the units of `HeadRepresentation` (zero at padding), `latents` `[B, S, D]`
    before quantisation, `quantized`.
    """

    channels: Tensor
    target: Tensor
    latents: Tensor
    quantized: Quantized


class PoseVQVAE(nn.Module):
    """Head rotations `[B, T, 3]` (axis-angle, radians, 25 frames/s) to codes `[B, S, Q]` and back; S = ceil(T /
    stride).

    A Conformer of limited attention span to each side of the quantiser: codes may use what comes after, but only so
    far. There is no centring and no norm over time, which would delete a clip's tilt and amplitude. A last step that is
    not full is filled with zeros.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        width: int = 96,
        blocks: int = 1,
        num_heads: int = 4,
        feed_forward: int = 256,
        kernel_size: int = 5,
        attention_span: int = 16,
        dropout: float = 0.0,
        stride: int = 1,
    ) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"stride is {stride}; expected at least 1 frame for each code")
        settings = ConformerSettings(width, num_heads, feed_forward, kernel_size, dropout, attention_span)
        self.stride, self.quantizer = stride, quantizer
        # Steps to each side that one step can see, in encoder or decoder.
        self.reach = blocks * (attention_span + kernel_size // 2) + kernel_size // 2
        self.representation = HeadRepresentation()
        self.encoder_input = MaskedConv1d(stride * NUM_CHANNELS, width, kernel_size)
        self.encoder = Conformer(settings, blocks)
        self.to_latents = nn.Linear(width, quantizer.width)
        self.from_latents = MaskedConv1d(quantizer.width, width, kernel_size)
        self.decoder = Conformer(settings, blocks)
        self.output = nn.Linear(width, stride * NUM_CHANNELS)
        # The frames of a step begin equal: at random they tremble, and the loss on acceleration stills the network before it learns to move.
        with torch.no_grad():
            for values in (self.output.weight, self.output.bias):
                values.copy_(values[:NUM_CHANNELS].repeat(stride, *[1] * (values.ndim - 1)))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Mean and standard deviation `[3]` of the corpus' axis-angle head rotations, radians."""
        self.representation.set_statistics(mean, std)

    def num_steps(self, num_frames: Tensor) -> Tensor:
        """Codes of clips of `num_frames`: ceil(frames / stride)."""
        return -(-num_frames // self.stride)

    def forward(self, head: Tensor, num_frames: Tensor) -> PoseReconstruction:
        target = self._channels(head, num_frames)
        latents = self._encode_channels(target, num_frames)
        steps = valid_frames(self.num_steps(num_frames), latents.shape[1])
        quantized = self.quantizer(latents, steps)
        channels = self._decode_latents(quantized.quantized, num_frames)[:, : head.shape[1]]
        return PoseReconstruction(channels, target, latents, quantized)

    def encode(self, head: Tensor, num_frames: Tensor) -> Tensor:
        """Latents `[B, S, D]` before quantisation; zero at padding."""
        return self._encode_channels(self._channels(head, num_frames), num_frames)

    @torch.no_grad()
    def tokenize(self, head: Tensor, num_frames: Tensor) -> Tensor:
        """Codes `[B, S, Q]`; 0 at padding. Codebooks do not learn from it, in training mode neither."""
        latents = self.encode(head, num_frames)
        was_training = self.quantizer.training
        self.quantizer.eval()
        try:
            return self.quantizer(latents, valid_frames(self.num_steps(num_frames), latents.shape[1])).codes
        finally:
            self.quantizer.train(was_training)

    def decode(self, codes: Tensor, num_frames: Tensor) -> Tensor:
        """Codes `[B, S, Q]` to head rotations `[B, T, 3]`, axis-angle in radians, T the longest of `num_frames`; zero
        at padding.
        """
        return self.decode_latents(self.quantizer.decode(codes), num_frames)

    def decode_latents(self, latents: Tensor, num_frames: Tensor) -> Tensor:
        """`decode` of latents `[B, S, D]`, quantised or as `encode` gives them."""
        frames, steps = int(num_frames.max()), latents.shape[1]
        if steps * self.stride < frames:
            raise ValueError(f"{steps} codes of {self.stride} frames each do not last for num_frames of {frames}")
        latents = latents.masked_fill(~valid_frames(self.num_steps(num_frames), steps).unsqueeze(-1), 0.0)
        head = self.representation.inverse(self._decode_latents(latents, num_frames)[:, :frames])
        return head.masked_fill(~valid_frames(num_frames, frames).unsqueeze(-1), 0.0)

    def fingerprint(self) -> str:
        """`pose-<12 hex>` over sizes and every weight: what codes and latents mean depends on all of them."""
        return f"pose-{fingerprint_of(self, f'{self.stride} {self.quantizer}')[:12]}"

    def _channels(self, head: Tensor, num_frames: Tensor) -> Tensor:
        mask = valid_frames(num_frames, head.shape[1]).unsqueeze(-1)
        return self.representation(head.masked_fill(~mask, 0.0)).masked_fill(~mask, 0.0)

    def _encode_channels(self, channels: Tensor, num_frames: Tensor) -> Tensor:
        missing = -channels.shape[1] % self.stride
        grouped = functional.pad(channels, (0, 0, 0, missing)).unflatten(1, (-1, self.stride)).flatten(2)

        def encode(piece: Tensor, mask: Tensor) -> Tensor:
            return self.to_latents(self.encoder(self.encoder_input(piece, mask), mask))

        mask = valid_frames(self.num_steps(num_frames), grouped.shape[1])
        return _in_pieces(encode, grouped, mask, self.reach).masked_fill(~mask.unsqueeze(-1), 0.0)

    def _decode_latents(self, latents: Tensor, num_frames: Tensor) -> Tensor:
        def decode(piece: Tensor, mask: Tensor) -> Tensor:
            return self.output(self.decoder(self.from_latents(piece, mask), mask))

        mask = valid_frames(self.num_steps(num_frames), latents.shape[1])
        channels = _in_pieces(decode, latents, mask, self.reach)
        frames = channels.unflatten(2, (self.stride, NUM_CHANNELS)).flatten(1, 2)
        return frames.masked_fill(~valid_frames(num_frames, frames.shape[1]).unsqueeze(-1), 0.0)


def _in_pieces(network, x: Tensor, mask: Tensor, reach: int) -> Tensor:
    """`network(x, mask)` over `[B, S, C]` in pieces with `reach` steps of context: attention over long clips stays
    linear.
    """
    total = x.shape[1]
    if total <= _PIECE_STEPS:
        return network(x, mask)
    pieces = []
    for start in range(0, total, _PIECE_STEPS):
        end = min(start + _PIECE_STEPS, total)
        first, last = max(0, start - reach), min(total, end + reach)
        pieces.append(network(x[:, first:last], mask[:, first:last])[:, start - first : end - first])
    return torch.cat(pieces, dim=1)

"""Generation with PoseGPT: one code after the other with a key-value cache, many clips of different lengths at once.

The cache is a ring over the attention's context, so a step costs the same however long the speech is. Keys are stored
turned by their absolute position, and scores of turned queries and keys depend on distances only: nothing is ever moved
in the ring, and the result is that of `PoseGPT.forward` on the whole sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from networks.code_sampling import CodeSampler, Sampling
from networks.pose_gpt import PoseBlock, PoseGPT, rotary_turns
from networks.pose_vqvae import PoseVQVAE

_GREEDY = Sampling()
# Up to this many clips a step's products are so small that sharing them between threads costs more than it saves.
_ONE_THREAD_CLIPS = 8


def generate_codes(
    net: PoseGPT,
    speech: Tensor,
    num_steps: Tensor,
    style: Tensor,
    sampling: Sampling = _GREEDY,
    seeds: int | Sequence[int] = 0,
) -> Tensor:
    """Codes `[B, S]` int64 for speech `[B, S, width]` of `PoseGPT.hear` and style `[B, style_width]`; 0 behind each
    clip's `num_steps`.

    `seeds`: one for each clip, or one for all (clips of the same speech and style then get the same codes). A clip's
    codes do not depend on the other clips of the batch, but for rounding in the last bits of the logits. Dropout is off
    whatever the network's mode is.
    On the CPU a few clips are generated in one thread, which is set for the process meanwhile.
    """
    batch, total = speech.shape[:2]
    if style.shape != (batch, net.settings.style_width) or num_steps.shape != (batch,):
        raise ValueError(
            f"style has shape {list(style.shape)} and num_steps {list(num_steps.shape)}; "
            f"expected [{batch}, {net.settings.style_width}] and [{batch}] beside speech {list(speech.shape)}"
        )
    if int(num_steps.max()) > total or int(num_steps.min()) < 0:
        raise ValueError(f"num_steps {num_steps.tolist()} must lie between 0 and the {total} steps of the speech")
    all_seeds = [seeds] * batch if isinstance(seeds, int) else list(seeds)
    if len(all_seeds) != batch:
        raise ValueError(f"got {len(all_seeds)} seeds for {batch} clips; expected one for each, or one integer")
    few = batch <= _ONE_THREAD_CLIPS and speech.device.type == "cpu"
    with torch.inference_mode(), torch.autocast(speech.device.type, enabled=False), _threads(1 if few else None):
        # The longest first: clips that end leave the batch at its end, so the rest stays one slice.
        lengths, order = num_steps.sort(descending=True, stable=True)
        sampler = CodeSampler(
            sampling, net.settings.num_codes, total, [all_seeds[i] for i in order.tolist()], speech.device
        )
        found = _generate_sorted(net, speech[order].float(), lengths.tolist(), style[order].float(), sampler)
        codes = torch.empty_like(found)
        codes[order] = found
    return codes.clone()  # outside inference mode: an ordinary tensor, which training may use too


@torch.no_grad()
def generate_head(
    net: PoseGPT,
    vqvae: PoseVQVAE,
    audio: Tensor,
    num_frames: Tensor,
    style: Tensor,
    sampling: Sampling = _GREEDY,
    seeds: int | Sequence[int] = 0,
    features: Tensor | None = None,
) -> Tensor:
    """Head rotations `[B, T, 3]` (axis-angle, radians, 25 frames/s) for audio `[B, N]`, exactly `num_frames` of each
    clip and zero behind.

    `style` `[B, style_width]`; `features` as the network was built for. Other arguments as in `generate_codes`. Both
    networks are put into evaluation mode for the call.
    """
    if vqvae.stride != net.settings.frames_per_code or vqvae.quantizer.num_codes != net.settings.num_codes:
        raise ValueError(
            f"PoseGPT has {net.settings.num_codes} codes of {net.settings.frames_per_code} frames, the VQ-VAE "
            f"{vqvae.quantizer.num_codes} of {vqvae.stride}: they were not trained together"
        )
    modes = [(module, module.training) for module in (net, vqvae)]
    try:
        net.eval()
        vqvae.eval()
        speech = net.hear(audio, num_frames, features)
        codes = generate_codes(net, speech, vqvae.num_steps(num_frames), style, sampling, seeds)
        return vqvae.decode(codes.unsqueeze(-1), num_frames)
    finally:
        for module, training in modes:
            module.train(training)


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Torch with `number` threads inside (None: as it is), for the whole process."""
    before = torch.get_num_threads()
    if number is None or number == before:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _LayerWeights(NamedTuple):
    """A block's weights as a step uses them: transposed, the score's scale within the query, style folded to scales and
    shifts `[B, width]`.
    """

    scale_in: Tensor
    shift_in: Tensor
    query_key_value: Tensor
    query_key_value_bias: Tensor
    attention_output: Tensor
    scale_out: Tensor
    shift_out: Tensor
    expand: Tensor
    expand_bias: Tensor
    reduce: Tensor

    @classmethod
    def of(cls, block: PoseBlock, style: Tensor) -> _LayerWeights:
        scale_in, shift_in, scale_out, shift_out = (part.contiguous() for part in block.modulation(style).unbind(1))
        width = block.attention_output.in_features
        scale = torch.ones(block.query_key_value.out_features, device=style.device)
        scale[:width] = block.head_width**-0.5
        return cls(
            scale_in,
            shift_in,
            (block.query_key_value.weight * scale[:, None]).t(),
            block.query_key_value.bias * scale,
            block.attention_output.weight.t(),
            scale_out,
            shift_out,
            block.expand.weight.t(),
            block.expand.bias,
            block.reduce.weight.t(),
        )

    def first(self, active: int) -> _LayerWeights:
        per_clip = ("scale_in", "shift_in", "scale_out", "shift_out")
        return self._replace(**{name: getattr(self, name)[:active] for name in per_clip})


class _LayerBuffers:
    """What a step of one layer writes into, for the first clips of the batch: views, made anew only when clips leave."""

    def __init__(self, projected: Tensor, cache: Tensor, num_heads: int, head_width: int) -> None:
        width = num_heads * head_width
        clips = len(projected)
        self.projected = projected
        turned = projected[:, : width + head_width]
        # Heads of queries and the key, as complex pairs: one product turns them all.
        self.turned = torch.view_as_complex(turned.unflatten(1, (num_heads + 1, head_width // 2, 2)))
        self.query = projected[:, :width].unflatten(1, (num_heads, head_width))
        self.key_value = projected[:, width:].unflatten(1, (2, head_width))
        self.slots = cache.unbind(2)
        self.keys = cache[:, 0].transpose(1, 2)
        self.values = cache[:, 1]
        self.clips, self.width = clips, width


def _generate_sorted(net: PoseGPT, speech: Tensor, lengths: list[int], style: Tensor, sampler: CodeSampler) -> Tensor:
    """Codes for clips in descending order of length."""
    settings = net.settings
    batch, total = speech.shape[:2]
    steps = lengths[0] if lengths else 0
    codes = torch.zeros(total, batch, dtype=torch.int64, device=speech.device)
    blocks = [block for block in net.blocks if isinstance(block, PoseBlock)]
    weights = [_LayerWeights.of(block, style) for block in blocks]
    cache = speech.new_zeros(len(blocks), batch, 2, settings.context, settings.head_width)
    projected = speech.new_empty(batch, settings.width + 2 * settings.head_width)
    turns = rotary_turns(torch.arange(steps, device=speech.device), settings.head_width).unbind(0)
    heard, rows = speech.transpose(0, 1).contiguous().unbind(0), codes.unbind(0)
    past = codes.new_full((batch,), net.start)
    active, layers = batch, []
    for step in range(steps):
        ended = lengths[active - 1] <= step
        while lengths[active - 1] <= step:
            active -= 1
        if ended or step == 0:
            past = past[:active]
            layers = [
                (
                    w.first(active),
                    _LayerBuffers(projected[:active], c[:active], settings.num_heads, settings.head_width),
                )
                for w, c in zip(weights, cache, strict=True)
            ]
        hidden = net.codes.weight.index_select(0, past).add_(heard[step][:active])
        slot, filled = step % settings.context, min(step + 1, settings.context)
        for layer, buffers in layers:
            hidden = _layer_step(hidden, layer, buffers, turns[step], slot, filled)
        hidden = functional.layer_norm(hidden, net.norm.normalized_shape, net.norm.weight, net.norm.bias, net.norm.eps)
        past = sampler.choose(functional.linear(hidden, net.output.weight, net.output.bias), step)
        rows[step][:active].copy_(past)
    return codes.t()


def _layer_step(
    hidden: Tensor, layer: _LayerWeights, buffers: _LayerBuffers, turn: Tensor, slot: int, filled: int
) -> Tensor:
    """One step of `PoseBlock.forward` for hidden `[b, width]`, with the present key and value put into their slot of
    the ring.
    """
    normed = functional.layer_norm(hidden, (buffers.width,))
    x = torch.addcmul(layer.shift_in, normed, layer.scale_in)
    torch.addmm(layer.query_key_value_bias, x, layer.query_key_value, out=buffers.projected)
    buffers.turned.mul_(turn)
    buffers.slots[slot].copy_(buffers.key_value)
    keys, values = buffers.keys, buffers.values
    if filled < values.shape[1]:
        keys, values = keys.narrow(2, 0, filled), values.narrow(1, 0, filled)
    attended = torch.bmm(torch.bmm(buffers.query, keys).softmax(-1), values)
    hidden = torch.addmm(hidden, attended.view(buffers.clips, buffers.width), layer.attention_output)
    normed = functional.layer_norm(hidden, (buffers.width,))
    x = torch.addcmul(layer.shift_out, normed, layer.scale_out)
    x = functional.silu(torch.addmm(layer.expand_bias, x, layer.expand), inplace=True)
    return torch.addmm(hidden, x, layer.reduce)

"""A 3 x 3 convolution of stride 2 over a plane, ReLU and a Linear over all its channels, as one operation for a CPU.

Written out, the channels of a batch of 8 x 4 s at the released sizes are 420 MB, and as much again for their gradient; most of a step moved
them through memory. Here a few channels of a few hundred frames exist at a time, small enough for a processor's cache, where the products
of the Linear run at full speed too. Backward computes them again: 10 products a value, where the Linear takes 256.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

CHANNELS_AT_ONCE = 4
VALUES_AT_ONCE = 2**20


def convolution_relu_linear(plane: Tensor, valid: Tensor, convolution: nn.Conv2d, linear: nn.Linear) -> Tensor:
    """`linear(relu(convolution(plane)))` of each frame: `[B, 2 T, W]` and mask `[B, T]` to `[B, T, linear.out_features]`.

    `convolution` has one input channel, kernel 3, stride 2 and padding 1; `linear` takes its channels of a frame one after another. Frames that
    are not valid are not computed and hold the bias alone. First derivatives only. For float32 and float64 outside autocast: sums over
    channels are kept in the type of the values.
    """
    bias, out_bias = convolution.bias, linear.bias
    assert bias is not None and out_bias is not None
    windows = functional.pad(plane, (1, 1, 1, 0)).unfold(1, 3, 2).unfold(2, 3, 2)  # [B, T, F, 3, 3]
    taps = windows.permute(3, 4, 0, 1, 2).flatten(0, 1)[:, valid]
    taps = torch.cat([taps, taps.new_ones(1, *taps.shape[1:])])  # the last one is the bias's
    kernels = torch.cat([convolution.weight.flatten(1), bias[:, None]], dim=1)
    weight = linear.weight.unflatten(1, (len(kernels), -1))
    result = out_bias.repeat(*valid.shape, 1)
    result[valid] += _ReLULinear.apply(taps, kernels, weight)
    return result


class _ReLULinear(torch.autograd.Function):
    """`sum over c, f of relu(sum over k of kernels[c, k] taps[k, n, f]) weight[o, c, f]`: `[n, o]`."""

    @staticmethod
    def forward(ctx: Any, taps: Tensor, kernels: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(taps, kernels, weight)
        result = taps.new_zeros(taps.shape[1], len(weight))
        buffer = _buffer(taps)
        for channels in _blocks(len(kernels), CHANNELS_AT_ONCE):
            for rows in _blocks(len(result), _rows_at_once(taps)):
                hidden = _hidden(taps[:, rows], kernels[channels], buffer)
                result[rows].addbmm_(hidden, weight[:, channels].permute(1, 2, 0))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        taps, kernels, weight = ctx.saved_tensors
        needs_taps, needs_kernels, needs_weight = ctx.needs_input_grad
        for_taps, for_kernels, for_weight = torch.zeros_like(taps), torch.zeros_like(kernels), torch.empty_like(weight)
        # Rows of `for_weight` lie a power of two apart and share few lines of a cache: sums are made in a small dense block.
        weight_sum = weight.new_empty(CHANNELS_AT_ONCE, len(weight), weight.shape[2])
        buffer, second_buffer = _buffer(taps), _buffer(taps)
        for channels in _blocks(len(kernels), CHANNELS_AT_ONCE):
            weight_sum.zero_()
            for rows in _blocks(len(gradient), _rows_at_once(taps)):
                hidden = _hidden(taps[:, rows], kernels[channels], buffer)
                shared = gradient[rows].expand(len(hidden), -1, -1)
                if needs_weight:
                    weight_sum[: len(hidden)].baddbmm_(shared.transpose(1, 2), hidden)
                if needs_taps or needs_kernels:
                    for_hidden = second_buffer[: hidden.numel()].view_as(hidden)
                    torch.bmm(shared, weight[:, channels].transpose(0, 1), out=for_hidden)
                    # ReLU's derivative as autograd has it; a mask and `masked_fill_` take forty times as long.
                    torch.ops.aten.threshold_backward.grad_input(for_hidden, hidden, 0, grad_input=for_hidden)
                    for_kernels[channels].addmm_(for_hidden.flatten(1), taps[:, rows].flatten(1).t())
                    if needs_taps:
                        for_taps[:, rows].flatten(1).addmm_(kernels[channels].t(), for_hidden.flatten(1))
            if needs_weight:
                for_weight[:, channels] = weight_sum[: len(kernels[channels])].transpose(0, 1)
        return (
            for_taps if needs_taps else None,
            for_kernels if needs_kernels else None,
            for_weight if needs_weight else None,
        )


def _hidden(taps: Tensor, kernels: Tensor, buffer: Tensor) -> Tensor:
    """ReLU of the convolution, `[C, n, F]`, of taps `[K, n, F]` and kernels `[C, K]`; it lies in `buffer`."""
    hidden = buffer[: len(kernels) * taps[0].numel()].view(len(kernels), -1)
    torch.mm(kernels, taps.flatten(1), out=hidden)
    return hidden.clamp_min_(0).view(len(kernels), *taps.shape[1:])


def _buffer(taps: Tensor) -> Tensor:
    return taps.new_empty(CHANNELS_AT_ONCE * _rows_at_once(taps) * taps.shape[2])


def _blocks(length: int, step: int) -> list[slice]:
    return [slice(begin, begin + step) for begin in range(0, length, step)]


def _rows_at_once(taps: Tensor) -> int:
    """Rows of a block, from 1. They are shared out evenly: a short last block would run slower."""
    _, rows, features = taps.shape
    blocks = max(1, math.ceil(rows * features * CHANNELS_AT_ONCE / VALUES_AT_ONCE))
    return max(1, math.ceil(rows / blocks))

"""A style vector of PoseGPT trained on a person's own codes, everything else frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from networks.pose_adapter import PoseAdapter
from networks.style_bank import StyleBankError
from networks.style_retrieval import StyleClip

LEARNING_RATE = 0.02


class TunedStyle(NamedTuple):
    """`embedding` [style_width] of the step with the lowest held-out loss, which may be step 0; held-out nats a code before
    and after.
    """

    embedding: Tensor
    best_step: int
    nll_before: float
    nll_after: float


class _Heard(NamedTuple):
    """Codes `[B, S]` of the reference, its speech `[B, S, width]`, and which codes are trained on and held out `[B, S]`."""

    codes: Tensor
    speech: Tensor
    trained: Tensor
    held_out: Tensor


def tune_style(
    net: PoseAdapter,
    reference: Sequence[StyleClip],
    start: Tensor,
    steps: int = 300,
    tail_share: float = 0.25,
    patience: int = 40,
    learning_rate: float = LEARNING_RATE,
) -> TunedStyle:
    """Adam on one vector [style_width] from `start`, on all codes of the reference but the last `tail_share`.

    The held-out codes come last in time, so nothing that is trained on has seen them; training ends `patience` steps after
    their likelihood was best. Nothing is random: dropout is off and every step sees the whole reference. Raises StyleBankError
    for clips without sound.
    """
    mode = net.training
    net.eval()
    try:
        heard = _heard(net, reference, tail_share)
        style = start.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([style], lr=learning_rate)
        best, best_step, before = start.detach().clone(), 0, float("inf")
        lowest = float("inf")
        for step in range(steps + 1):
            nll = _nll(net, heard, style)
            held_out = float(nll.detach()[heard.held_out].mean())
            if step == 0:
                before = held_out
            if held_out < lowest:
                best, best_step, lowest = style.detach().clone(), step, held_out
            if step - best_step >= patience or step == steps:
                break
            (style.grad,) = torch.autograd.grad(nll[heard.trained].mean(), style)
            optimizer.step()
    finally:
        net.train(mode)
    return TunedStyle(best, best_step, before, lowest)


def _nll(net: PoseAdapter, heard: _Heard, style: Tensor) -> Tensor:
    logits = net.gpt(heard.codes, heard.speech, style.expand(len(heard.codes), -1))
    return functional.cross_entropy(logits.transpose(1, 2), heard.codes, reduction="none")


@torch.no_grad()
def _heard(net: PoseAdapter, reference: Sequence[StyleClip], tail_share: float) -> _Heard:
    if any(clip.audio is None for clip in reference):
        raise StyleBankError("tuning a style needs the sound of the reference, which has none; choose another way")
    device = net.gpt.styles.weight.device
    num_frames = torch.tensor([len(clip.head) for clip in reference], device=device)
    head = pad_sequence([clip.head for clip in reference], batch_first=True).to(device)
    audio = pad_sequence([clip.audio for clip in reference if clip.audio is not None], batch_first=True).to(device)
    features = None
    given = [clip.features for clip in reference if clip.features is not None]
    if len(given) == len(reference):
        features = pad_sequence(given, batch_first=True).to(device)
    codes, mask = net.tokenize(head, num_frames)
    # Of all valid codes, in order of time, the last are held out.
    place = mask.flatten().cumsum(0).view_as(mask)
    border = int(mask.sum()) - round(tail_share * int(mask.sum()))
    return _Heard(codes, net.gpt.hear(audio, num_frames, features), mask & (place <= border), mask & (place > border))

"""Heads that PoseGPT generates from what validation has heard: one way for numbers and for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from networks.code_sampling import NUCLEUS
from networks.pose_generation import generate_codes
from networks.pose_methods import clip_seed


@torch.no_grad()
def heads_from_heard(net: Any, heard: Tensor, style: Tensor, num_frames: Tensor, keys: Sequence[str]) -> Tensor:
    """Head rotations `[B, T, 3]` (axis-angle, radians, 25 frames/s; zero behind each clip's `num_frames`) of a `PoseAdapter` for speech that was
    heard, `[B, S, width]`, in the style vectors `[B, style_width]`, drawn from the likeliest nine tenths of the codes.

    A clip draws by its key alone, so neither ranks nor the clips beside it nor the step change its draws. Nothing is heard anew: a front end that is
    shared out over ranks cannot run on one of them alone.
    """
    steps = net.vqvae.num_steps(num_frames)
    codes = generate_codes(net.gpt, heard, steps, style, NUCLEUS, [clip_seed(key) for key in keys])
    return cast(Tensor, net.vqvae.decode(codes.unsqueeze(-1), num_frames))

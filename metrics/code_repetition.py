"""Whether a sequence of codes runs in circles."""

from __future__ import annotations

import torch
from torch import Tensor

from metrics.checks import check_mask

RUN_LENGTH = 8


def code_repeat_rate(codes: Tensor, mask: Tensor, length: int = RUN_LENGTH) -> Tensor:
    """Share of the runs of `length` codes that came before in the same clip: codes `[B, S]`, mask `[B, S]` to `[B]`; NaN under two runs.

    1 less the share of distinct runs, as seq-rep-n of text (Welleck et al. 2020). A head held still repeats, and so does a loop.
    """
    check_mask(codes, mask)
    values = []
    for row, length_of_clip in zip(codes, mask.sum(1).tolist(), strict=True):
        runs = row[:length_of_clip].unfold(0, length, 1) if length_of_clip >= length else row[:0]
        values.append(1 - len(runs.unique(dim=0)) / len(runs) if len(runs) > 1 else torch.nan)
    return torch.tensor(values)

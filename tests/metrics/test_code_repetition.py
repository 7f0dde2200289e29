"""Repeated runs of codes."""

import math

import pytest
import torch

from metrics.code_repetition import code_repeat_rate


def test_a_loop_repeats_and_a_walk_does_not() -> None:
    loop = torch.arange(10).repeat(10)[None]
    walk = torch.arange(100)[None]
    held = torch.zeros(1, 100, dtype=torch.int64)
    mask = torch.ones(1, 100, dtype=torch.bool)
    assert code_repeat_rate(loop, mask).item() == pytest.approx(1 - 10 / 93)
    assert code_repeat_rate(walk, mask).item() == 0
    assert code_repeat_rate(held, mask).item() == pytest.approx(1 - 1 / 93)


def test_padding_does_not_count_and_a_short_clip_has_no_rate() -> None:
    codes = torch.cat([torch.arange(20), torch.zeros(30, dtype=torch.int64)])[None]
    mask = torch.arange(50)[None] < 20
    assert code_repeat_rate(codes, mask).item() == 0
    assert math.isnan(code_repeat_rate(codes, torch.arange(50)[None] < 8).item())

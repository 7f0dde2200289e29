"""Training steps a second of the expression adapter, and frames a second of animation without rendering.

python -m benchmarks.network_speed
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import yaml

from losses.expression_loss import ExpressionLoss
from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import build_front_end
from runtime.compose import EXPERIMENTS
from speech.audio import SAMPLES_PER_FRAME

BATCH, FRAMES, REFERENCE_FRAMES = 16, 100, 175


def net_options(name: str) -> dict[str, Any]:
    """Arguments of `ExpressionAdapter` that `net=<name>` gives, without the front end."""
    options = yaml.safe_load((EXPERIMENTS / "net" / f"{name}.yaml").read_text())
    return {key: value for key, value in options.items() if key not in ("_target_", "front_end")}


SIZES: dict[str, dict[str, Any]] = {name: net_options(name) for name in ("small", "released")}


def rows() -> list[dict]:
    """Measurements as `{"name", "value", "unit"}`; medians over repetitions in one process."""
    found = []
    for size, options in SIZES.items():
        torch.manual_seed(0)
        net = ExpressionAdapter(build_front_end("logmel", options["width"]), num_identity=10, **options)
        count = sum(parameter.numel() for parameter in net.parameters())
        found.append({"name": f"{size} network: parameters", "value": count, "unit": ""})
        rate = 1 / _median_seconds(_training_step(net), 5)
        found.append({"name": f"{size} network: training, {BATCH} x {FRAMES} frames", "value": rate, "unit": "steps/s"})
        for frames in (250, 1500):
            seconds = _median_seconds(_animation(net, frames), 3)
            found.append(
                {
                    "name": f"{size} network: animation of {frames / 25:g} s",
                    "value": frames / seconds,
                    "unit": "frames/s",
                }
            )
    return found


def _training_step(net: ExpressionAdapter) -> Callable[[], None]:
    loss = ExpressionLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    audio = 0.1 * torch.randn(BATCH, FRAMES * SAMPLES_PER_FRAME)
    frames, reference_frames = torch.full((BATCH,), FRAMES), torch.full((BATCH,), REFERENCE_FRAMES)
    target, reference = torch.randn(BATCH, FRAMES, 55), torch.randn(BATCH, REFERENCE_FRAMES, 55)
    mask = torch.ones(BATCH, FRAMES, dtype=torch.bool)

    def step() -> None:
        output = net.train()(audio, frames, reference, reference_frames, torch.randn(BATCH, 10))
        optimizer.zero_grad()
        loss(output.mid, output.final, target, mask, std=net.std).total.backward()
        optimizer.step()

    return step


def _animation(net: ExpressionAdapter, frames: int) -> Callable[[], None]:
    audio = 0.1 * torch.randn(1, frames * SAMPLES_PER_FRAME)
    reference = torch.rand(1, 250, 55)
    return lambda: (net.generate(audio, torch.tensor([frames]), reference), None)[1]


def _median_seconds(work: Callable[[], None], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2]


if __name__ == "__main__":
    from benchmarks.table import print_rows

    print_rows(rows())

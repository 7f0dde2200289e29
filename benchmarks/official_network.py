"""Training steps of the released AdaMesh network and of ours at its sizes, side by side on one batch in one process.

python -m benchmarks.official_network CHECKOUT [REPETITIONS]

CHECKOUT is a checkout of github.com/thuhcsi/AdaMesh; nothing of it is copied. Both train all their weights by their own loss and AdamW on 8 clips
of 4 s of 1024-wide features at 50 Hz, of which 2 to 4 s are valid, the same for both; "no padding" has 4 s valid. "Equal math" is what both
compute: Conv2d front end with its Linear of 131,072 inputs, 3 + 3 Conformer blocks (width 256, feed-forward 2048, kernel 15, batch norm), head
and post-net, L1 before and after it, dropout as released.
Ours still does more there: positions are shifted to be relative, and padding stays out of the batch norms. It does not compute the front end of
padded frames, which the official code does and which no valid frame of ours depends on. Each optimiser is set as in its own training:
AdamW with torch's defaults in the official code, in one pass over the weights in ours.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.network_speed import SIZES
from lightning_modules.optimization import update_in_one_pass
from losses.expression_loss import ExpressionLoss
from networks.expression_adapter import AdapterOutput, ExpressionAdapter
from networks.speech_front_end import LogMelFrontEnd, PretrainedFrontEnd, ReleasedFrontEnd, SpeechFrontEnd
from speech.audio import SAMPLES_PER_FRAME

BATCH, FRAMES, REFERENCE_FRAMES, FEATURES, OUTPUTS = 8, 100, 175, 1024, 53
VALID = torch.linspace(FRAMES // 2, FRAMES, BATCH).long()
RELEASED = SIZES["released"]
OFFICIAL = SimpleNamespace(
    in_dim=FEATURES, out_dim=OUTPUTS, num_encoder_block=3, num_decoder_block=3, num_postnet_cnn_layer=2
)


Step = Callable[[], float]  # makes one training step; returns how many of its processor seconds the optimiser took


def rows(checkout: Path, repetitions: int = 7) -> list[dict]:
    """Measurements as `{"name", "value", "unit"}`: processor seconds of one thread, the median of steps that take turns, what the optimiser
    takes of them, and how many times longer the official step takes.
    """
    torch.manual_seed(0)
    equal_math = _our_step(ReleasedFrontEnd(None, 256, 2 * FEATURES), with_style=False)
    steps: dict[str, Step] = {
        "official": _official_step(checkout),
        "ours, equal math": partial(equal_math, VALID),
        "ours, equal math, no padding": partial(equal_math, torch.full_like(VALID, FRAMES)),
        "ours, style and identity too": partial(_our_step(ReleasedFrontEnd(None, 256, 2 * FEATURES)), VALID),
        "ours, pairs of features stacked": partial(_our_step(PretrainedFrontEnd(None, 256, 2 * FEATURES)), VALID),
        "ours, log-mel": partial(_our_step(LogMelFrontEnd(256)), VALID),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    optimizers: dict[str, list[float]] = {name: [] for name in steps}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for turn in range(repetitions + 1):
            for name, step in steps.items():
                begin = time.process_time()
                of_optimizer = step()
                if turn:  # the first step makes the optimiser's state
                    seconds[name].append(time.process_time() - begin)
                    optimizers[name].append(of_optimizer)
    finally:
        torch.set_num_threads(threads)
    median = {name: _median(taken) for name, taken in seconds.items()}
    found = []
    for name in steps:
        found.append({"name": f"training step, {name}", "value": median[name], "unit": "s"})
        found.append({"name": f"- its optimiser, {name}", "value": _median(optimizers[name]), "unit": "s"})
    return found + [
        {"name": f"official / {name}", "value": median["official"] / median[name], "unit": "x"}
        for name in steps
        if name != "official"
    ]


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _official_step(checkout: Path) -> Step:
    with _importable(checkout):
        from models.s2lmk import Speech2Landmark

        net = Speech2Landmark(OFFICIAL).train()
    loss = _module_of(checkout / "metrics" / "loss.py").calc_l1_loss
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-5)
    features, target = _batch(OUTPUTS)
    mask = torch.arange(FRAMES) < VALID[:, None]

    def step() -> float:
        mid, final = net(features, 2 * VALID)
        _, _, total = loss(mid, final, target, mask)
        optimizer.zero_grad()
        total.backward()
        return _timed(optimizer.step)

    return step


def _our_step(front_end: SpeechFrontEnd, with_style: bool = True) -> Callable[[Tensor], float]:
    adapter = ExpressionAdapter(front_end, "flame", num_identity=100, **RELEASED).train()
    net = adapter if with_style else _WithoutStyle(adapter)
    loss = ExpressionLoss(velocity=0.0, reduction="frame_sum")
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-5)
    update_in_one_pass(optimizer)  # as every training of ours does
    features, target = _batch(OUTPUTS)
    speech = features.reshape(BATCH, FRAMES, 2 * FEATURES)
    if isinstance(front_end, LogMelFrontEnd):
        speech = 0.1 * torch.randn(BATCH, FRAMES * SAMPLES_PER_FRAME)
    reference, identity = torch.randn(BATCH, REFERENCE_FRAMES, OUTPUTS), torch.randn(BATCH, 100)
    reference_frames = torch.full((BATCH,), REFERENCE_FRAMES)

    def step(frames: Tensor) -> float:
        mask = torch.arange(FRAMES) < frames[:, None]
        output = net(speech, frames, reference, reference_frames, identity)
        optimizer.zero_grad()
        loss(output.mid, output.final, target, mask).total.backward()
        return _timed(optimizer.step)

    return step


def _timed(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


class _WithoutStyle(nn.Module):
    """The parts of an expression adapter that the released code has too."""

    def __init__(self, net: ExpressionAdapter) -> None:
        super().__init__()
        self.net = net

    def forward(self, speech: Tensor, frames: Tensor, *_: Tensor) -> AdapterOutput:
        net, mask = self.net, torch.arange(speech.shape[1]) < frames[:, None]
        x = net.encode_audio(speech, frames)
        x = net.decoder(net.decoder_input(x) * net.input_scale, mask)
        mid = net.head(x)
        return AdapterOutput(mid, mid + net.post_net(mid, mask))


def _batch(outputs: int) -> tuple[Tensor, Tensor]:
    """Features at 50 Hz and targets; the same whenever it is called."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(BATCH, 2 * FRAMES, FEATURES, generator=generator)
    return features, torch.randn(BATCH, FRAMES, outputs, generator=generator)


@contextmanager
def _importable(checkout: Path) -> Iterator[None]:
    """Its rooms `base` and `models` can be imported meanwhile. It imports loralib and never uses it."""
    sys.modules.setdefault("loralib", ModuleType("loralib"))
    sys.path.insert(0, str(checkout))
    try:
        yield
    finally:
        sys.path.remove(str(checkout))


def _module_of(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("official_loss", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    from benchmarks.table import print_rows

    if len(sys.argv) < 2 or not (Path(sys.argv[1]) / "models" / "s2lmk.py").is_file():
        sys.exit("give a checkout of github.com/thuhcsi/AdaMesh: python -m benchmarks.official_network CHECKOUT")
    print_rows(rows(Path(sys.argv[1]), *map(int, sys.argv[2:3])))

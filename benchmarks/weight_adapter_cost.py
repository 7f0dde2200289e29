"""Weight adapters of the expression adapter: cost of a forward and backward pass at the small size, values and bytes at the released.

python -m benchmarks.weight_adapter_cost
"""

from __future__ import annotations

import time

import torch

from benchmarks.network_speed import SIZES
from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import build_front_end
from networks.weight_adapters import EXPRESSION_METHODS, attach, expression_spec, remove, report, switch, train_only
from speech.audio import SAMPLES_PER_FRAME

# Adaptation as in the recipe: 8 windows of 75 frames, the reference of about 10 s.
BATCH, FRAMES, REFERENCE_FRAMES, NUM_IDENTITY = 8, 75, 250, 100
REPETITIONS = 15


def rows() -> list[dict]:
    """Measurements as `{"name", "value", "unit"}`. Costs are CPU time of one thread, the least of the repetitions, over the plain one's;
    methods take turns, so that other work on the machine meets all alike.
    """
    net = _network("small")
    batch = _inputs()
    seconds: dict[str, list[float]] = {name: [] for name in ("plain", *EXPRESSION_METHODS)}
    for method in EXPRESSION_METHODS:
        attach(net, expression_spec(net, method), method)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(REPETITIONS):
            for name, taken in seconds.items():
                taken.append(_pass_seconds(net, None if name == "plain" else name, batch))
    finally:
        torch.set_num_threads(threads)
    best = {name: min(taken) for name, taken in seconds.items()}
    found = [{"name": "small network: plain pass, all weights trained", "value": best["plain"], "unit": "s"}]
    found += [
        {"name": f"small network: pass with {name}", "value": best[name] / best["plain"], "unit": "x plain"}
        for name in EXPRESSION_METHODS
    ]
    return found + _sizes()


def _sizes() -> list[dict]:
    found = []
    net = _network("released")
    for method in EXPRESSION_METHODS:
        attach(net, expression_spec(net, method), "person")
        table = report(net, "person")
        found += [
            {"name": f"released network: {method}", "value": table.trained, "unit": "trained values"},
            {"name": f"released network: {method}", "value": table.bytes, "unit": "bytes"},
        ]
        remove(net, "person")
    return found


def _network(size: str) -> ExpressionAdapter:
    torch.manual_seed(0)
    options = SIZES[size]
    return ExpressionAdapter(build_front_end("logmel", options["width"]), num_identity=NUM_IDENTITY, **options)


def _inputs() -> tuple:
    generator = torch.Generator().manual_seed(1)
    audio = 0.1 * torch.randn(BATCH, FRAMES * SAMPLES_PER_FRAME, generator=generator)
    reference = torch.randn(BATCH, REFERENCE_FRAMES, 55, generator=generator)
    frames, reference_frames = torch.full((BATCH,), FRAMES), torch.full((BATCH,), REFERENCE_FRAMES)
    return audio, frames, reference, reference_frames, torch.randn(BATCH, NUM_IDENTITY, generator=generator)


def _pass_seconds(net: ExpressionAdapter, person: str | None, batch: tuple) -> float:
    if person is None:
        switch(net, None)
        net.requires_grad_(True)
    else:
        train_only(net, person)
    net.zero_grad(set_to_none=True)
    start = time.process_time()
    output = net(*batch)
    (output.mid.abs().mean() + output.final.abs().mean()).backward()
    return time.process_time() - start


if __name__ == "__main__":
    from benchmarks.table import print_rows

    print_rows(rows())

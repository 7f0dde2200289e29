"""Seconds of the pose adapter, small size: generation with and without the cache, many clips at once, retrieval from
20,000 styles.

python -m benchmarks.pose_speed
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from networks.code_sampling import Sampling
from networks.pose_generation import generate_codes, generate_head
from networks.pose_gpt import PoseGPT, PoseGPTSettings
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from networks.style_bank import StyleBank
from networks.style_matrix import StyleMatrix, style_matrix
from speech.audio import MOTION_FPS, SAMPLES_PER_FRAME

FRAMES, BATCH, LATENT_WIDTH = 60 * MOTION_FPS, 32, 16
STYLES, UNITS, OCCUPIED = 20_000, 512, 250
# The uncached loop is timed at every so many steps.
UNCACHED_EVERY = 50


def rows() -> list[dict]:
    """Measurements as `{"name", "value", "unit"}`; the best of some repetitions, the rest being neighbours on the machine."""
    torch.manual_seed(0)
    net = PoseGPT(PoseGPTSettings(), num_styles=100).eval()
    poses = PoseVQVAE(build_quantizer("vq", LATENT_WIDTH)).eval()
    count = sum(parameter.numel() for parameter in net.parameters())
    cached, together = _best_seconds(_codes(net, 1), 6), _best_seconds(_codes(net, BATCH), 4)
    nucleus = _best_seconds(_codes(net, 1, sampling=Sampling(temperature=1.0, top_p=0.9)), 3)
    quarter = _best_seconds(_codes(net, 1, frames=FRAMES // 4), 6)
    head = torch.randn(1, FRAMES, 3)
    length = torch.tensor([FRAMES])
    tokenizing = _best_seconds(lambda: (poses.tokenize(head, length), None)[1], 3)
    bank, query = _random_bank()
    found: list[tuple[str, float, str]] = [
        ("PoseGPT: parameters", count, ""),
        ("speech to head motion of 60 s, greedy", _best_seconds(_speech_to_head(net, poses), 3), "s"),
        ("codes of 60 s, greedy", cached, "s"),
        ("codes of 60 s, top-p 0.9", nucleus, "s"),
        ("without the cache, times as long", _uncached_seconds(net) / cached, "x"),
        ("60 s against 15 s, a frame", cached / 4 / quarter, "x"),
        (f"codes of {BATCH} clips of 60 s, each clip", together / BATCH, "s"),
        (f"{BATCH} clips one by one, times as long", BATCH * cached / together, "x"),
        ("head motion to codes", FRAMES / tokenizing, "frames/s"),
        (f"retrieval of 10 s from {STYLES:,} styles", _best_seconds(lambda: _ask(bank, query), 3), "s"),
    ]
    return [{"name": f"pose: {name}", "value": value, "unit": unit} for name, value, unit in found]


def _codes(net: PoseGPT, batch: int, frames: int = FRAMES, sampling: Sampling | None = None) -> Callable[[], None]:
    speech, style = torch.randn(batch, frames, net.settings.width), torch.randn(batch, net.settings.style_width)
    length, chosen = torch.full((batch,), frames), sampling or Sampling()
    return lambda: (generate_codes(net, speech, length, style, chosen), None)[1]


def _speech_to_head(net: PoseGPT, poses: PoseVQVAE) -> Callable[[], None]:
    audio, length = 0.1 * torch.randn(1, FRAMES * SAMPLES_PER_FRAME), torch.tensor([FRAMES])
    style = net.styles.weight[:1].detach()
    return lambda: (generate_head(net, poses, audio, length, style), None)[1]


@torch.inference_mode()
def _uncached_seconds(net: PoseGPT) -> float:
    """Of a loop that runs the whole network over all codes so far for each new one."""
    speech, style = torch.randn(1, FRAMES, net.settings.width), torch.randn(1, net.settings.style_width)
    codes = torch.zeros(1, FRAMES, dtype=torch.long)
    begin = time.perf_counter()
    for length in range(UNCACHED_EVERY // 2, FRAMES, UNCACHED_EVERY):
        net(codes[:, :length], speech[:, :length], style)[:, -1].argmax(-1)
    return UNCACHED_EVERY * (time.perf_counter() - begin)


def _random_bank() -> tuple[StyleBank, StyleMatrix]:
    matrices = [
        StyleMatrix(
            torch.randperm(UNITS)[:OCCUPIED].sort().values,
            torch.randint(1, 20, (OCCUPIED,)).float(),
            torch.randn(OCCUPIED, LATENT_WIDTH),
            UNITS,
        )
        for _ in range(STYLES)
    ]
    bank = StyleBank([str(i) for i in range(STYLES)], matrices, torch.randn(STYLES, 21), torch.eye(21), "none", "none")
    return bank, style_matrix(torch.randn(250, LATENT_WIDTH), torch.randint(UNITS, (250,)), UNITS)


def _ask(bank: StyleBank, query: StyleMatrix) -> None:
    bank.distances(query).argmin()


def _best_seconds(work: Callable[[], None], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


if __name__ == "__main__":
    from benchmarks.table import print_rows

    print_rows(rows())

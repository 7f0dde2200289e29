"""Seconds of the pose adapter, small size: generation with and without the cache, many clips at once, retrieval from
20,000 styles, and what `adapt.py --pose` does with a bank of them.

python -m benchmarks.pose_speed
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from corpora.clip import ClipMeta, SpeechClip
from datamodules.person_reference import PersonReference
from datamodules.sample import Sample
from faces.motion import FaceMotion
from networks.code_sampling import Sampling
from networks.pose_adapter import PoseAdapter
from networks.pose_generation import generate_codes, generate_head
from networks.pose_gpt import PoseGPT, PoseGPTSettings
from networks.pose_statistics import NUM_STATISTICS
from networks.pose_style_files import BANK, open_pose_styles
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from networks.style_bank import Metric, StyleBank
from networks.style_matrix import StyleMatrix, style_matrix
from personas.pose_half import style_of_person
from speech.audio import MOTION_FPS, SAMPLES_PER_FRAME
from speech.semantic_units import UNITS_FILE, MfccContext, SemanticUnits

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
        *_adaptation_seconds(bank, poses),
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
    bank = StyleBank(
        [str(i) for i in range(STYLES)],
        matrices,
        torch.randn(STYLES, NUM_STATISTICS),
        torch.eye(NUM_STATISTICS),
        "none",
        "none",
    )
    return bank, style_matrix(torch.randn(250, LATENT_WIDTH), torch.randint(UNITS, (250,)), UNITS)


def _ask(bank: StyleBank, query: StyleMatrix) -> None:
    bank.distances(query).argmin()


def _adaptation_seconds(bank: StyleBank, poses: PoseVQVAE) -> list[tuple[str, float, str]]:
    """Of `personas.pose_half` for 10 s of head motion: the styles read from their files, one chosen, and what is told beside it."""
    net = PoseAdapter(poses, bank.sources).eval()
    bank.vqvae = poses.fingerprint()
    units = SemanticUnits(
        np.random.default_rng(0).normal(size=(UNITS, MfccContext.width)), np.ones(65), MfccContext.fingerprint
    )
    bank.unit_fingerprint = units.fingerprint
    motion = FaceMotion(expression=np.zeros((250, 52)), head=0.1 * np.random.default_rng(1).normal(size=(250, 3)))
    audio = (0.1 * np.random.default_rng(2).normal(size=250 * SAMPLES_PER_FRAME)).astype(np.float32)
    clip = SpeechClip("ada", audio, motion, ClipMeta(speaker="ada", source="ada", corpus="reference"))
    reference = PersonReference("ada", [Sample(clip)])
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        bank.typical_distance()
        found = [(f"distances between {STYLES:,} known people (once a bank)", time.perf_counter() - begin, "s")]
        units.save(Path(folder) / UNITS_FILE)
        bank.save(Path(folder) / BANK)

        def adapt(distance: Metric) -> None:
            styles = open_pose_styles(Path(folder), net, lambda: None)
            style_of_person(net, styles, reference, "retrieved", distance)
            styles.bank.typical_distance()

        for distance in ("statistics", "shrunk"):
            seconds = _best_seconds(partial(adapt, distance), 2)
            found.append((f"a style of {STYLES:,} for 10 s by {distance}, bank read from its file", seconds, "s"))
    return found


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

"""Metrics in two real processes with unequal shares, one of them empty, through torch.distributed's gloo."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from metric_tester import collate, filled, random_clips

from metrics.frechet_distance import FrechetMotionDistance
from metrics.lip_vertex_error import LipVertexError, LipVertexErrorArtalk
from metrics.pooled_diversity import PooledDeviation, PooledDiversity

LIPS = random_clips((6, 3), (6, 3), scale=1e-3)
HEADS = random_clips((3,), scale=0.02)
PAIRS = random_clips((2,), (2,), lengths=(60, 52, 80, 55))
CASES = [
    (LipVertexError, LIPS),
    (LipVertexErrorArtalk, LIPS),
    (PooledDiversity, HEADS),
    (PooledDeviation, HEADS),
    (lambda: FrechetMotionDistance(channels=2, length=10), PAIRS),
]
BROKEN = tuple(part.copy() for part in LIPS[3])
BROKEN[0][2] = np.nan


def share(clips: list, rank: int, empty: bool) -> list:
    """Rank 0 sees all but the last clip, or all; rank 1 the last one, or none."""
    cut = len(clips) if empty else len(clips) - 1
    return clips[:cut] if rank == 0 else clips[cut:]


def run_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    values = []
    for make, clips in CASES:
        for empty in (False, True):
            metric = make()
            for number, clip in enumerate(share(clips, rank, empty)):
                metric.update(*collate([clip]), keys=[f"rank-{rank}-{number}"])
            values.append(metric.compute().item())
    metric = LipVertexError()
    metric.update(*collate([LIPS[0] if rank == 0 else BROKEN]), keys=[f"clip-{rank}"])
    metric.compute()
    Path(folder, f"{rank}.json").write_text(json.dumps([values, metric.bad_clips]))
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_two_processes_with_unequal_or_empty_shares_agree_with_one():
    with tempfile.TemporaryDirectory() as folder:
        context = torch.multiprocessing.get_context("spawn")
        ranks = [context.Process(target=run_rank, args=(rank, folder)) for rank in range(2)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(timeout=120)
            if process.is_alive():
                process.kill()
        assert [process.exitcode for process in ranks] == [0, 0], "a rank failed or hung; its output is above"
        results = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(2)]
    expected = [filled(make, [clips]).compute().item() for make, clips in CASES for _ in range(2)]
    for values, bad_clips in results:
        assert values == pytest.approx(expected, rel=1e-6)
        assert bad_clips == ["clip-1"], "both processes must know the broken clip"

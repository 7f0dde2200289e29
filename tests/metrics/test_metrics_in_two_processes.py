"""One metric in two real processes with unequal numbers of batches, through torch.distributed's gloo."""

import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from metric_tester import collate, filled, random_clips

from metrics.lip_vertex_error import LipVertexError

CLIPS = random_clips((6, 3), (6, 3), scale=1e-3)


def run_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    metric = LipVertexError()
    for clip in CLIPS[:-1] if rank == 0 else CLIPS[-1:]:
        metric.update(*collate([clip]))
    Path(folder, f"{rank}.txt").write_text(repr(metric.compute().item()))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_with_unequal_batches_agree_with_one():
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
        values = [float(Path(folder, f"{rank}.txt").read_text()) for rank in range(2)]
    expected = filled(LipVertexError, [CLIPS]).compute().item()
    assert values == pytest.approx([expected, expected], rel=1e-6)

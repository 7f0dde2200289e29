"""Ranks that differ refuse to start together; what rank 0 does alone reaches all."""

import json
import tempfile
from pathlib import Path

import pytest
import torch.distributed as dist
import torch.multiprocessing as processes

from runtime.ranks import RanksDisagree, differences, handshake, highest, on_first_rank


def test_differences_name_each_fact_and_who_has_which_value() -> None:
    same = {"seed": 1, "data": "abc", "code": "f00"}
    assert differences([same, dict(same), dict(same)]) == []
    (line,) = differences([same, {**same, "seed": 2}, same])
    assert line == "  seed: 1 on ranks 0, 2; 2 on rank 1"


def test_a_process_alone_agrees_with_itself_and_gets_its_own_errors() -> None:
    handshake({"seed": 1})
    assert highest(3) == 3 and on_first_rank("name", lambda: [1, "two"]) == [1, "two"]
    with pytest.raises(RanksDisagree, match="no such folder"):
        handshake({}, "no such folder")

    def fail() -> None:
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        on_first_rank("name", fail)


def run_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    import os

    os.environ["RANK"] = str(rank)
    told = {"highest": highest(rank + 4)}

    def said(call) -> str:
        try:
            return f"gave {call()}"
        except RanksDisagree as error:
            return str(error)

    told["same"] = said(lambda: handshake({"seed": 1, "code": "f00"}))
    told["other seed"] = said(lambda: handshake({"seed": rank, "code": "f00"}))
    told["broken"] = said(lambda: handshake({}, "data/train-000003.tar is missing" if rank else ""))
    told["all broken"] = said(lambda: handshake({}, "no corpus there"))
    told["made"] = said(lambda: on_first_rank("folder", lambda: f"made by {rank}"))

    def fail() -> None:
        raise OSError("disk full")

    told["failed"] = said(lambda: on_first_rank("folder 2", fail))
    Path(folder, f"{rank}.json").write_text(json.dumps(told))
    dist.destroy_process_group()


def test_two_ranks_hear_the_same_refusal_and_the_same_result() -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Forked, so that they need not import torch anew.
        processes.start_processes(run_rank, (folder,), nprocs=2, start_method="fork")  # type: ignore[attr-defined]
        first, second = (json.loads(Path(folder, f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["highest"] == 5 and first["same"] == "gave None"
    assert (
        "seed: 0 on rank 0; 1 on rank 1" in first["other seed"] and "code" not in first["other seed"].split("\n", 1)[1]
    )
    assert first["broken"] == "rank 1: data/train-000003.tar is missing"
    assert first["all broken"] == "no corpus there"
    assert first["made"] == "gave made by 0" and first["failed"] == "disk full"

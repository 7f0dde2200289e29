"""Several processes that are one run: joining them, and refusing to start unless they agree on what they do."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from runtime.run_folder import RunError

STORE_TIMEOUT = timedelta(seconds=600)
_exchanges = itertools.count()


def global_rank() -> int:
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(timeout_s: float) -> None:
    """Open the process group of a torchrun-started rank; does nothing for a process alone.

    CPU tensors go over gloo also where GPU tensors go over NCCL, so agreeing on a stop never waits for a GPU. A collective that takes
    longer than `timeout_s` raises.
    """
    if "RANK" not in os.environ or "MASTER_ADDR" not in os.environ or dist.is_initialized():
        return
    _end_with_launcher()
    use_gpu = torch.cuda.is_available()
    if use_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if use_gpu else "gloo", timeout=timedelta(seconds=timeout_s))


def _end_with_launcher() -> None:
    """Get SIGTERM when the launcher dies: torchrun's ranks would train on unseen, into a folder that the next start uses too."""
    PR_SET_PDEATHSIG = 1
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def leave() -> None:
    """Close the process group after a run that ended on all ranks together."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class RanksDisagree(RunError):
    """The same error on every rank; only the first one needs to print it."""


def highest(value: int) -> int:
    """The largest of all ranks' values: a collective of one integer on the CPU."""
    if not is_group():
        return value
    shared = torch.tensor(value)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return int(shared)


def handshake(facts: dict[str, Any], problem: str = "") -> None:
    """Compare `facts` (plain values: configuration, data, code, seed, ...) over all ranks before anything is made.

    `problem` is why this rank cannot start, if it cannot. Every rank raises RanksDisagree naming what differs or fails, and where.
    Goes through the rendezvous store as JSON, so that nothing of another process is unpickled.
    """
    of_rank = _exchange("handshake", {**facts, "problem": problem})
    problems = _grouped(of_rank, "problem")
    told = [
        text if len(ranks) == len(of_rank) else f"{_named(ranks)}: {text}" for text, ranks in problems.items() if text
    ]
    if told:
        raise RanksDisagree("\n".join(told))
    differing = differences([{k: v for k, v in one.items() if k != "problem"} for one in of_rank])
    if differing:
        raise RanksDisagree(
            "the ranks of this run do not agree, so none starts; give every node the same command, code and data:\n"
            + "\n".join(differing)
        )


def on_first_rank(name: str, work: Callable[[], Any]) -> Any:
    """Do `work` on rank 0 alone and give its result, a plain JSON value, to all; its ValueError or OSError is raised everywhere."""
    result: dict[str, Any] = {}
    if global_rank() == 0:
        try:
            result = {"value": work()}
        except (ValueError, OSError) as error:
            if not is_group():
                raise
            result = {"problem": str(error)}
    result = _exchange(name, result)[0]
    if "problem" in result:
        raise RanksDisagree(result["problem"])
    return result["value"]


def differences(of_rank: list[dict[str, Any]]) -> list[str]:
    """One line for each fact that is not the same on all ranks, ranks with the same value together."""
    lines = []
    for name in sorted(set().union(*of_rank)):
        holders = _grouped(of_rank, name)
        if len(holders) > 1:
            told = "; ".join(f"{json.dumps(value)} on {_named(ranks)}" for value, ranks in holders.items())
            lines.append(f"  {name}: {told}")
    return lines


def lost_contact(error: BaseException) -> bool:
    """Whether an error is that of a collective whose other side is gone, so that its traceback says nothing of the cause."""
    words = ("gloo", "nccl", "connection", "broken pipe", "timed out")
    return is_group() and isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def is_group() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _exchange(name: str, value: dict[str, Any]) -> list[dict[str, Any]]:
    """Every rank's value, by rank."""
    if not is_group():
        return [value]
    store = dist.distributed_c10d._get_default_store()
    world = dist.get_world_size()
    place = f"{name}/{next(_exchanges)}"  # a second exchange of one name must not read the first one's values
    store.set(f"{place}/{dist.get_rank()}", json.dumps(value, sort_keys=True, default=str))
    keys = [f"{place}/{rank}" for rank in range(world)]
    store.wait(keys, STORE_TIMEOUT)
    values = [json.loads(store.get(key)) for key in keys]
    dist.barrier()  # nobody leaves, and takes the store away, before all have read
    return values


def _grouped(of_rank: list[dict[str, Any]], name: str) -> dict[Any, list[int]]:
    holders: dict[Any, list[int]] = {}
    for rank, facts in enumerate(of_rank):
        holders.setdefault(facts.get(name), []).append(rank)
    return holders


def _named(ranks: list[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"

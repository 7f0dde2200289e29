"""Loader workers through the signals of a job, started from a process that has threads."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A rank: a loader with one worker whose every item is its process and its parent's.
RANK = """
import os, signal, sys
import torch
from torch.utils.data import DataLoader, Dataset
from datamodules import loader_workers

class Processes(Dataset):
    def __len__(self):
        return 40
    def __getitem__(self, place):
        return torch.tensor([os.getpid(), os.getppid()])

if __name__ == "__main__":
    loader_workers.PRELOADED = ["torch"]
    stopped = []
    for number in loader_workers.STOP_SIGNALS:
        signal.signal(number, lambda *_: stopped.append(1))
    items = iter(DataLoader(
        Processes(), batch_size=None, num_workers=1, worker_init_fn=loader_workers.outlive_stop_signals,
        multiprocessing_context=loader_workers.worker_context(), prefetch_factor=1,
    ))
    worker, server = next(items).tolist()
    assert server != os.getpid(), "the worker is no child of a process with threads"
    for number in loader_workers.STOP_SIGNALS:
        for process in (worker, server, os.getpid()):
            os.kill(process, number)
    rest = [item.tolist() for item in items]
    print(len(rest), all(item == [worker, server] for item in rest), len(stopped))
"""


@pytest.mark.timeout(120)
def test_workers_come_from_a_fork_server_and_go_on_when_the_whole_job_is_signalled(tmp_path: Path) -> None:
    program = tmp_path / "rank.py"
    program.write_text(RANK)
    done = subprocess.run(
        [sys.executable, str(program)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.split() == ["39", "True", "3"], done.stdout + done.stderr


@pytest.mark.timeout(120)
def test_no_worker_and_no_server_outlives_a_rank_that_was_killed(tmp_path: Path) -> None:
    program = tmp_path / "rank.py"
    program.write_text(
        RANK.replace(
            "for number in loader_workers.STOP_SIGNALS:\n        for",
            "print(worker, server, flush=True); import time; time.sleep(60)\n    for number in loader_workers.STOP_SIGNALS:\n        for",
        )
    )
    rank = subprocess.Popen(
        [sys.executable, str(program)], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert rank.stdout is not None
    processes = [int(pid) for pid in rank.stdout.readline().split()]
    assert len(processes) == 2 and all(is_alive(pid) for pid in processes)
    rank.kill()
    rank.wait()
    until = time.monotonic() + 60
    while any(is_alive(pid) for pid in processes) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(is_alive(pid) for pid in processes)


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]
    except OSError:
        return False


def test_the_handlers_of_the_rank_are_put_back() -> None:
    from datamodules.loader_workers import STOP_SIGNALS, worker_context

    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    assert worker_context().get_start_method() == "forkserver" and worker_context("spawn").get_start_method() == "spawn"
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before

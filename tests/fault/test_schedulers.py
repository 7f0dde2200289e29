"""Schedulers start a preempted run again and nothing else: the batch script with stand-ins for SLURM, submitit on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_processes import ROOT, last_step, tiny_overrides

from runtime.outcome import read_outcome
from runtime.run_folder import RunError
from runtime.submit import TrainJob, parse_options, submit

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (143, True), (65, False), (2, False), (1, False)])
def test_the_batch_script_requeues_preempted_runs_only_and_keeps_the_exit_code(
    code: int, requeued: bool, tmp_path: Path
) -> None:
    said = tmp_path / "said.txt"
    for name, body in {
        "srun": '"$@"',
        "scontrol": f'echo "$@" >> {said}',
        "fake_python": f'echo "$@" > {tmp_path}/command.txt; exit {code}',
    }.items():
        script = tmp_path / name
        script.write_text(f"#!/bin/bash\n{body}\n")
        script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHON": "fake_python",
        "SLURM_NNODES": "2",
        "SLURM_JOB_ID": "77",
    }
    done = subprocess.run(
        ["bash", str(ROOT / "docs" / "train.sbatch"), "expression_pretraining", "run.label=it is"],
        env=environment,
        check=False,
        timeout=30,
    )
    assert done.returncode == code
    assert said.exists() == requeued and (not requeued or said.read_text() == "requeue 77\n")
    command = (tmp_path / "command.txt").read_text()
    assert command.startswith("train.py expression_pretraining run.label=it is trainer.devices=4 trainer.num_nodes=2")


def test_a_job_that_submitit_ends_early_saves_and_its_successor_finishes_the_run(
    made_up_corpus: Path, tmp_path: Path
) -> None:
    submitit = pytest.importorskip("submitit", reason="the optional extra 'slurm' is not installed")
    from submitit.core import job_environment

    folder = tmp_path / "run"
    overrides = tiny_overrides(
        made_up_corpus,
        "data.global_batch=4",
        "trainer.max_steps=160",
        "trainer.val_every_steps=1000",
        "checkpoint.every_steps=1000",
    )
    command = [sys.executable, "train.py", "expression_pretraining", f"run.folder={folder}", *overrides]
    executor = submitit.AutoExecutor(folder=tmp_path / "logs", cluster="local")
    executor.update_parameters(timeout_min=5)
    job = executor.submit(TrainJob(command, str(ROOT)))
    until = time.monotonic() + 90
    while last_step(folder) < 20:
        assert time.monotonic() < until, job.stderr()
        time.sleep(0.05)
    # SLURM signals the task itself; submitit's stand-in for it would signal its controller.
    (task,) = children(job._process.pid)
    os.kill(task, job_environment.JobEnvironment._usr_sig())
    while read_outcome(folder)["status"] != "preempted":
        assert time.monotonic() < until, job.stderr()
        time.sleep(0.05)
    stopped_at = read_outcome(folder)["step"]
    assert 20 <= stopped_at < 160 and (folder / "checkpoints" / f"step-{stopped_at:08d}.ckpt").exists()
    # What submitit queues again is what `checkpoint()` gave back; on this machine nothing queues, so the test starts it.
    again = TrainJob(command, str(ROOT)).checkpoint()
    assert isinstance(again.function, TrainJob) and again.function() == 0
    assert read_outcome(folder)["status"] == "finished"


def children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_slurm_options_are_pairs_and_a_machine_without_slurm_is_told_so(tmp_path: Path) -> None:
    assert parse_options("minutes=60,partition=gpu") == {"minutes": "60", "partition": "gpu"}
    with pytest.raises(RunError, match="name=value"):
        parse_options("gpu")
    with pytest.raises(RunError, match="cannot submit"):
        submit(["train.py"], 1, 1, 10, 60, tmp_path)

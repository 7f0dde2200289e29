"""Ranks that do not belong together refuse to start; a rank that stands still is noticed; a loss that is not finite ends all."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest
from run_processes import Training, tiny_overrides

from runtime.exit_codes import BAD_INPUT, DIVERGED, STALLED
from runtime.outcome import read_outcome

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def as_rank(rank: int, port: int) -> dict[str, str]:
    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    return {**place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


@pytest.mark.parametrize(
    ("of_second", "said"),
    [
        (["net.width=32"], "configuration: "),
        (["run.seed=7"], "seed: 1 on rank 0; 7 on rank 1"),
        (["data.root=nowhere"], "rank 1: "),
    ],
)
def test_ranks_that_differ_refuse_to_start_and_make_no_folder(
    of_second: list[str], said: str, made_up_corpus: Path, tmp_path: Path
) -> None:
    port, overrides = free_port(), tiny_overrides(made_up_corpus, "data.global_batch=4", "trainer.max_steps=4")
    starts = [
        Training(tmp_path / "run", [*overrides, *more], environment=as_rank(rank, port))
        for rank, more in enumerate([[], of_second])
    ]
    assert [training.end(90) for training in starts] == [BAD_INPUT, BAD_INPUT], starts[0].output() + starts[1].output()
    assert said in starts[0].output() and "Traceback" not in starts[0].output()
    assert not (tmp_path / "run").exists()


def test_a_rank_that_stands_still_ends_the_run_with_stacks_in_its_folder(made_up_corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    training = Training(
        folder,
        tiny_overrides(
            made_up_corpus, "data.global_batch=4", "trainer.max_steps=5000", "trainer.val_every_steps=10000", "checkpoint.every_steps=1000",
            "trainer.devices=2", "callbacks.watchdog.timeout_s=6.0", "trainer.grace_s=3",
        ),
    )  # fmt: skip
    training.wait_for_step(10)
    os.kill(training.ranks()[1], signal.SIGSTOP)
    assert training.end(90) == STALLED, training.output()
    assert "Thread" in (folder / "stalled-rank-0.txt").read_text()
    assert read_outcome(folder)["status"] == "stalled"


def test_a_loss_that_is_not_finite_on_one_rank_ends_all_ranks(made_up_corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    overrides = tiny_overrides(
        made_up_corpus, "data.global_batch=4", "trainer.max_steps=200", "trainer.devices=2", "trainer.gradient_clip=0.0",
        "task.optimizer.lr=1.0e30", "task.scheduler.warmup_steps=1", "checkpoint.every_steps=1", "trainer.val_every_steps=10000",
    )  # fmt: skip
    training = Training(folder, overrides)
    assert training.end(90) == DIVERGED, training.output()
    outcome = read_outcome(folder)
    assert outcome["status"] == "diverged"
    found = [json.loads(line) for line in (folder / "diverged.jsonl").read_text().splitlines()]
    assert found and all(len(one["keys"]) == 2 for one in found)
    kept = [int(path.stem.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*.ckpt")]
    assert all(step < outcome["step"] for step in kept)

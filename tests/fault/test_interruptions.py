"""Runs that are killed, signalled and started again on other ranks and workers end as the uninterrupted one did."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
import torch
from run_processes import Training, tiny_overrides, trained_batches
from two_nodes import TrainingOnTwoNodes, can_make_namespaces, two_nodes

from runtime.checkpoint_io import load_checkpoint
from runtime.exit_codes import PREEMPTED
from runtime.metrics_log import read_metrics

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1500)]

STEPS = 240
COMMON = [
    "data.global_batch=8",
    f"trainer.max_steps={STEPS}",
    "trainer.val_every_steps=40",
    "checkpoint.every_steps=10",
]
CUT = "cut the cable between two nodes"
STRIKES = (
    "kill one rank",
    "kill the launcher",
    "terminate one rank",
    "terminate the launcher",
    "user signal to one rank",
)


@pytest.fixture(scope="module")
def uninterrupted(made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(tmp_path_factory.mktemp("uninterrupted") / "run", made_up_corpus, ranks=1, workers=0)


def start(folder: Path, corpus: Path, ranks: int, workers: int) -> Training:
    return Training(folder, tiny_overrides(corpus, *COMMON, f"trainer.devices={ranks}", f"data.workers={workers}"))


def finish(folder: Path, corpus: Path, ranks: int, workers: int) -> Path:
    training = start(folder, corpus, ranks, workers)
    assert training.end(300) == 0, training.output()
    return folder


def strike(training: Training, how: str, choice: random.Random) -> None:
    rank = choice.choice(training.ranks())
    target = training.process.pid if "launcher" in how else rank
    number = signal.SIGKILL if "kill" in how else signal.SIGUSR1 if "user" in how else signal.SIGTERM
    os.kill(target, number)


def interrupt_and_resume(
    folder: Path, corpus: Path, times: int, ranks: tuple[int, ...], seed: int, cuts: tuple[int, ...] = ()
) -> list[str]:
    """Strike `times` times at random steps, each start on a random number of ranks and workers, then run to the end; returns what was done.

    The strikes numbered in `cuts` part two nodes of one rank each from each other.
    """
    choice = random.Random(seed)
    done = []
    for number in range(times):
        at = int((number + choice.random()) * (STEPS - 40) / times)
        now, workers, how = choice.choice(ranks), choice.choice((0, 1, 2)), choice.choice(STRIKES)
        if number in cuts:
            now, how = 2, CUT
            codes = run_until_cut(folder, corpus, workers, at)
        else:
            codes = [run_until_struck(start(folder, corpus, now, workers), how, at, choice)]
        done.append(f"{how}, {now} ranks, {workers} workers, near step {at}: exit {codes}")
        assert 0 not in codes, f"unnoticed: {done[-1]}"
        assert set(codes) == {PREEMPTED} or "kill" in how or how == CUT, done[-1]
    finish(folder, corpus, choice.choice(ranks), choice.choice((0, 1, 2)))
    return done


def run_until_struck(training: Training, how: str, at: int, choice: random.Random) -> int:
    training.wait_for_step(at)
    strike(training, how, choice)
    return training.end(90)


def run_until_cut(folder: Path, corpus: Path, workers: int, at: int) -> list[int]:
    with two_nodes() as nodes:
        training = TrainingOnTwoNodes(nodes, folder, tiny_overrides(corpus, *COMMON, f"data.workers={workers}"))
        training.wait_for_step(at)
        nodes.cut()
        return training.end(90)


def assert_same_batches(folder: Path, reference: Path) -> None:
    found, expected = trained_batches(folder), trained_batches(reference)
    assert len(expected) >= STEPS and all(len(samples) == 8 for samples in expected.values())
    assert sorted(found) == sorted(expected)
    wrong = [step for step in expected if found[step] != expected[step]]
    assert not wrong, f"steps {wrong[:10]} trained on other samples or augmentation"


def assert_each_step_once(folder: Path, reference: Path) -> None:
    def steps(run: Path, name: str) -> list[int]:
        return [line["step"] for line in read_metrics(run / "metrics.jsonl") if name in line]

    assert steps(folder, "train/loss") == list(range(STEPS))
    assert (
        steps(folder, "val/loss") == steps(reference, "val/loss") and len(steps(reference, "val/loss")) == STEPS // 40
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoints" / f"step-{STEPS:08d}.ckpt")["state_dict"]


def test_twenty_interruptions_on_changing_ranks_and_workers_change_no_batch(
    uninterrupted: Path, made_up_corpus: Path, tmp_path: Path
) -> None:
    cuts = (4, 11, 17) if can_make_namespaces() else ()
    done = interrupt_and_resume(tmp_path / "run", made_up_corpus, 20, (1, 2, 4), seed=3, cuts=cuts)
    print("\n".join(done))
    assert_same_batches(tmp_path / "run", uninterrupted)
    assert_each_step_once(tmp_path / "run", uninterrupted)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_on_unchanged_ranks_the_final_weights_and_losses_are_bitwise_those_of_the_uninterrupted_run(
    ranks: int, uninterrupted: Path, made_up_corpus: Path, tmp_path: Path
) -> None:
    reference = (
        uninterrupted if ranks == 1 else finish(tmp_path / "reference" / "run", made_up_corpus, ranks, workers=0)
    )
    done = interrupt_and_resume(tmp_path / "run", made_up_corpus, 3, (ranks,), seed=ranks)
    print("\n".join(done))
    found, expected = weights(tmp_path / "run"), weights(reference)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    losses = [
        [line["train/loss"] for line in read_metrics(run / "metrics.jsonl") if "train/loss" in line]
        for run in (tmp_path / "run", reference)
    ]
    assert losses[0] == losses[1]
    assert_each_step_once(tmp_path / "run", reference)

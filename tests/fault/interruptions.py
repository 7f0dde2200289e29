"""A stage's training, struck at random steps and started again on other ranks and workers, beside one that nothing disturbed."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path

import torch
from run_processes import Training, tiny_overrides, trained_batches
from two_nodes import TrainingOnTwoNodes, two_nodes

from runtime.checkpoint_io import load_checkpoint
from runtime.exit_codes import PREEMPTED
from runtime.metrics_log import read_metrics

DEADLINE_S = 240  # for a start and for an end; machines may be busy
CUT = "cut the cable between two nodes"
STRIKES = (
    "kill one rank",
    "kill the launcher",
    "terminate one rank",
    "terminate the launcher",
    "user signal to one rank",
)


@dataclass(frozen=True)
class Stage:
    """A tiny training of `steps` steps; `own` are overrides beside those of `tiny_runs`. Not every stage's data has loader workers."""

    experiment: str
    corpus: Path
    steps: int = 240
    own: tuple[str, ...] = ()
    has_workers: bool = True

    @property
    def every(self) -> int:
        """Steps from one validation to the next."""
        return self.steps // 6

    def overrides(self, workers: int, ranks: int | None = None) -> list[str]:
        common = [
            "data.global_batch=8",
            f"trainer.max_steps={self.steps}",
            f"trainer.val_every_steps={self.every}",
            "checkpoint.every_steps=10",
            *([f"trainer.devices={ranks}"] if ranks else []),
            *([f"data.workers={workers}"] if self.has_workers else []),
        ]
        return tiny_overrides(self.corpus, *common, *self.own, experiment=self.experiment)

    def start(self, folder: Path, ranks: int, workers: int) -> Training:
        return Training(folder, self.overrides(workers, ranks), experiment=self.experiment)

    def finish(self, folder: Path, ranks: int, workers: int) -> Path:
        training = self.start(folder, ranks, workers)
        assert training.end(300) == 0, training.output()
        return folder

    def final_weights(self, folder: Path) -> dict[str, torch.Tensor]:
        return load_checkpoint(folder / "checkpoints" / f"step-{self.steps:08d}.ckpt")["state_dict"]


def strike(training: Training, how: str, choice: random.Random) -> None:
    rank = choice.choice(training.ranks())
    target = training.process.pid if "launcher" in how else rank
    number = signal.SIGKILL if "kill" in how else signal.SIGUSR1 if "user" in how else signal.SIGTERM
    os.kill(target, number)


def interrupt_and_resume(
    stage: Stage, folder: Path, times: int, ranks: tuple[int, ...], seed: int, cuts: tuple[int, ...] = ()
) -> list[str]:
    """Strike `times` times at random steps, each start on a random number of ranks and workers, then run to the end; returns what was done.

    The strikes numbered in `cuts` part two nodes of one rank each from each other.
    """
    choice = random.Random(seed)
    done = []
    for number in range(times):
        at = int((number + choice.random()) * (stage.steps - 40) / times)
        now, workers, how = choice.choice(ranks), choice.choice((0, 1, 2)), choice.choice(STRIKES)
        if number in cuts:
            now, how = 2, CUT
            codes = run_until_cut(stage, folder, workers, at)
        else:
            codes = [run_until_struck(stage.start(folder, now, workers), how, at, choice)]
        done.append(f"{how}, {now} ranks, {workers} workers, near step {at}: exit {codes}")
        assert 0 not in codes, f"unnoticed: {done[-1]}"
        assert set(codes) == {PREEMPTED} or "kill" in how or how == CUT, done[-1]
    stage.finish(folder, choice.choice(ranks), choice.choice((0, 1, 2)))
    return done


def run_until_struck(training: Training, how: str, at: int, choice: random.Random) -> int:
    training.wait_for_step(at, DEADLINE_S)
    strike(training, how, choice)
    return training.end(DEADLINE_S)


def run_until_cut(stage: Stage, folder: Path, workers: int, at: int) -> list[int]:
    with two_nodes() as nodes:
        training = TrainingOnTwoNodes(nodes, folder, stage.overrides(workers), experiment=stage.experiment)
        training.wait_for_step(at, DEADLINE_S)
        nodes.cut()
        return training.end(DEADLINE_S)


def assert_same_batches(stage: Stage, folder: Path, reference: Path) -> None:
    found, expected = trained_batches(folder), trained_batches(reference)
    assert len(expected) >= stage.steps and all(len(samples) == 8 for samples in expected.values())
    assert sorted(found) == sorted(expected)
    wrong = [step for step in expected if found[step] != expected[step]]
    assert not wrong, f"steps {wrong[:10]} trained on other samples or augmentation"


def assert_each_step_once(stage: Stage, folder: Path, reference: Path) -> None:
    def steps(run: Path, name: str) -> list[int]:
        return [line["step"] for line in read_metrics(run / "metrics.jsonl") if name in line]

    assert steps(folder, "train/loss") == list(range(stage.steps))
    validated = steps(reference, "val/loss")
    assert steps(folder, "val/loss") == validated and len(validated) >= stage.steps // stage.every


def assert_bitwise_the_same(stage: Stage, folder: Path, reference: Path) -> None:
    found, expected = stage.final_weights(folder), stage.final_weights(reference)
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    assert logged(folder) == logged(reference)


def logged(folder: Path) -> list[tuple[int, str, float]]:
    """Step, name and value of everything that the training and the validation say of the model."""
    return [
        (line["step"], name, line[name])
        for line in read_metrics(folder / "metrics.jsonl")
        for name in sorted(line)
        if name.startswith(("train/", "val/"))
    ]

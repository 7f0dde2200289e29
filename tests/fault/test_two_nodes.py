"""Runs over two nodes give what one node gives, and outlive a lost node and a cut cable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from run_processes import Training, tiny_overrides, trained_batches
from two_nodes import INTERFACE, TrainingOnTwoNodes, TwoNodes, can_make_namespaces, two_nodes

from runtime.checkpoint_io import load_checkpoint
from runtime.metrics_log import read_metrics

pytestmark = [
    pytest.mark.fault,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not can_make_namespaces(), reason="needs root and network namespaces (ip netns add)"),
]

STEPS = 60
COMMON = [
    "data.global_batch=4",
    f"trainer.max_steps={STEPS}",
    "trainer.val_every_steps=20",
    "checkpoint.every_steps=10",
]


@pytest.fixture
def nodes() -> Iterator[TwoNodes]:
    with two_nodes() as pair:
        yield pair


@pytest.fixture(scope="module")
def one_node(made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_node") / "run"
    training = Training(folder, tiny_overrides(made_up_corpus, *COMMON, "trainer.devices=2"))
    assert training.end(200) == 0, training.output()
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoints" / f"step-{STEPS:08d}.ckpt")["state_dict"]


def assert_same_run(folder: Path, reference: Path) -> None:
    assert trained_batches(folder) == trained_batches(reference)
    found, expected = weights(folder), weights(reference)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    steps = [line["step"] for line in read_metrics(folder / "metrics.jsonl") if "train/loss" in line]
    assert steps == list(range(STEPS))


def test_a_lost_node_ends_the_other_and_both_go_on_to_the_same_weights(
    nodes: TwoNodes, one_node: Path, made_up_corpus: Path, tmp_path: Path
) -> None:
    folder, overrides = tmp_path / "run", tiny_overrides(made_up_corpus, *COMMON)
    training = TrainingOnTwoNodes(nodes, folder, overrides)
    training.wait_for_step(25)
    for pid in training.starts[1].members():
        os.kill(pid, signal.SIGKILL)
    assert all(code != 0 for code in training.end(90)), training.output()
    again = TrainingOnTwoNodes(nodes, folder, overrides)
    assert again.end(150) == [0, 0], again.output()
    assert_same_run(folder, one_node)


def test_a_cut_cable_ends_both_nodes_and_both_go_on_to_the_same_weights(
    nodes: TwoNodes, one_node: Path, made_up_corpus: Path, tmp_path: Path
) -> None:
    folder, overrides = tmp_path / "run", tiny_overrides(made_up_corpus, *COMMON)
    training = TrainingOnTwoNodes(nodes, folder, overrides)
    training.wait_for_step(31)
    nodes.cut()
    assert all(code != 0 for code in training.end(90)), training.output()
    nodes.mend()
    again = TrainingOnTwoNodes(nodes, folder, overrides)
    assert again.end(150) == [0, 0], again.output()
    assert_same_run(folder, one_node)


def test_two_nodes_under_torchrun_train_the_weights_that_one_process_trains(
    nodes: TwoNodes, made_up_corpus: Path, tmp_path: Path
) -> None:
    # What a network draws in training differs by rank on purpose; gradient descent does not blow rounding up as Adam does.
    still = ["net.dropout=0.0", "net.null_style=0.0", "net.reference_hidden=0.0"]
    same_everywhere = [*still, "speech.voice_augmentation=false", "task.optimizer._target_=torch.optim.SGD"]
    overrides = tiny_overrides(made_up_corpus, *COMMON, *same_everywhere)
    alone = Training(tmp_path / "alone", overrides)
    assert alone.end(150) == 0, alone.output()
    torchrun = [
        [*nodes.command(rank), sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(rank),
         "--master-addr", nodes.address, "--master-port", "29500", "train.py"]
        for rank in (0, 1)
    ]  # fmt: skip
    starts = [
        Training(tmp_path / "both", overrides, prefix=command, environment={"GLOO_SOCKET_IFNAME": INTERFACE})
        for command in torchrun
    ]
    assert [training.end(150) for training in starts] == [0, 0], "\n".join(training.output() for training in starts)
    found, expected = weights(tmp_path / "both"), weights(tmp_path / "alone")
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
    assert trained_batches(tmp_path / "both") == trained_batches(tmp_path / "alone")


def test_several_nodes_without_a_node_rank_are_told_the_exact_commands(made_up_corpus: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "train.py",
        "expression_pretraining",
        *tiny_overrides(made_up_corpus),
        "trainer.num_nodes=2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert (
        "torchrun --nnodes 2 --node-rank 1 --master-addr HOST_OF_NODE_0" in done.stderr
        and "train.py expression_pretraining" in done.stderr
    )

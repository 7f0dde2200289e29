"""The pose adapter's trainings on two ranks: interrupted runs end as whole ones, and every rank holds the same codebook."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from run_processes import Training, tiny_overrides
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from losses.pose_reconstruction_loss import PoseReconstructionLoss
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from runtime.checkpoint_io import load_checkpoint
from runtime.exit_codes import PREEMPTED
from runtime.metrics_log import read_metrics

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]
STEPS = 60
COMMON = [
    "data.global_batch=4",
    f"trainer.max_steps={STEPS}",
    "trainer.val_every_steps=20",
    "checkpoint.every_steps=10",
]


def start(experiment: str, folder: Path, corpus: Path, ranks: int, *own: str) -> Training:
    overrides = tiny_overrides(corpus, *COMMON, f"trainer.devices={ranks}", *own, experiment=experiment)
    return Training(folder, overrides, experiment=experiment)


def finish(experiment: str, folder: Path, corpus: Path, ranks: int, *own: str) -> Path:
    training = start(experiment, folder, corpus, ranks, *own)
    assert training.end(200) == 0, training.output()
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoints" / f"step-{STEPS:08d}.ckpt")["state_dict"]


@pytest.fixture(scope="module")
def vqvae_on_two_ranks(made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish("pose_vqvae", tmp_path_factory.mktemp("vqvae") / "run", made_up_corpus, 2)


@pytest.mark.parametrize("experiment", ["pose_vqvae", "pose_gpt"])
def test_a_pose_run_interrupted_on_two_ranks_ends_bitwise_as_the_whole_one(
    experiment: str, vqvae_on_two_ranks: Path, made_up_corpus: Path, tmp_path: Path
) -> None:
    own = [f"run.pose_vqvae={vqvae_on_two_ranks}"] if experiment == "pose_gpt" else []
    whole = vqvae_on_two_ranks
    if experiment == "pose_gpt":
        whole = finish(experiment, tmp_path / "whole" / "run", made_up_corpus, 2, *own)
    folder = tmp_path / "interrupted" / "run"
    for number, step in ((signal.SIGTERM, 15), (signal.SIGKILL, 35)):
        training = start(experiment, folder, made_up_corpus, 2, *own)
        training.wait_for_step(step)
        os.kill(training.ranks()[1], number)
        code = training.end(90)
        assert code != 0 and (number is signal.SIGKILL or code == PREEMPTED), training.output()
    finish(experiment, folder, made_up_corpus, 2, *own)
    expected, found = weights(whole), weights(folder)
    assert expected.keys() == found.keys() and all(torch.equal(found[name], expected[name]) for name in expected)

    def logged(run: Path) -> list[tuple]:
        return [
            (line["step"], name, line[name])
            for line in read_metrics(run / "metrics.jsonl")
            for name in sorted(line)
            if name.startswith(("train/", "val/"))
        ]

    assert logged(folder) == logged(whole)
    assert sum(name == "train/loss" for _, name, _ in logged(whole)) == STEPS


def _one_rank(rank: int, address: str, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.manual_seed(0)
    net = PoseVQVAE(build_quantizer("vq", 8, 32), width=16, num_heads=2, feed_forward=32, attention_span=4)
    loss = PoseReconstructionLoss()
    # Without the broadcast of buffers that would hide ranks drifting apart.
    parallel = DistributedDataParallel(net, broadcast_buffers=False)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for step in range(12):
        generator = torch.Generator().manual_seed(100 * step + rank)
        head = 0.05 * torch.randn(3, 20, 3, generator=generator).cumsum(1)
        num_frames = torch.tensor([20, 11, 1 + 5 * rank])
        result = parallel(head, num_frames)
        mask = torch.arange(20) < num_frames[:, None]
        optimizer.zero_grad()
        loss(result.channels, result.target, mask, result.quantized.losses).total.backward()
        optimizer.step()
    torch.save(net.state_dict(), Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


def test_weights_and_codebooks_stay_bitwise_the_same_on_both_ranks(tmp_path: Path) -> None:
    multiprocessing.spawn(_one_rank, (f"file://{tmp_path}/store", str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert int(first["quantizer.codebooks.0.updates"]) == 12
    assert all(torch.equal(first[name], second[name]) for name in first)

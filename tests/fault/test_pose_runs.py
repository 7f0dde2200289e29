"""The pose VQ-VAE on two ranks: both hold the same weights and the same codebook."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from losses.pose_reconstruction_loss import PoseReconstructionLoss
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]


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

"""FSDP where it pays: the weights of a large frozen speech encoder are split over the ranks instead of copied to each.

The trained part stays under DDP. A frozen encoder has neither gradients nor optimiser state and is not in checkpoints, so these know nothing
of the sharding and a run may resume with it switched on or off.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from runtime.ranks import is_group, world_size
from runtime.run_folder import RunError


def shard_encoder(module: nn.Module, device: torch.device) -> list[FSDPModule]:
    """Shard every frozen submodule of `module` that names its `parts_to_shard()`; returns the parts, none for a process alone.

    To be called on all ranks with equal weights, before DDP wraps `module`. Raises RunError where there is nothing to shard.
    """
    encoders = [(name, sub) for name, sub in module.named_modules() if hasattr(sub, "parts_to_shard")]
    if not encoders:
        raise RunError(
            "trainer.shard_encoder=true, but this network has no pretrained encoder with its weights; give speech=hubert, wav2vec2 or wavlm, or leave it false"
        )
    if not is_group():
        return []
    mesh = init_device_mesh(device.type, (world_size(),))
    parts: list[Any] = []
    sharded_names = []
    for name, encoder in encoders:
        encoder.to(device)
        for part in encoder.parts_to_shard():
            fully_shard(part, mesh=mesh)
            parts.append(part)
        sharded_names += [f"{name}.{parameter}" for parameter, _ in encoder.named_parameters()]
    # DDP would copy rank 0's whole weights over the shards.
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, sharded_names)
    return parts


def gather(parts: list[FSDPModule]) -> None:
    """Hold the whole weights on every rank until `scatter`: in validation ranks encode different numbers of clips, so none may wait for another."""
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()


def scatter(parts: list[FSDPModule]) -> None:
    for part in parts:
        part.set_reshard_after_forward(True, recurse=False)
        part.reshard()

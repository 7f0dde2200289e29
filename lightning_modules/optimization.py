"""The optimiser and schedule of a network, from the factories that an experiment names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_modules.parameter_groups import parameter_groups

# From parameter groups to an optimiser; from (optimiser, max_steps) to a schedule.
MakeOptimizer = Callable[[list[dict[str, Any]]], Optimizer]
MakeScheduler = Callable[[Optimizer, int], LRScheduler]


def optimizer_and_schedule(
    net: nn.Module, make_optimizer: MakeOptimizer, make_scheduler: MakeScheduler | None, max_steps: int
) -> Any:
    """What `configure_optimizers` returns, the schedule advancing every step. Raises ValueError where a schedule has no length.

    `max_steps` is the trainer's own, not Lightning's `estimated_stepping_batches`: that sets the loaders up before a
    checkpoint is restored.
    """
    optimizer = make_optimizer(parameter_groups(net))
    update_in_one_pass(optimizer)
    if make_scheduler is None:
        return optimizer
    if max_steps < 1:
        raise ValueError(f"trainer.max_steps is {max_steps}; a schedule needs the number of steps, set it")
    schedule = make_scheduler(optimizer, max_steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def update_in_one_pass(optimizer: Optimizer) -> None:
    """Let Adam and AdamW read and write each weight on a CPU once, where nothing else was asked for: a fifth of their time.

    Set in the groups and not by the constructor, with whose `fused` Lightning refuses to clip gradients under mixed precision. A
    checkpoint holds it with the groups, so a run goes on as it began, to the bit.
    """
    if not isinstance(optimizer, Adam):
        return
    for group in optimizer.param_groups:
        is_free = group["fused"] is None and group["foreach"] is None and not group["differentiable"]
        if is_free and all(parameter.device.type == "cpu" for parameter in group["params"]):
            group["fused"] = True

"""Which parameters weight decay applies to."""

from __future__ import annotations

from typing import Any

from torch import nn


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Two groups of trainable parameters: matrices and kernels decay; biases, norms and embeddings do not.

    Names decide besides shapes, since the biases of relative attention are matrices. Frozen parameters are in neither.
    """
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            is_embedding = isinstance(owner, nn.Embedding) or name.endswith("embedding")
            is_spared = parameter.ndim < 2 or name.endswith("bias") or is_embedding
            (undecayed if is_spared else decayed).append(parameter)
    return [{"params": decayed}, {"params": undecayed, "weight_decay": 0.0}]

"""Which network it is, to the last bit of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def fingerprint_of(net: nn.Module, about: str = "") -> str:
    """`fingerprint_of_tensors` of the whole state dict."""
    return fingerprint_of_tensors(net.state_dict(), about)


def fingerprint_of_tensors(tensors: Mapping[str, Tensor], about: str = "") -> str:
    """SHA-256 (64 hex digits) over `about`, for what no weight shows, and the name, shape, type and bytes of every tensor."""
    digest = hashlib.sha256(about.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}{list(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

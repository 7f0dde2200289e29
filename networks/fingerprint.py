"""Which network it is, to the last bit of its weights."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def fingerprint_of(net: nn.Module, about: str = "") -> str:
    """SHA-256 (64 hex digits) over `about`, for what no weight shows, and the name, shape, type and bytes of every entry of the state dict."""
    digest = hashlib.sha256(about.encode())
    for name, value in sorted(net.state_dict().items()):
        digest.update(f"{name}{list(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

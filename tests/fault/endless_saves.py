"""A process that saves checkpoints until it is killed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from runtime.checkpoint_io import AtomicCheckpointIO


def save_for_ever(folder: Path, step: int, finished: Any) -> None:
    """Save steps `step + 1`, ... until killed, each with a tensor full of its step; tells a step once its save returned."""
    # Another file system: saving through it would copy, and a kill during the copy leaves half a file.
    tempfile.tempdir = "/dev/shm"
    while True:
        step += 1
        checkpoint = {"global_step": step, "state_dict": {"w": torch.full((300_000,), float(step))}}
        AtomicCheckpointIO().save_checkpoint(checkpoint, folder / f"step-{step:08d}.ckpt")
        finished.send(step)

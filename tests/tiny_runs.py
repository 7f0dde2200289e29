"""A six-step run of a tiny network, for the tests of the verbs."""

from pathlib import Path

import train

TINY = [
    "net.width=16", "net.blocks=1", "net.num_heads=2", "net.feed_forward=32", "net.kernel_size=3",
    "data.global_batch=4", "data.window_frames=20", "data.reference_frames=[10,20]", "data.max_clips=12",
    "trainer.max_steps=6", "trainer.val_every_steps=3", "trainer.log_every_steps=1", "trainer.accelerator=cpu",
    "checkpoint.every_steps=2", "callbacks.media.every_steps=0", "logger=none",
]  # fmt: skip


def train_tiny(corpus: Path, folder: Path, *overrides: str) -> Path:
    arguments = ["expression_pretraining", f"data.root={corpus}", f"run.folder={folder}", *TINY, *overrides]
    status = train.main(arguments)
    assert status == 0, f"train.py ended with {status}"
    return folder

"""What the tests of the verbs share: a made-up corpus and a tiny trained run."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

TINY = [
    "net.width=16", "net.blocks=1", "net.num_heads=2", "net.feed_forward=32", "net.kernel_size=3",
    "data.global_batch=4", "data.window_frames=20", "data.reference_frames=[10,20]", "data.max_clips=12",
    "trainer.max_steps=6", "trainer.val_every_steps=3", "trainer.log_every_steps=1", "trainer.accelerator=cpu",
    "checkpoint.every_steps=2", "callbacks.media.every_steps=0", "logger=none",
]  # fmt: skip


@pytest.fixture(scope="session")
def made_up_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise with random motion: 12 short clips a split after `data.max_clips=12`; it trains, it teaches nothing."""
    from made_up_clips import write_corpus

    return write_corpus(tmp_path_factory.mktemp("corpora") / "made_up")


@pytest.fixture(scope="session")
def tiny_run(made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished six-step run."""
    return train_tiny(made_up_corpus, tmp_path_factory.mktemp("runs") / "tiny")


def train_tiny(corpus: Path, folder: Path, *overrides: str) -> Path:
    import train

    arguments = ["expression_pretraining", f"data.root={corpus}", f"run.folder={folder}", *TINY, *overrides]
    status = train.main(arguments)
    assert status == 0, f"train.py ended with {status}"
    return folder

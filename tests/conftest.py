"""What the tests of the verbs share: a made-up corpus and a tiny trained run."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def made_up_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise with random motion: 12 short clips a split after `data.max_clips=12`; it trains, it teaches nothing."""
    from made_up_clips import write_corpus

    return write_corpus(tmp_path_factory.mktemp("corpora") / "made_up")


@pytest.fixture(scope="session")
def tiny_run(made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished six-step run."""
    from tiny_runs import train_tiny

    return train_tiny(made_up_corpus, tmp_path_factory.mktemp("runs") / "tiny")

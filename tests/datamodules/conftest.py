from pathlib import Path

import pytest
from made_up_clips import write_corpus

from datamodules.shard_index import ShardIndex


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished corpus of several shards a split; tests must not change it."""
    return write_corpus(tmp_path_factory.mktemp("corpus") / "made_up")


@pytest.fixture(scope="session")
def index(corpus: Path) -> ShardIndex:
    return ShardIndex(corpus)

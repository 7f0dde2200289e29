"""What the tests of the verbs share: a made-up corpus and a tiny trained run. And what keeps thousands of small tests quick."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Not by torch itself: the process that only hands out tests to others need not import it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# The objects of imported modules live to the end; nobody needs to look for garbage among them again and again.
gc.disable()

# Each of these keeps a process busy for minutes; started last it would be the only one still at work.
LONGEST = ("test_demo.py", "test_interruptions.py", "test_interruptions_of_later_stages.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a power cut would leave no test can see; that files are synced, and before what, is asked by tests with an `fsync` of their own,
    and the tests of faults, which fill real disks, keep the real one.
    """
    with pytest.MonkeyPatch.context() as patch:
        if "fault" not in request.config.option.markexpr.replace("not fault", ""):
            patch.setattr(os, "fsync", lambda descriptor: None)
        yield


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

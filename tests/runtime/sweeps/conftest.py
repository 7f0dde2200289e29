import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.sweeps import local, search

    monkeypatch.setattr(local, "POLL_S", 0.01)
    monkeypatch.setattr(local, "BUSY_S", 0.05)
    monkeypatch.setattr(search, "BUSY_S", 0.05)
    monkeypatch.setattr(search, "OPENING_S", 0.01)


@pytest.fixture
def quick_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    from sweep_helpers import quick_compose

    from runtime.sweeps import trials

    monkeypatch.setattr(trials, "compose", quick_compose)

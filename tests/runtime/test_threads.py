import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.threads import ITERATIONS, spin_briefly

ROOT = Path(__file__).resolve().parents[2]
VERBS = ["train", "score", "adapt", "animate", "prepare"]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        # Set first, so that what a test leaves is taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_says_of_waiting_threads_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "ACTIVE")
    before = dict(os.environ)
    spin_briefly()
    assert dict(os.environ) == before


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_computes_lets_waiting_threads_sleep_soon(verb: str) -> None:
    with pytest.raises(SystemExit):
        importlib.import_module(verb).main(["--no-such-option"])
    assert os.environ["GOMP_SPINCOUNT"] == ITERATIONS


def test_torch_is_not_imported_before_that() -> None:
    check = f"import sys, {', '.join(VERBS)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)

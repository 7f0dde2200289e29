import json
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.exit_codes import STALLED

ROOT = Path(__file__).resolve().parents[2]
# Processes of their own, because a stalled one ends. The clock is the test's, so a machine however crowded is neither too slow nor too fast;
# Lightning, of which the watchdog takes no more than a base class, would take longer to import than everything else here.
START = """
import sys, threading, time
from types import SimpleNamespace
sys.modules["pytorch_lightning"] = SimpleNamespace(Callback=object)
from callbacks import watchdog as room
clock, looks = SimpleNamespace(now=0.0), []

def monotonic():
    if threading.current_thread().name == "watchdog":
        looks.append(clock.now)
    return clock.now

room.time = SimpleNamespace(monotonic=monotonic)
trainer = SimpleNamespace(global_rank=3, global_step=41)
watchdog = room.Watchdog(sys.argv[1], timeout_s=50.0)
watchdog._done.wait = lambda pause: type(watchdog._done).wait(watchdog._done, 0.01)
"""
STALL = """
watchdog.on_fit_start(trainer, None)
watchdog.on_train_batch_start(trainer, None, None, 0)
def waiting_for_a_shard_that_never_comes():
    clock.now = 51.0
    time.sleep(200)
waiting_for_a_shard_that_never_comes()
"""
IN_A_NOTEBOOK = "import io, sys; sys.stderr = io.StringIO()\n"


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.parametrize("before", ["", IN_A_NOTEBOOK], ids=["script", "notebook"])
def test_a_run_that_stands_still_ends_with_stacks_in_its_folder(tmp_path: Path, before: str) -> None:
    done = run(before + START + STALL, tmp_path)
    assert done.returncode == STALLED, done.stderr
    stacks = (tmp_path / "stalled-rank-3.txt").read_text()
    assert "rank 3 stands still since training batch, step 41" in stacks
    assert "waiting_for_a_shard_that_never_comes" in stacks and "waiting_for_a_shard_that_never_comes" in done.stderr
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert (outcome["status"], outcome["step"]) == ("stalled", 41)


# Ten times 30 s, each looked at by the watchdog before the next batch ends: six times its limit in all.
MOVE = """
watchdog.on_fit_start(trainer, None)
for _ in range(10):
    clock.now += 30.0
    while not looks or looks[-1] < clock.now:
        time.sleep(0.001)
    watchdog.on_train_batch_end(trainer, None, None, None, 0)
watchdog.teardown(trainer, None, "fit")
print([thread.name for thread in threading.enumerate()])
"""


def test_a_run_that_moves_is_left_alone_and_its_thread_ends_with_it(tmp_path: Path) -> None:
    done = run(START + MOVE, tmp_path)
    assert (done.returncode, done.stdout) == (0, "['MainThread']\n"), done.stderr
    assert not list(tmp_path.iterdir())


def test_a_watchdog_is_a_callback_of_lightning() -> None:
    import pytorch_lightning as pl

    from callbacks.watchdog import Watchdog

    assert issubclass(Watchdog, pl.Callback)

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.exit_codes import STALLED

ROOT = Path(__file__).resolve().parents[2]
STALL = """
import sys, time
from types import SimpleNamespace
from callbacks.watchdog import Watchdog
trainer = SimpleNamespace(global_rank=3, global_step=41)
watchdog = Watchdog(sys.argv[1], timeout_s=0.4)
watchdog.on_fit_start(trainer, None)
watchdog.on_train_batch_start(trainer, None, None, 0)
def waiting_for_a_shard_that_never_comes():
    time.sleep(60)
waiting_for_a_shard_that_never_comes()
"""


IN_A_NOTEBOOK = "import io, sys; sys.stderr = io.StringIO()\n"


@pytest.mark.parametrize("before", ["", IN_A_NOTEBOOK], ids=["script", "notebook"])
def test_a_run_that_stands_still_ends_with_stacks_in_its_folder(tmp_path: Path, before: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", before + STALL, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == STALLED
    stacks = (tmp_path / "stalled-rank-3.txt").read_text()
    assert "rank 3 stands still since training batch, step 41" in stacks
    assert "waiting_for_a_shard_that_never_comes" in stacks and "waiting_for_a_shard_that_never_comes" in done.stderr
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert (outcome["status"], outcome["step"]) == ("stalled", 41)


MOVE = """
import sys, threading, time
from types import SimpleNamespace
from callbacks.watchdog import Watchdog
trainer = SimpleNamespace(global_rank=0, global_step=1)
watchdog = Watchdog(sys.argv[1], timeout_s=1.5)
watchdog.on_fit_start(trainer, None)
for _ in range(25):
    time.sleep(0.1)
    watchdog.on_train_batch_end(trainer, None, None, None, 0)
watchdog.teardown(trainer, None, "fit")
print([thread.name for thread in threading.enumerate()])
"""


def test_a_run_that_moves_is_left_alone_and_its_thread_ends_with_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MOVE, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout) == (0, "['MainThread']\n"), done.stderr
    assert not list(tmp_path.iterdir())

"""What the tests of sweeps share: small sweep files, a stand-in for train.py, and a look at who is still alive."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runtime.sweeps.definition import Sweep
from runtime.sweeps.reading import read_sweep

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FAKE = (sys.executable, "-S", str(HERE / "fake_train.py"))
METRIC = "val/lip_vertex_error_mm"
PATIENCE_S = 120.0  # for what takes a moment, unless the machine is crowded
GRID = {"experiment": "expression_pretraining", "grid": {"net.width": [8, 16]}, "metric": METRIC}


def make_sweep(folder: Path, command_line: tuple[str, ...] = (), name: str = "small", **values: Any) -> Sweep:
    """The sweep of a file with these values over GRID's, its runs below `folder`."""
    file = folder / f"{name}.yaml"
    file.write_text("# Which is better?\n" + json.dumps({**GRID, **values}))
    return read_sweep(file, [f"run.root={folder / 'runs'}", *command_line])


def make_search(folder: Path, *overrides: str, **search: Any) -> Sweep:
    space = {"net.width": {"int": [8, 64]}, "task.optimizer.lr": {"log": [1e-4, 1e-2]}}
    values = {
        "experiment": "expression_pretraining",
        "metric": METRIC,
        "search": {"space": space, "trials": 6, **search},
    }
    file = folder / "search.yaml"
    file.write_text("# What is best?\n" + json.dumps(values))
    return read_sweep(file, [f"run.root={folder / 'runs'}", *overrides])


def quick_compose(experiment: str, overrides: Sequence[str] = ()) -> DictConfig:
    """In place of `runtime.compose.compose` where a test is about processes, not about configurations: takes any key, in a millisecond."""
    known = ["run.root=runs", "run.folder=null", "data.root=data", "trainer.max_steps=10", f"run.name={experiment}"]
    return OmegaConf.from_dotlist(
        [*known, *(text.replace("'", "") for text in overrides if not text.startswith("logger."))]
    )


def starts(run_root: Path) -> list[dict[str, Any]]:
    """Every start of the stand-in below a run root."""
    return [json.loads(line) for file in run_root.glob("fake-*/starts.jsonl") for line in file.read_text().splitlines()]


def processes_mentioning(text: str) -> list[int]:
    """Living processes (zombies do not count) whose command line or environment holds `text`."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            about = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if text.encode() in about and not zombie:
            found.append(int(folder.name))
    return found


def wait_until(condition: Callable[[], object], deadline_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.02)

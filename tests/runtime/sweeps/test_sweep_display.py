import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from sweep_helpers import METRIC, make_sweep

from runtime.sweeps import display as display_module
from runtime.sweeps.display import Display
from runtime.sweeps.folder import SweepFolder, open_sweep
from runtime.sweeps.metrics_tail import MetricsTail
from runtime.sweeps.trial_process import Outcome
from runtime.sweeps.trials import grid_trials

pytestmark = pytest.mark.usefixtures("quick_configurations")


def scene(tmp_path: Path) -> tuple[SweepFolder, SimpleNamespace]:
    """A sweep of two trials of ten steps, the second at step 4 with two validations."""
    sweep = make_sweep(tmp_path)
    first, second = grid_trials(sweep)
    folder = open_sweep(sweep, tmp_path / "runs")
    folder.started(first, 1)
    folder.ended(first, "finished")
    lines = [{"step": s, "time": float(s), **({METRIC: 3.0 + s} if s % 2 == 0 else {})} for s in range(1, 5)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tail = MetricsTail(tmp_path / "metrics.jsonl", sweep.metric)
    tail.update()
    return folder, SimpleNamespace(trial=second, tail=tail, asked="", started=0.0, pid=7)


def shown(tmp_path: Path, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    folder, process = scene(tmp_path)
    monkeypatch.setattr(display_module, "LINE_S", 0.0)
    monkeypatch.setattr(display_module.time, "monotonic", lambda: 100.0)
    out = io.StringIO()
    console = Console(file=out, width=140, force_terminal=terminal, color_system=None)
    with Display("small", 2, folder.sweep.metric, 1, console) as display:
        display.started(process)  # type: ignore[arg-type]
        for _ in range(2):
            display.refresh([process], folder)  # type: ignore[list-item]
        display.ended(process, Outcome("failed", 1, "no room on the disk"))  # type: ignore[arg-type]
    return out.getvalue()


def test_a_terminal_shows_step_last_and_best_metric_and_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(tmp_path, True, monkeypatch)
    row = next(line for line in text.splitlines() if "net.width=16" in line and "step 4/10" in line)
    assert row.replace("│", " ").split()[-4:] == ["7", "5", "6", "s"], (
        "last validation, best validation, six steps at one a second"
    )
    assert "2 trials, 1 finished, 1 running, 1 to go" in text


def test_a_log_file_gets_plain_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(tmp_path, False, monkeypatch).splitlines()
    assert lines[0] == "001 net.width=16 seed=1: started (process 7)"
    assert lines[1] == "small: 2 trials, 1 finished, 1 running, 1 to go; 001 at step 4/10"
    assert lines[-1] == f"001 net.width=16 seed=1: failed (no room on the disk) after 100 s, {METRIC} 5"
    assert not any("\x1b" in line for line in lines)

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_helpers import make_sweep

from runtime.sweeps.definition import SweepError
from runtime.sweeps.folder import SweepFolder, TrialBusyError, existing_sweep, lock_run, open_sweep
from runtime.sweeps.trials import Trial, grid_trials

pytestmark = pytest.mark.usefixtures("quick_configurations")


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    return grid_trials(make_sweep(tmp_path))


@pytest.fixture
def folder(tmp_path: Path, trials: list[Trial]) -> SweepFolder:
    return open_sweep(make_sweep(tmp_path), tmp_path / "runs")


def test_the_record_tells_the_newest_attempt_of_every_trial(folder: SweepFolder, trials: list[Trial]) -> None:
    first, second = trials
    folder.started(first, 11)
    folder.ended(first, "failed", exit_code=1)
    folder.started(second, 12)
    folder.started(first, 13)
    attempts = folder.attempts()
    assert attempts["000"].number == 2 and attempts["000"].status == "running" and not attempts["000"].end
    assert attempts["000"].start["levels"] == first.levels and attempts["000"].start["overrides"] == list(
        first.overrides
    )
    folder.ended(first, "finished", exit_code=0, metric=1.5)
    assert folder.attempts()["000"].end["metric"] == 1.5
    assert len(folder.record_file.read_text().splitlines()) == 5, "nothing is ever removed"


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_half_a_line_costs_only_that_line(kept: int, folder: SweepFolder, trials: list[Trial]) -> None:
    folder.started(trials[0], 11)
    whole = folder.record_file.read_bytes()
    folder.ended(trials[0], "finished")
    second = folder.record_file.read_bytes()[len(whole) :]
    folder.record_file.write_bytes(whole + second[:kept])
    folder.started(trials[1], 12)
    attempts = folder.attempts()
    assert set(attempts) == {"000", "001"} and attempts["001"].start["pid"] == 12
    assert attempts["000"].status == ("finished" if kept == -1 else "running")


def test_the_same_sweep_has_the_same_folder_found_by_path_and_by_name(folder: SweepFolder, tmp_path: Path) -> None:
    assert open_sweep(make_sweep(tmp_path), tmp_path / "runs") == folder
    assert existing_sweep(str(folder.path)).path == folder.path
    assert existing_sweep("small", tmp_path / "runs").path == folder.path
    assert folder.sweep == make_sweep(tmp_path)
    with pytest.raises(SweepError, match="small-"):
        existing_sweep("smal", tmp_path / "runs")


def test_of_two_sweeps_of_one_name_the_one_that_was_worked_on_last_is_found(
    tmp_path: Path, trials: list[Trial]
) -> None:
    old, new = (open_sweep(make_sweep(tmp_path, seeds=[seed]), tmp_path / "runs") for seed in (1, 2))
    for age, folder in ((100, old), (50, new)):
        folder.started(trials[0], 1)
        os.utime(folder.record_file, (age, age))
    assert existing_sweep("small", tmp_path / "runs").path == old.path


def test_a_run_is_held_until_the_last_process_that_was_given_the_lock_has_ended(trials: list[Trial]) -> None:
    descriptor = lock_run(trials[0])
    with pytest.raises(TrialBusyError):
        lock_run(trials[0])
    os.close(lock_run(trials[1]))
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    os.close(descriptor)  # as if sweep.py had been killed
    with pytest.raises(TrialBusyError):
        lock_run(trials[0])
    child.communicate(b"\n")
    os.close(lock_run(trials[0]))

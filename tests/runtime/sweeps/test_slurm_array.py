import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_helpers import FAKE, HERE, PATIENCE_S, ROOT, make_search, make_sweep, starts, wait_until

from runtime.sweeps.definition import Sweep, SweepError
from runtime.sweeps.folder import existing_sweep, open_sweep
from runtime.sweeps.launch import check, run_local, run_trial, trial_at
from runtime.sweeps.slurm import ranges, submit

pytestmark = pytest.mark.usefixtures("quick_configurations")


@pytest.fixture
def sbatch_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An sbatch and an scontrol that write down what they were called with."""
    calls = tmp_path / "calls.txt"
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sbatch", "scontrol"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return calls


def submit_folder(sweep: Sweep) -> Path:
    return open_sweep(sweep, check(sweep)[0].run_root).path


def script_of(root: Path) -> str:
    return (existing_sweep("small", root / "runs").path / "sweep.sbatch").read_text()


def test_one_script_has_a_task_for_every_trial_and_is_submitted(
    sbatch_calls: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep(tmp_path, seeds=[1, 2], slurm={"partition": "gpu", "gpus-per-task": 2, "time": "04:00:00"})
    assert submit(sweep, 3) == 0
    text = script_of(tmp_path)
    for line in (
        "#SBATCH --array=0-3%3", "#SBATCH --requeue", "#SBATCH --signal=B:USR1@180", "#SBATCH --partition=gpu",
        "#SBATCH --gpus-per-task=2", "#SBATCH --time=04:00:00",
    ):  # fmt: skip
        assert line in text.splitlines(), line
    printed = next(line for line in capfd.readouterr().out.splitlines() if line.startswith("sbatch "))
    assert sbatch_calls.read_text().strip() == printed
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_a_second_submission_holds_only_what_is_missing(sbatch_calls: Path, tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, seeds=[1, 2, 3])
    submit(sweep, 1)
    folder = existing_sweep("small", tmp_path / "runs")
    for index in (0, 1, 4):
        assert run_trial(folder, trial_at(sweep, index), command=FAKE) == 0
    submit(sweep, 1)
    assert "#SBATCH --array=2-3,5%1" in script_of(tmp_path)
    assert run_local(sweep, command=FAKE) == 0
    before = sbatch_calls.read_text()
    assert submit(sweep, 1) == 0 and sbatch_calls.read_text() == before


def test_without_sbatch_the_command_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert submit(make_sweep(tmp_path), 1) == 0
    said = capfd.readouterr()
    assert (
        f"sbatch {existing_sweep('small', tmp_path / 'runs').path}" in said.out
        and "no sbatch on this machine" in said.err
    )


def test_a_search_becomes_tasks_that_draw_one_trial_each(sbatch_calls: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    sweep = make_search(tmp_path, trials=3)
    submit(sweep, 2)
    folder = existing_sweep("search", tmp_path / "runs")
    assert "#SBATCH --array=0-2%2" in (folder.path / "sweep.sbatch").read_text()
    for count in (1, 2, 3, 3):
        assert run_trial(folder, None, command=FAKE) == 0
        assert len(starts(tmp_path / "runs")) == count


def test_a_task_of_a_search_takes_up_one_unfinished_trial_and_no_more(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from runtime.sweeps.search import SearchSource

    sweep = make_search(tmp_path, trials=4)
    submit_folder(sweep)
    folder = existing_sweep("search", tmp_path / "runs")
    cut_off = SearchSource(sweep, folder, check(sweep)[0])
    assert cut_off.next() and cut_off.next()
    for count in (1, 2, 3):
        assert run_trial(folder, None, command=FAKE) == 0
        assert len(starts(tmp_path / "runs")) == count
    assert sorted(folder.attempts()) == ["000", "001", "002"]


@pytest.mark.parametrize(("how", "code"), [("ok", 0), ("diverge", 65), ("fail", 1), ("bad_input", 1)])
def test_a_task_ends_with_a_code_that_says_what_to_do(how: str, code: int, tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, (f"run.label={how}",))
    submit_folder(sweep)
    assert run_trial(existing_sweep("small", tmp_path / "runs"), trial_at(sweep, 1), command=FAKE) == code


@pytest.mark.parametrize(("number", "requeued"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_a_signalled_task_saves_and_only_the_time_limit_queues_it_again(
    number: int, requeued: bool, sbatch_calls: Path, tmp_path: Path
) -> None:
    sweep = make_sweep(tmp_path, ("run.label='slow:0.2'", "trainer.max_steps=900"))
    folder = submit_folder(sweep)
    environment = {
        **os.environ, "PYTHONPATH": f"{ROOT}:{HERE}", "SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "1",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(HERE / "sweep_with_fake.py"), "trial", str(folder), "1"], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: list((tmp_path / "runs").glob("fake-*/metrics.jsonl")))
    process.send_signal(number)
    assert process.wait(timeout=PATIENCE_S) == 143
    attempts = existing_sweep("small", tmp_path / "runs").attempts()
    assert {name: a.status for name, a in attempts.items()} == {"001": "preempted"}
    assert ("scontrol requeue 77_1" in (sbatch_calls.read_text() if sbatch_calls.exists() else "")) == requeued


@pytest.mark.parametrize("index", [2, 99])
def test_a_task_beyond_the_list_is_refused(index: int, tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="trials 0 to 1"):
        trial_at(make_sweep(tmp_path), index)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"array": "0-3"}, "slurm.array"), ({"Time": "1"}, "slurm.Time"), ({"time": "1\n#SBATCH --x"}, "slurm.time")],
)
def test_options_that_would_break_the_script_are_refused(options: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=said):
        submit(make_sweep(tmp_path, slurm=options), 1)


def test_ranges_name_every_index_once() -> None:
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8" and ranges([4]) == "4"

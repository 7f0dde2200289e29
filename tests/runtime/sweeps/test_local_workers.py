import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_helpers import FAKE, HERE, METRIC, PATIENCE_S, ROOT, make_sweep, processes_mentioning, starts, wait_until

from runtime.sweeps import trials as trials_module
from runtime.sweeps.definition import Sweep
from runtime.sweeps.folder import existing_sweep, lock_run, open_sweep
from runtime.sweeps.launch import run_local
from runtime.sweeps.local import GridSource
from runtime.sweeps.trials import grid_trials

pytestmark = pytest.mark.usefixtures("quick_configurations")
ENDINGS = {how: [f"run.label='{how}'"] for how in ("ok", "diverge", "fail", "bad_input", "stall", "die:4")}


def run(sweep: Sweep, **options: object) -> int:
    return run_local(sweep, command=FAKE, **options)  # type: ignore[arg-type]


def start_as_process(folder: Path, *overrides: str, jobs: int = 2, grace: float = 10.0) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}"}
    command = [sys.executable, str(HERE / "sweep_with_fake.py"), str(folder / "small.yaml"), str(jobs), str(grace)]
    return subprocess.Popen(
        [*command, f"run.root={folder / 'runs'}", *overrides],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_every_ending_is_recorded_by_its_name_and_a_rerun_repeats_only_what_may_end_better(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep(tmp_path, grid={"ending": ENDINGS})
    assert run(sweep, jobs=2) == 1
    said = capfd.readouterr()
    assert "5 of 6 trials did not finish: 1 diverged, 4 failed" in said.err
    folder = existing_sweep("small", tmp_path / "runs")
    attempts = {a.start["levels"]["ending"]: a for a in folder.attempts().values()}
    facts = {how: (a.status, a.end["exit_code"], a.end["reason"]) for how, a in attempts.items()}
    assert facts == {
        "ok": ("finished", 0, ""),
        "diverge": ("diverged", 65, "diverged at step 3, clip007"),
        "fail": ("failed", 1, "failed at step 3, clip007"),
        "bad_input": ("failed", 2, "train.py: no such corpus"),
        "stall": ("failed", 70, "stalled at step 3, clip007"),
        "die:4": ("failed", -9, "killed by SIGKILL"),
    }
    assert all(Path(a.end["folder"], "metrics.jsonl").exists() for how, a in attempts.items() if how != "bad_input")
    assert (
        attempts["ok"].end["metric"] == pytest.approx(11.1 + 1.0 - 1.0, abs=0.2)
        and attempts["ok"].end["synthetic"] is True
    )

    assert run(sweep, jobs=2) == 1
    again = {a.start["levels"]["ending"]: (a.number, a.status) for a in folder.attempts().values()}
    assert again["ok"] == (1, "finished") and again["diverge"] == (1, "diverged")
    assert again["die:4"] == (2, "finished"), "it went on in its own run folder"
    assert again["fail"] == (2, "failed")
    died = Path(folder.attempts()["005"].end["folder"])
    assert [json.loads(line)["step"] for line in (died / "metrics.jsonl").read_text().splitlines()] == list(range(10))


def test_a_mistake_that_all_trials_share_is_told_after_three_of_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep(tmp_path, ("run.label='bad_input'",), seeds=[1, 2, 3, 4, 5])
    assert run(sweep) == 1
    said = capfd.readouterr().err
    assert "no further one was started; correct this first: train.py: no such corpus" in said
    assert "3 failed" in said and "7 pending" in said
    assert len(existing_sweep("small", tmp_path / "runs").attempts()) == 3


def test_trials_that_are_refused_after_one_that_was_not_do_not_hold_up_the_others(tmp_path: Path) -> None:
    endings = {"ok": ENDINGS["ok"]} | {name: [f"run.label='bad_input:{name}'"] for name in "abcd"}
    sweep = make_sweep(tmp_path, grid={"ending": endings})
    assert run(sweep) == 1
    assert len(existing_sweep("small", tmp_path / "runs").attempts()) == 5


def test_a_finished_sweep_starts_nothing_and_prints_its_table_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep(tmp_path)
    assert run(sweep, jobs=2) == 0
    before = len(starts(tmp_path / "runs"))
    capfd.readouterr()
    assert run(sweep) == 0
    assert len(starts(tmp_path / "runs")) == before == 2
    said = capfd.readouterr()
    assert "2 of 2 trials are done already" in said.err and METRIC in said.out


def test_a_metric_that_no_trial_logs_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(make_sweep(tmp_path, metric="val/lip_vertex_eror_mm"), jobs=2) == 1
    assert "2 finished trials never logged val/lip_vertex_eror_mm" in capfd.readouterr().err


def test_workers_share_threads_and_gpus_and_inherit_no_wandb_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "somebody-elses")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(12)))
    run(make_sweep(tmp_path), jobs=2, gpus=("0", "1", "2", "3"))
    environments = [start["environment"] for start in starts(tmp_path / "runs")]
    assert {e["OMP_NUM_THREADS"] for e in environments} == {"6"}
    assert {e["CUDA_VISIBLE_DEVICES"] for e in environments} == {"0,1", "2,3"}
    assert not any("WANDB_RUN_ID" in e for e in environments)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    run(make_sweep(tmp_path, name="chosen", seeds=[7]), jobs=2)
    assert starts(tmp_path / "runs")[-1]["environment"]["OMP_NUM_THREADS"] in ("5", "6")
    assert "5" in {start["environment"]["OMP_NUM_THREADS"] for start in starts(tmp_path / "runs")}


def test_a_run_that_another_process_trains_is_waited_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sweep = make_sweep(tmp_path)
    busy = lock_run(grid_trials(sweep)[0])
    until = f"import pathlib, time\nwhile not list(pathlib.Path({str(tmp_path)!r}).glob('runs/fake-*/outcome.json')): time.sleep(0.05)"
    holder = subprocess.Popen([sys.executable, "-S", "-c", until], pass_fds=(busy,))
    os.close(busy)
    try:
        assert run(sweep) == 0
    finally:
        holder.kill()
        holder.wait()
    assert "another process trains this run" in capfd.readouterr().err
    assert {a.status for a in existing_sweep("small", tmp_path / "runs").attempts().values()} == {"finished"}


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_stops_every_trial_and_the_same_command_resumes_them(number: int, tmp_path: Path) -> None:
    make_sweep(tmp_path, overrides=["run.label='hold:1'", "trainer.max_steps=4"])
    process = start_as_process(tmp_path)
    wait_until(lambda: len(list((tmp_path / "runs").glob("fake-*/metrics.jsonl"))) == 2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number and "the same command does the rest" in errors
    assert not processes_mentioning(str(tmp_path))
    folder = existing_sweep("small", tmp_path / "runs")
    assert {a.status for a in folder.attempts().values()} == {"preempted"}
    assert start_as_process(tmp_path).wait(timeout=PATIENCE_S) == 0
    assert {(a.number, a.status) for a in folder.attempts().values()} == {(2, "finished")}
    assert len(list((tmp_path / "runs").glob("fake-*"))) == 2, "each went on in its own folder"


def test_what_is_deaf_to_sigterm_is_ended_after_the_grace_period_with_its_children(tmp_path: Path) -> None:
    make_sweep(
        tmp_path,
        grid={
            "how": {
                "deaf": ["run.label=stubborn"],
                "child": ["run.label=grandchild"],
                "rank": ["run.label='grandchild:own'"],
            }
        },
    )
    process = start_as_process(tmp_path, "trainer.max_steps=900", jobs=3, grace=2.0)
    wait_until(lambda: len(list((tmp_path / "runs").glob("fake-*/metrics.jsonl"))) == 3)
    session = [start["pid"] for start in starts(tmp_path / "runs")]
    marks = [start["environment"]["SWEEP_TRIAL"] for start in starts(tmp_path / "runs")]
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert len(set(marks)) == 3 and not any(processes_mentioning(mark) for mark in marks)

    def alive() -> list[str]:
        stats = [p.read_text().rpartition(")")[2].split() for p in Path("/proc").glob("[0-9]*/stat") if p.exists()]
        return [fields[3] for fields in stats if int(fields[3]) in session and fields[0] != "Z"]

    assert not alive(), "a process of a trial's session is still there"
    statuses = {
        a.start["levels"]["how"]: a.end["reason"]
        for a in existing_sweep("small", tmp_path / "runs").attempts().values()
    }
    assert statuses == {
        "deaf": "preempted (ended by force after the grace period)",
        "child": "preempted",
        "rank": "preempted",
    }


def test_what_another_machine_settled_in_the_meantime_is_not_done_again(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    trials = grid_trials(sweep)
    folder = open_sweep(sweep, tmp_path / "runs")
    source = GridSource(trials, folder)
    folder.started(trials[0], 1)
    folder.ended(trials[0], "finished")
    assert source.next() == trials[1] and source.next() is None and source.exhausted


def test_a_trial_whose_experiment_has_changed_since_is_trained_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep(tmp_path)
    assert run(sweep) == 0
    before = trials_module.compose
    with_new_key = {"net.width=16": ["net.new_key=1"]}
    monkeypatch.setattr(
        trials_module,
        "compose",
        lambda name, texts: before(name, [*texts, *(new for t in texts for new in with_new_key.get(t, []))]),
    )
    assert run(sweep) == 0
    attempts = existing_sweep("small", tmp_path / "runs").attempts()
    assert [attempts[name].number for name in ("000", "001")] == [1, 2]
    assert "1 trials were trained before a file of experiments/ changed" in capfd.readouterr().err


@pytest.mark.slow
def test_trials_end_with_a_killed_sweep_and_go_on_with_the_next(tmp_path: Path) -> None:
    make_sweep(tmp_path, overrides=["run.label='hold:1'", "trainer.max_steps=6"])
    process = start_as_process(tmp_path)
    wait_until(lambda: len(list((tmp_path / "runs").glob("fake-*/metrics.jsonl"))) == 2)
    process.kill()
    process.communicate()
    folder = existing_sweep("small", tmp_path / "runs")
    assert {a.status for a in folder.attempts().values()} == {"running"}, "nobody could write how they ended"
    wait_until(lambda: not processes_mentioning(str(tmp_path)))
    assert start_as_process(tmp_path).wait(timeout=PATIENCE_S) == 0
    assert {(a.number, a.status) for a in folder.attempts().values()} == {(2, "finished")}

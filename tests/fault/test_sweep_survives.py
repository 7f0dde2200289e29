"""The 3 x 3 x 2-seed ablation with real trainings: killed half-way, started again, one table at the end."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 900.0


def sweep_command(corpus: Path, work: Path) -> list[str]:
    settings = [f"data.root={corpus}", f"run.root={work / 'runs'}", "logger=none", "trainer.accelerator=cpu"]
    return [sys.executable, str(ROOT / "sweep.py"), "infrastructure_check", "--jobs", "2", *settings]


def records(work: Path) -> list[dict]:
    text = "".join(file.read_text() for file in (work / "runs" / "sweeps").glob("*/trials.jsonl"))
    return [json.loads(line) for line in text.splitlines()]


def finished(work: Path) -> set[str]:
    return {r["trial"] for r in records(work) if r["event"] == "end" and r["status"] == "finished"}


def half_way(work: Path) -> bool:
    return (work / "runs").exists() and len(finished(work)) >= 9


def newest_event(work: Path) -> str:
    """What was recorded last. After a start the trial has hardly begun, so it does not end before a kill arrives."""
    return records(work)[-1]["event"]


def processes_mentioning(text: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "cmdline").read_bytes() and int(folder.name) != os.getpid():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.fault
@pytest.mark.timeout(DEADLINE_S)
def test_an_ablation_survives_a_kill_and_prints_one_table(made_up_corpus: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = sweep_command(made_up_corpus, tmp_path)
    log = (tmp_path / "first.log").open("wb")
    first = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
    end = time.monotonic() + DEADLINE_S / 2
    while not (half_way(tmp_path) and newest_event(tmp_path) == "start"):
        assert first.poll() is None and time.monotonic() < end, (tmp_path / "first.log").read_text()
        time.sleep(0.05)
    first.kill()
    for pid in processes_mentioning(str(tmp_path / "runs")):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue
    first.wait()
    while processes_mentioning(str(tmp_path / "runs")):
        time.sleep(0.1)
    before = finished(tmp_path)
    running = {r["trial"] for r in records(tmp_path) if r["event"] == "start"} - before
    assert 9 <= len(before) < 18 and running, "the kill came half-way, with trials running"
    starts_before = sum(r["event"] == "start" for r in records(tmp_path))

    second = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S / 2, check=False
    )
    assert second.returncode == 0, second.stderr
    assert len(finished(tmp_path)) == 18
    started_again = [r["trial"] for r in records(tmp_path) if r["event"] == "start"][starts_before:]
    assert sorted(started_again) == sorted({f"{n:03d}" for n in range(18)} - before), "exactly what was missing"

    results = json.loads(next((tmp_path / "runs" / "sweeps").glob("*/results.json")).read_text())
    summaries = [cell["metrics"]["val/lip_vertex_error_mm"] for cell in results["cells"]]
    assert len(summaries) == 9 and {s["n"] for s in summaries} == {2}
    assert all(s["mean"] > 0 and s["deviation"] > 0 and s["low"] < s["mean"] < s["high"] for s in summaries)
    assert results["synthetic"] is True
    table = [line for line in second.stdout.splitlines() if line.split()[:1] in (["8"], ["16"], ["32"])]
    assert len(table) == 9 and "SYNTHETIC" in second.stdout
    runs = [path for path in (tmp_path / "runs").glob("expression_pretraining-*") if path.is_dir()]
    assert len(runs) == 18, "a trial that was cut off went on in its own folder"
    for run in runs:
        steps = [
            line["step"]
            for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
            if "train/loss" in line
        ]
        assert steps == sorted(set(steps)), f"{run} logged a step twice"
        assert (run / "checkpoints" / "step-00000004.ckpt").exists()


@pytest.mark.fault
@pytest.mark.timeout(300)
def test_the_slurm_script_runs_a_real_trial(made_up_corpus: Path, tmp_path: Path) -> None:
    command = [*sweep_command(made_up_corpus, tmp_path), "--launcher", "slurm"]
    written = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert written.returncode == 0, written.stderr
    script = next((tmp_path / "runs" / "sweeps").glob("*/sweep.sbatch"))
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "3", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", str(script)], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert finished(tmp_path) == {"003"}

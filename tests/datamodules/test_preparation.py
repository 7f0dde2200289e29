import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_clips import make_jobs

from datamodules.errors import ShardError
from datamodules.preparation import PreparationReport, prepare_corpus
from datamodules.shard_index import ShardIndex

HERE = Path(__file__).parent
OPTIONS = {"command": "made-up", "seed": 3}

RUN = """
import sys
sys.path.insert(0, {here!r})
from made_up_clips import make_jobs
from datamodules.preparation import prepare_corpus
if __name__ == "__main__":
    try:
        jobs = make_jobs(2) + make_jobs(6, seconds=600)[2:]  # the rest is never done before the process is ended
        prepare_corpus(jobs, {out!r}, corpus="made-up", fingerprint={options!r}, workers={workers}, progress=False)
    except ValueError as error:
        sys.exit(f"{{type(error).__name__}}: {{error}}")
"""


def _prepare(out: Path, jobs: list, workers: int = 0, **options) -> PreparationReport:
    fingerprint = OPTIONS | options
    return prepare_corpus(jobs, out, corpus="made-up", fingerprint=fingerprint, workers=workers, progress=False)


def _files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.tar")}


def _records(out: Path) -> int:
    return len(list((out / ".staging").glob("job*.json")))


def _wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def _start(tmp_path: Path, out: Path, workers: int) -> subprocess.Popen:
    script = tmp_path / "run_preparation.py"
    script.write_text(RUN.format(here=str(HERE), out=str(out), options=OPTIONS, workers=workers))
    return subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _processes_of_session(session: int) -> list[int]:
    """Living processes of a session, by the sixth field of /proc/<pid>/stat (the name before may hold spaces)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_a_prepared_corpus_holds_the_clips_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    report = _prepare(tmp_path / "out", make_jobs(3, dropped=1))
    index = ShardIndex(tmp_path / "out")
    assert [e.key for e in index.entries] == [f"job0{j}_{i}" for j in range(3) for i in range(2)]
    assert (report.kept, report.reasons, report.reused) == (6, {"no_face": 3}, 0)
    assert report.seconds == pytest.approx(6 * 12 / 25)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "preparation.json",
        "train-000000.tar",
    ]
    made_by = json.loads((tmp_path / "out" / "manifest.json").read_text())["made_by"]
    assert made_by["fingerprint"] == OPTIONS and "numpy" in made_by["packages"]


def test_worker_processes_change_no_byte(tmp_path: Path) -> None:
    _prepare(tmp_path / "one", make_jobs(5))
    _prepare(tmp_path / "two", make_jobs(5), workers=2)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_a_killed_preparation_continues_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = _start(tmp_path, out, workers=0)
    _wait_for(lambda: _records(out) >= 2)
    process.kill()
    process.communicate(timeout=120)
    assert not (out / "manifest.json").exists()
    report = _prepare(out, make_jobs(6))
    assert report.reused >= 2 and report.kept == 12
    _prepare(tmp_path / "uninterrupted", make_jobs(6))
    assert _files(out) == _files(tmp_path / "uninterrupted")


@pytest.mark.parametrize("stop", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_an_interrupted_preparation_leaves_no_process_and_can_go_on(tmp_path: Path, stop: signal.Signals) -> None:
    out = tmp_path / "out"
    process = _start(tmp_path, out, workers=1)
    _wait_for(lambda: _records(out) >= 1)
    process.send_signal(stop)
    _, said = process.communicate(timeout=120)
    _wait_for(lambda: not _processes_of_session(process.pid))
    assert process.returncode != 0
    if stop is signal.SIGINT:
        assert said.startswith("PreparationInterrupted: interrupted: ") and said.count("\n") == 1, said
        assert "the same command continues" in said
    assert _prepare(out, make_jobs(6)).reused >= 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_failing_job_is_named_and_the_others_are_kept(tmp_path: Path, workers: int) -> None:
    jobs = make_jobs(3)
    bad = make_jobs(4, fails=True)[3]
    with pytest.raises(ShardError, match="job 'job03' failed: ScratchedDiscError: side B of job03"):
        _prepare(tmp_path / "out", [*jobs, bad], workers)
    report = _prepare(tmp_path / "out", make_jobs(4))
    assert report.reused == 3 and report.kept == 8


def test_an_interruption_while_packing_keeps_the_staged_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patched, pytest.raises(ShardError, match="interrupted while packing"):
        patched.setattr("datamodules.shard_writer.tar_members", interrupt)
        _prepare(out, make_jobs(2))
    assert [path.name for path in out.iterdir()] == [".staging"]
    assert _prepare(out, make_jobs(2)).reused == 2


def test_a_worker_that_dies_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="a worker process died, perhaps for want of memory"):
        _prepare(tmp_path / "out", make_jobs(2, dies=True), workers=1)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_folder_begun_with_other_options_is_refused_with_both_shown(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ShardError, match="failed"):
        _prepare(out, [*make_jobs(1), *make_jobs(2, fails=True)[1:]])
    with pytest.raises(ShardError, match=r"seed: 3 there, 4 asked for\); use the same options or another"):
        _prepare(out, make_jobs(2), seed=4)
    _prepare(out, make_jobs(2))
    with pytest.raises(ShardError, match="seed: 3 there, 4 asked for"):
        _prepare(out, make_jobs(2), seed=4)


def test_a_finished_corpus_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _prepare(out, make_jobs(2, dropped=1))
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    report = _prepare(out, make_jobs(2, fails=True))
    assert report.already_finished and report.kept == 4 and len(report.dropped) == 2
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    with pytest.raises(ShardError, match="other recordings than the 3 asked for"):
        _prepare(out, make_jobs(3))


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ShardError, match="holds other files"):
        _prepare(tmp_path, make_jobs(1))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_nothing_kept_is_an_error_that_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"no clip was kept out of 2 jobs \(2 x no_face; first: job00.mp4: no face"):
        _prepare(tmp_path / "out", make_jobs(2, clips=0, dropped=1))
    assert not (tmp_path / "out").exists()


def test_two_preparations_of_one_folder_do_not_mix(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ShardError, match="failed"):
        _prepare(out, make_jobs(1, fails=True))
    with (out / ".staging" / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ShardError, match="another process is preparing"):
            _prepare(out, make_jobs(1))


def test_jobs_without_or_with_the_same_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="nothing to prepare"):
        _prepare(tmp_path / "out", [])
    with pytest.raises(ShardError, match="'job00' is used 2 times"):
        _prepare(tmp_path / "out", make_jobs(1) * 2)

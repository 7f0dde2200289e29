"""Runs that are finished already: found without a process where train.py would say so, and started as before in every doubt."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_clips import make_corpus_clips, write_corpus
from sweep_helpers import METRIC, make_search, make_sweep
from tiny_runs import TINY

import train
from runtime.sweeps import found_run, local
from runtime.sweeps.definition import Metric, Sweep
from runtime.sweeps.folder import TrialBusyError, existing_sweep, lock_run, open_sweep
from runtime.sweeps.found_run import find_run
from runtime.sweeps.launch import run_local
from runtime.sweeps.trial_process import TRAIN
from runtime.sweeps.trials import Trial, grid_trials

METRIC_OF_GRID = Metric(METRIC)
IS_SAME_CODE = found_run._is_same_code
MUST_NOT_START = ("false",)
SIZES = [text for text in TINY if not text.startswith("net.width=")]


@pytest.fixture(autouse=True)
def code_that_nobody_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_run, "_is_same_code", lambda: True)


def sweep_over(corpus: Path, root: Path, *more: str) -> Sweep:
    """One trial: the six-step run of width 16."""
    return make_sweep(root, (f"data.root={corpus}", *SIZES, *more), grid={"net.width": [16]})


@pytest.fixture(scope="module")
def trained(made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose runs/ holds the run of that trial, trained by hand and with other tags."""
    root = tmp_path_factory.mktemp("trained")
    arguments = [f"data.root={made_up_corpus}", f"run.root={root / 'runs'}", "run.seed=1", *TINY, "logger.tags=[mine]"]
    assert train.main(["expression_pretraining", *arguments]) == 0
    return root


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be spoilt."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    return tmp_path


def run_of(root: Path) -> Path:
    (folder,) = (root / "runs").glob("expression_pretraining-*")
    return folder


def only_trial(corpus: Path, root: Path, *more: str) -> Trial:
    (trial,) = grid_trials(sweep_over(corpus, root, *more))
    return trial


def without(line: dict, *names: str) -> dict:
    return {name: value for name, value in line.items() if name not in names}


SAYS_FINISHED = "import sys; print('run: ' + sys.argv.pop(1) + '\\nfinished already at step 6')"  # as train.py does


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_finished_run_is_recorded_with_the_facts_of_a_process_and_nothing_is_started_or_touched(
    real: bool,
    copied: Path,
    made_up_corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run, sweep = run_of(copied), sweep_over(made_up_corpus, copied)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    assert run_local(sweep, command=MUST_NOT_START) == 0
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    assert f"finished already in {run}, {METRIC} " in capfd.readouterr().err
    folder = existing_sweep("small", copied / "runs")
    found = folder.attempts()["000"]
    assert found.status == "finished" and found.end["step"] == 5 and found.end["values"][METRIC] > 0

    folder.record_file.unlink()
    monkeypatch.setattr(local, "find_run", lambda *_: None)
    command = TRAIN if real else (sys.executable, "-S", "-c", SAYS_FINISHED, str(run))
    assert run_local(sweep, command=command) == 0
    told = folder.attempts()["000"]
    assert without(found.start, "time", "pid") == without(told.start, "time", "pid")
    assert without(found.end, "time", "seconds") == without(told.end, "time", "seconds")


def test_a_search_learns_from_a_finished_run(copied: Path, made_up_corpus: Path) -> None:
    optuna = pytest.importorskip("optuna", reason="the extra 'search' is not installed")
    overrides = [f"data.root={made_up_corpus}", *SIZES]
    sweep = make_search(copied, *overrides, space={"net.width": {"choice": [16]}}, trials=1)
    assert run_local(sweep, command=MUST_NOT_START) == 0
    folder = existing_sweep("search", copied / "runs")
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder.path / "study.journal"))
    )
    (trial,) = optuna.load_study(study_name=f"search-{sweep.hash}", storage=storage).trials
    assert trial.value == folder.attempts()["000"].end["metric"]


def rewrite(name: str, **values: object) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        (run / name).write_text(json.dumps(json.loads((run / name).read_text()) | values))

    return spoil


def cut(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:-100])


def remove(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(rewrite("outcome.json", status="running"), id="it is being trained"),
        pytest.param(rewrite("outcome.json", status="failed"), id="it failed after its last step"),
        pytest.param(remove("outcome.json"), id="nothing says how it ended"),
        pytest.param(remove("checkpoints/step-00000006.ckpt"), id="the end is not there"),
        pytest.param(remove("checkpoints/step-00000006.ckpt.json"), id="the end was not saved whole"),
        pytest.param(cut("checkpoints/step-00000006.ckpt"), id="the end is damaged"),
        pytest.param(rewrite("data.json", run_hash="00000000"), id="it says that it is another run"),
        pytest.param(remove("config.yaml"), id="it does not say what it is"),
    ],
)
def test_a_run_that_train_would_not_call_finished_is_not_found(
    spoil: Callable[[Path], None], copied: Path, made_up_corpus: Path
) -> None:
    trial = only_trial(made_up_corpus, copied)
    spoil(run_of(copied))
    assert find_run(trial, METRIC_OF_GRID) is None


def test_other_data_in_the_same_place_is_another_run(copied: Path, made_up_corpus: Path, tmp_path: Path) -> None:
    corpus = shutil.copytree(made_up_corpus, tmp_path / "corpus")
    trial = only_trial(corpus, copied)
    assert find_run(trial, METRIC_OF_GRID) is not None, "the place of the data is not what makes a run"
    shutil.rmtree(corpus)
    assert find_run(trial, METRIC_OF_GRID) is None
    write_corpus(corpus, make_corpus_clips()[1:])
    assert find_run(trial, METRIC_OF_GRID) is None


@pytest.mark.parametrize("more", ["trainer.devices=2", "trainer.max_steps=7", "net.dropout=0.05", "run.seed=2"])
def test_another_command_is_another_run_or_starts_ranks(more: str, copied: Path, made_up_corpus: Path) -> None:
    trial = only_trial(made_up_corpus, copied)
    assert find_run(replace(trial, overrides=(*trial.overrides, "data.workers=1")), METRIC_OF_GRID) is not None
    other = replace(trial, overrides=(*trial.overrides, more))
    assert other.compose() and find_run(other, METRIC_OF_GRID) is None


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
def test_what_cannot_be_built_any_more_is_left_to_train(
    error: type[Exception], copied: Path, made_up_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error("the run it builds on is gone")

    monkeypatch.setattr("runtime.assemble.build_module", refuse)
    assert find_run(only_trial(made_up_corpus, copied), METRIC_OF_GRID) is None


def test_changed_code_and_a_rank_of_something_else_leave_it_to_train(
    copied: Path, made_up_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = only_trial(made_up_corpus, copied)
    with monkeypatch.context() as patch:
        patch.setattr(found_run, "_is_same_code", IS_SAME_CODE)
        patch.setattr(found_run, "CODE", "another")
        assert find_run(trial, METRIC_OF_GRID) is None
    assert find_run(trial, METRIC_OF_GRID) is not None
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert find_run(trial, METRIC_OF_GRID) is None


def test_a_run_that_another_process_holds_is_not_recorded(copied: Path, made_up_corpus: Path) -> None:
    trial = only_trial(made_up_corpus, copied)
    folder = open_sweep(sweep_over(made_up_corpus, copied), copied / "runs")
    found = find_run(trial, METRIC_OF_GRID)
    assert found is not None
    held = lock_run(trial)
    with pytest.raises(TrialBusyError):
        found.record(folder)
    os.close(held)
    assert not folder.attempts() and found.record(folder).status == "finished"

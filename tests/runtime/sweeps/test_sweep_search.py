import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sweep_helpers import FAKE, HERE, METRIC, PATIENCE_S, ROOT, make_search, processes_mentioning, starts, wait_until

from runtime.sweeps.definition import Sweep, SweepError
from runtime.sweeps.folder import SweepFolder, existing_sweep, open_sweep
from runtime.sweeps.launch import run_local
from runtime.sweeps.results import results
from runtime.sweeps.search import SearchSource
from runtime.sweeps.trials import corner_trials

pytestmark = pytest.mark.usefixtures("quick_configurations")
optuna = pytest.importorskip("optuna", reason="the extra 'search' is not installed")


def run(sweep: Sweep, **options: object) -> int:
    return run_local(sweep, command=FAKE, **options)  # type: ignore[arg-type]


def drawn(root: Path) -> list[tuple[str, dict[str, str], str]]:
    folder = existing_sweep("search", root / "runs")
    return [(name, a.start["levels"], a.status) for name, a in sorted(folder.attempts().items())]


def test_a_search_draws_its_budget_finds_the_best_and_a_rerun_draws_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = make_search(tmp_path, trials=5)
    assert run(sweep, jobs=2) == 0
    found = results(existing_sweep("search", tmp_path / "runs"))["trials"]
    assert len(found) == 5 and {t["status"] for t in found} == {"finished"}
    best = min(found, key=lambda t: t["values"][METRIC])
    assert f"best: trial {best['trial']}" in capfd.readouterr().out
    assert run(sweep) == 0
    assert len(starts(tmp_path / "runs")) == 5
    assert run(make_search(tmp_path, trials=6)) == 0
    assert len(starts(tmp_path / "runs")) == 6, "a larger budget goes on in the same study"


def test_the_same_seed_draws_the_same_trials_also_after_an_interruption(tmp_path: Path) -> None:
    lists = []
    for name, budgets in (("a", (4,)), ("b", (2, 4))):
        (tmp_path / name).mkdir()
        for budget in budgets:
            run(make_search(tmp_path / name, trials=budget, sampler={"kind": "tpe", "seed": 3, "startup_trials": 2}))
        lists.append(drawn(tmp_path / name))
    assert lists[0] == lists[1]


def test_bad_trials_are_stopped_early_by_their_validation_metric(tmp_path: Path) -> None:
    # The bad one waits to be stopped, so nothing hangs on how soon the sweep looks; the first two, which nobody stops, are good ones.
    widths = {"8": ["net.width=8", "run.label='hold:12'"], "80": ["net.width=80", "run.label='slow:0.03'"]}
    space = {"net.width": {"choice": widths}, "task.optimizer.lr": {"float": [0.0001, 0.0002]}}
    pruner = {"kind": "median", "startup_trials": 2, "warmup_steps": 1}
    options = {"space": space, "trials": 4, "pruner": pruner, "sampler": {"kind": "random", "seed": 0}}
    sweep = make_search(tmp_path, "trainer.max_steps=15", **options)
    assert run(sweep) == 0, "a stopped trial is no failure"
    statuses = [(levels["net.width"], status) for _, levels, status in drawn(tmp_path)]
    assert ("8", "stopped") in statuses and ("80", "finished") in statuses
    study = optuna.load_study(
        study_name=f"search-{sweep.hash}", storage=_journal(existing_sweep("search", tmp_path / "runs"))
    )
    states = [trial.state.name for trial in study.trials]
    assert states.count("PRUNED") == [s for _, s in statuses].count("stopped")
    assert all(trial.intermediate_values for trial in study.trials)


def test_diverged_trials_are_told_and_failed_ones_stay_open_for_the_next_start(tmp_path: Path) -> None:
    sweep = make_search(
        tmp_path, space={"ending": {"choice": {"diverge": ["run.label=diverge"], "dies": ["run.label='die:3'"]}}},
        trials=2, sampler={"kind": "random", "seed": 0},
    )  # fmt: skip
    run(sweep)
    first = {levels["ending"]: status for _, levels, status in drawn(tmp_path)}
    if "dies" in first:
        assert first["dies"] == "failed"
        run(sweep)
        assert {levels["ending"]: s for _, levels, s in drawn(tmp_path)}["dies"] == "finished"
    assert first.get("diverge", "diverged") == "diverged"


@pytest.mark.parametrize("told", [False, True])
def test_a_trial_that_was_running_when_the_sweep_died_is_taken_up_first(told: bool, tmp_path: Path) -> None:
    sweep = make_search(tmp_path, trials=2)
    folder = open_sweep(sweep, tmp_path / "runs")
    cut_off = SearchSource(sweep, folder, corner_trials(sweep)[0]).next()
    assert cut_off is not None
    if told:  # it had ended, and the kill came before the study was told
        folder.started(cut_off, 1)
        folder.ended(cut_off, "finished", metric=3.0, values={METRIC: 3.0})
    source = SearchSource(sweep, folder, corner_trials(sweep)[0])
    if told:
        assert source.study.trials[0].value == 3.0
    taken = source.next()
    assert taken is not None and (taken == cut_off) != told
    run(sweep)
    assert len(drawn(tmp_path)) == 2 and len(starts(tmp_path / "runs")) == 2 - told


def test_drawing_a_known_setting_again_costs_no_training(tmp_path: Path) -> None:
    sweep = make_search(tmp_path, space={"net.width": {"int": [8, 9]}}, trials=8)
    assert run(sweep, jobs=2) == 0
    assert len(starts(tmp_path / "runs")) == 2
    study = optuna.load_study(
        study_name=f"search-{sweep.hash}", storage=_journal(existing_sweep("search", tmp_path / "runs"))
    )
    values = {trial.params["net.width"]: set() for trial in study.trials}
    for trial in study.trials:
        if trial.value is not None:
            values[trial.params["net.width"]].add(trial.value)
    assert len(values) == 2 and all(len(v) == 1 for v in values.values())


def test_machines_with_folders_of_their_own_share_one_study_by_its_address(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    for machine in ("a", "b"):
        (tmp_path / machine).mkdir()
        sweep = make_search(tmp_path / machine, trials=4, storage=storage)
        sweep = _with_root(sweep, "runs")
        source = SearchSource(sweep, open_sweep(sweep, tmp_path / machine / "runs"), corner_trials(sweep)[0])
        for _ in range(2):
            trial = source.next()
            assert trial is not None
            source._tell(trial.id, "finished", 1.0 if machine == "a" else 2.0)
        assert source.exhausted == (machine == "b")
    study = optuna.load_study(study_name=f"search-{sweep.hash}", storage=storage)
    assert len(study.trials) == 4 and len({str(t.params) for t in study.trials}) == 4
    assert "best of all machines: trial 0" in source.best_of_all, "the best one is in the other machine's folder"
    assert {Path(t.user_attrs["folder"]).parents[2].name for t in study.trials} == {"a", "b"}


def test_another_machines_running_trial_is_not_taken_over(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    sources = []
    for machine in ("a", "b"):
        (tmp_path / machine).mkdir()
        sweep = _with_root(make_search(tmp_path / machine, trials=4, storage=storage), "runs")
        sources.append(SearchSource(sweep, open_sweep(sweep, tmp_path / machine / "runs"), corner_trials(sweep)[0]))
        if machine == "a":
            assert sources[0].next() is not None
    assert sources[1].unfinished == []


@pytest.mark.slow
def test_a_search_killed_half_way_ends_with_its_budget_and_loses_no_trial(tmp_path: Path) -> None:
    make_search(tmp_path, trials=4)
    command = [sys.executable, str(HERE / "sweep_with_fake.py"), str(tmp_path / "search.yaml"), "2", "5"]
    overrides = [f"run.root={tmp_path / 'runs'}", "run.label='slow:0.1'", "trainer.max_steps=6"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}"}
    process = subprocess.Popen(
        [*command, *overrides], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: len(list((tmp_path / "runs").glob("fake-*/metrics.jsonl"))) == 2)
    process.kill()
    process.wait()
    wait_until(lambda: not processes_mentioning(str(tmp_path)))
    done = subprocess.run(
        [*command, *overrides], env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [status for _, _, status in drawn(tmp_path)] == ["finished"] * 4
    assert {a.number for a in existing_sweep("search", tmp_path / "runs").attempts().values()} == {1, 2}


@pytest.mark.parametrize("storage", ["sqlite:////nowhere/at/all.db", "nosuchdatabase://x"])
def test_a_storage_that_cannot_be_used_is_named(storage: str, tmp_path: Path) -> None:
    sweep = make_search(tmp_path, storage=storage)
    with pytest.raises(SweepError, match=r"search\.storage"):
        SearchSource(sweep, open_sweep(sweep, tmp_path / "runs"), corner_trials(sweep)[0])


@pytest.mark.parametrize(
    "pruner", ["none", {"kind": "hyperband", "min_resource": 2}, {"kind": "patient", "patience": 2}]
)
def test_every_pruner_is_made(pruner: object, tmp_path: Path) -> None:
    sweep = make_search(tmp_path, pruner=pruner)
    source = SearchSource(sweep, open_sweep(sweep, tmp_path / "runs"), corner_trials(sweep)[0])
    kind = pruner if isinstance(pruner, str) else pruner["kind"]  # type: ignore[index]
    assert type(source.study.pruner).__name__.lower().startswith({"none": "nop"}.get(kind, kind))


def test_a_study_whose_experiment_has_changed_is_not_continued(tmp_path: Path) -> None:
    sweep = make_search(tmp_path)
    folder = open_sweep(sweep, tmp_path / "runs")
    corner = corner_trials(sweep)[0]
    SearchSource(sweep, folder, corner)
    with pytest.raises(SweepError, match="has changed since this search began"):
        SearchSource(sweep, folder, replace(corner, identity="another"))


def test_hours_are_a_budget_too(tmp_path: Path) -> None:
    sweep = make_search(tmp_path, hours=0.0)
    source = SearchSource(sweep, open_sweep(sweep, tmp_path / "runs"), corner_trials(sweep)[0])
    assert source.exhausted and source.next() is None


def _journal(folder: SweepFolder) -> object:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(folder.path / "study.journal")))


def _with_root(sweep: Sweep, root: str) -> Sweep:
    """Two machines start the same command, each in a place of its own."""
    return replace(
        sweep, overrides=tuple(f"run.root={root}" if t.startswith("run.root=") else t for t in sweep.overrides)
    )

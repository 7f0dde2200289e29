import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sweep_helpers import METRIC, make_sweep

from metrics.intervals import paired_reduction
from runtime.sweeps.definition import Sweep
from runtime.sweeps.files import as_yaml
from runtime.sweeps.folder import SweepFolder, open_sweep
from runtime.sweeps.reading import SweepError, read_sweep
from runtime.sweeps.results import results
from runtime.sweeps.tables import write_results
from runtime.sweeps.trials import Trial, grid_trials

pytestmark = pytest.mark.usefixtures("quick_configurations")

BEFORE = f"{METRIC}_before"
PEOPLE = {f"person-{i}": [f"net.dropout={i / 100}"] for i in range(1, 9)}
GRID = {"net.width": [8, 16], "person": PEOPLE}
PAIRED = {"rows": ["net.width"], "over": "person", "against": BEFORE, "baseline": 8}


def made_up(trial: Trial) -> dict[str, float]:
    """People differ much, widths little: what pairing is for."""
    person, seed, width = (trial.levels[name] for name in ("person", "seed", "net.width"))
    drawn = np.random.default_rng([int(person[-1]), int(seed), int(width)])
    before = 1 + int(person[-1]) + drawn.normal(0, 0.01)
    return {METRIC: before * (0.9 if width == "8" else 0.8) + drawn.normal(0, 0.02), BEFORE: before}


def recorded(sweep: Sweep, folder: Path, left_out: tuple[str, ...] = ()) -> SweepFolder:
    found = open_sweep(sweep, folder / "runs")
    for trial in grid_trials(sweep):
        if trial.label not in left_out:
            found.started(trial, 1)
            values = made_up(trial)
            chosen = asdict(sweep.metric)
            found.ended(trial, "finished", metric=values[METRIC], values=values, chosen_by=chosen, synthetic=True)
    return found


def unit_means(sweep: Sweep, width: str, name: str) -> np.ndarray:
    trials = [trial for trial in grid_trials(sweep) if trial.levels["net.width"] == width]
    return np.array([np.mean([made_up(t)[name] for t in trials if t.levels["person"] == who]) for who in PEOPLE])


def test_the_reduction_is_of_the_means_over_people_with_an_interval_like_the_bootstraps(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, grid=GRID, seeds=[1, 2, 3], report=PAIRED)
    for cell in results(recorded(sweep, tmp_path))["cells"]:
        ours, theirs = (unit_means(sweep, cell["levels"]["net.width"], name) for name in (METRIC, BEFORE))
        found = cell["reduction_percent"]
        assert found["n"] == 8 and found["mean"] == pytest.approx(100 * (1 - ours.mean() / theirs.mean()))
        bootstrap = paired_reduction(list(ours), list(theirs), list(PEOPLE))
        width = found["high"] - found["low"]
        assert 0 < width < 3 and width == pytest.approx(100 * (bootstrap.high - bootstrap.low), rel=0.25)


def test_where_all_people_change_by_one_share_the_reduction_has_no_width(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, grid=GRID, report=PAIRED)
    folder = open_sweep(sweep, tmp_path / "runs")
    for trial in grid_trials(sweep):
        before = made_up(trial)[BEFORE]
        folder.started(trial, 1)
        values = {METRIC: before * 0.75, BEFORE: before}
        folder.ended(trial, "finished", metric=1.0, values=values, chosen_by=asdict(sweep.metric), synthetic=True)
    found = results(folder)["cells"][0]["reduction_percent"]
    assert [found[name] for name in ("mean", "low", "high")] == pytest.approx([25.0] * 3)


def test_the_difference_from_the_baseline_is_students_paired_interval_over_people(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, grid=GRID, seeds=[1, 2, 3], report=PAIRED)
    base, other = results(recorded(sweep, tmp_path))["cells"]
    a, b = (unit_means(sweep, width, METRIC) for width in ("16", "8"))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert "minus_baseline" not in base
    found = other["minus_baseline"]
    assert found["mean"] == pytest.approx(np.mean(a - b)) and found["n"] == 8
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected))
    assert found["high"] - found["low"] < other["metrics"][METRIC]["high"] - other["metrics"][METRIC]["low"]


def test_only_trials_that_both_rows_have_are_subtracted(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, grid=GRID, seeds=[1, 2], report=PAIRED)
    gone = ("net.width=8 person=person-3 seed=2", "net.width=16 person=person-5 seed=1")
    gone += tuple(f"net.width=16 person=person-8 seed={seed}" for seed in (1, 2))
    found = results(recorded(sweep, tmp_path, gone))["cells"][1]["minus_baseline"]
    by_unit: dict[str, list[float]] = {}
    trials = {trial.label: trial for trial in grid_trials(sweep)}
    for label, trial in trials.items():
        twin = label.replace("width=16", "width=8")
        if "width=16" in label and not {label, twin} & set(gone):
            unit = by_unit.setdefault(trial.levels["person"], [])
            unit.append(made_up(trial)[METRIC] - made_up(trials[twin])[METRIC])
    assert found["n"] == len(by_unit) == 7
    assert found["mean"] == pytest.approx(np.mean([np.mean(of) for of in by_unit.values()]))


def test_without_units_the_seeds_are_paired(tmp_path: Path) -> None:
    report = {"rows": ["person", "net.width"], "baseline": 8}
    sweep = make_sweep(tmp_path, grid=GRID, seeds=[1, 2, 3], report=report)
    cells = results(recorded(sweep, tmp_path))["cells"]
    assert [cell["levels"]["net.width"] for cell in cells if "minus_baseline" in cell] == ["16"] * 8
    of = {(t.levels["person"], t.levels["net.width"], t.levels["seed"]): made_up(t)[METRIC] for t in grid_trials(sweep)}
    expected = np.mean([of["person-2", "16", s] - of["person-2", "8", s] for s in ("1", "2", "3")])
    found = next(
        cell["minus_baseline"] for cell in cells if cell["levels"] == {"person": "person-2", "net.width": "16"}
    )
    assert found["n"] == 3 and found["mean"] == pytest.approx(expected)


def test_the_table_says_both_and_a_metric_that_is_better_high_is_higher(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, grid=GRID, seeds=[1, 2], report=PAIRED)
    folder = recorded(sweep, tmp_path)
    base, other = write_results(folder)["cells"]
    text = (folder.path / "table.md").read_text()
    assert f"| lower than {BEFORE} by | minus 8 |" in text
    reduction = base["reduction_percent"]
    assert f"| {reduction['mean']:.1f} % ({reduction['low']:.1f} to {reduction['high']:.1f}) | - |" in text
    assert f"| {other['minus_baseline']['mean']:#.4g} (" in text
    maximised = make_sweep(
        tmp_path, grid=GRID, seeds=[1, 2], report=PAIRED, metric={"name": METRIC, "direction": "max"}
    )
    again = recorded(maximised, tmp_path)
    assert write_results(again)["cells"][0]["reduction_percent"]["mean"] == pytest.approx(-reduction["mean"])
    assert f"higher than {BEFORE} by" in (again.path / "table.md").read_text()


def test_in_a_table_with_columns_the_paired_numbers_are_lines_and_compare_within_a_column(tmp_path: Path) -> None:
    grid = {"net.width": [8, 16], "person": {"person-1": [], "person-2": ["net.dropout=0.2"]}}
    report = {"rows": ["net.width"], "columns": ["person"], "against": BEFORE, "baseline": 16}
    sweep = make_sweep(tmp_path, grid=grid, seeds=[1, 2], report=report)
    folder = recorded(sweep, tmp_path)
    cells = write_results(folder)["cells"]
    text = (folder.path / "table.md").read_text()
    assert "| net.width | metric | person-1 | person-2 |" in text and "| 16 | minus 16 | - | - |" in text
    assert f"| 8 | lower than {BEFORE} by | " in text
    of = {(t.levels["person"], t.levels["net.width"], t.levels["seed"]): made_up(t)[METRIC] for t in grid_trials(sweep)}
    expected = np.mean([of["person-2", "8", s] - of["person-2", "16", s] for s in ("1", "2")])
    assert cells[1]["levels"]["person"] == "person-2"
    assert cells[1]["minus_baseline"]["mean"] == pytest.approx(expected)


@pytest.mark.parametrize("before", [None, 0.0])
def test_without_the_other_metric_there_is_a_dash(before: float | None, tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, report={"against": BEFORE})
    folder = open_sweep(sweep, tmp_path / "runs")
    trial = grid_trials(sweep)[0]
    folder.started(trial, 1)
    values = {METRIC: 1.0} | ({} if before is None else {BEFORE: before})
    folder.ended(trial, "finished", metric=1.0, values=values, chosen_by=asdict(sweep.metric), synthetic=True)
    cell = write_results(folder)["cells"][0]
    assert cell["reduction_percent"]["mean"] is None and cell["metrics"][METRIC]["mean"] == 1.0
    assert "| 8 | 1.000 | - | 1 | - | - |" in (folder.path / "table.md").read_text()


def test_the_keys_change_no_trial_and_survive_the_sweeps_own_file(tmp_path: Path) -> None:
    plain = make_sweep(tmp_path, grid=GRID)
    paired = make_sweep(tmp_path, grid=GRID, report=PAIRED)
    assert plain.hash == paired.hash and plain.report != paired.report
    file = tmp_path / "again.yaml"
    file.write_text(as_yaml(paired))
    assert read_sweep(file) == paired


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ({"rows": ["net.width"], "baseline": 9}, "net.width has no row '9'; expected one of 8, 16"),
        ({"rows": ["net.width"], "over": "person", "baseline": "person-1"}, "net.width has no row 'person-1'"),
        ({"against": 3}, "report.against is 3; expected text"),
    ],
)
def test_a_baseline_that_is_no_row_is_told_with_the_rows(report: dict, told: str, tmp_path: Path) -> None:
    with pytest.raises(SweepError) as error:
        make_sweep(tmp_path, grid=GRID, report=report)
    assert told in str(error.value)


def test_a_search_has_nothing_to_pair(tmp_path: Path) -> None:
    search = {"space": {"net.width": {"int": [8, 64]}}, "trials": 2}
    file = tmp_path / "search.yaml"
    values = {"experiment": "expression_pretraining", "metric": METRIC, "search": search, "report": {"against": BEFORE}}
    file.write_text(json.dumps(values))
    with pytest.raises(SweepError, match=r"report\.against: a search has no cells"):
        read_sweep(file)


def test_no_number_is_nan_in_the_record(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, grid=GRID, report=PAIRED)
    cells = results(recorded(sweep, tmp_path))["cells"]
    numbers = [value for cell in cells for value in cell["reduction_percent"].values()]
    assert numbers and all(math.isfinite(value) for value in numbers)

import io
import json
import statistics
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from sweep_helpers import METRIC, make_sweep

from runtime.sweeps.definition import Sweep
from runtime.sweeps.folder import SweepFolder, open_sweep
from runtime.sweeps.results import best_trial, results
from runtime.sweeps.summary import summarise
from runtime.sweeps.tables import print_results, write_results
from runtime.sweeps.trials import grid_trials

pytestmark = pytest.mark.usefixtures("quick_configurations")


def recorded(sweep: Sweep, folder: Path, value_of: dict[str, float]) -> SweepFolder:
    """The folder of a sweep whose trials finished with these values, by label; those left out never started."""
    found = open_sweep(sweep, folder / "runs")
    for trial in grid_trials(sweep):
        if trial.label in value_of:
            value = value_of[trial.label]
            found.started(trial, 1)
            values = {METRIC: value, "val/loss": 2 * value}
            found.ended(trial, "finished", metric=value, values=values, chosen_by=asdict(sweep.metric), synthetic=True)
    return found


@pytest.mark.parametrize("n", [2, 3, 17])
def test_the_summary_agrees_with_independent_statistics(n: int) -> None:
    values = np.random.default_rng(n).normal(3, 2, n).tolist()
    summary = summarise(values)
    low, high = stats.t.interval(0.95, n - 1, loc=np.mean(values), scale=stats.sem(values))
    assert summary.mean == pytest.approx(statistics.fmean(values))
    assert summary.deviation == pytest.approx(statistics.stdev(values))
    assert (summary.low, summary.high) == pytest.approx((low, high))


def test_one_value_has_no_deviation_and_none_has_no_mean() -> None:
    assert summarise([2.5]) == (1, 2.5, None, None, None)
    assert summarise([]).mean is None


def test_a_row_is_a_cell_over_its_seeds_and_says_what_is_missing(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, seeds=[1, 2])
    folder = recorded(
        sweep, tmp_path, {"net.width=8 seed=1": 1.0, "net.width=8 seed=2": 3.0, "net.width=16 seed=1": 5.0}
    )
    found = write_results(folder)
    first, second = found["cells"]
    assert first["metrics"][METRIC]["mean"] == 2.0 and first["metrics"][METRIC]["n"] == 2
    assert second["metrics"][METRIC]["n"] == 1 and second["statuses"] == {"finished": 1, "pending": 1}
    assert json.loads((folder.path / "results.json").read_text()) == found
    text = (folder.path / "table.md").read_text()
    assert "| 8 | 2.000 | 1.414 | 2 | -10.71 to 14.71 |  |" in text and "| 16 | 5.000 | - | 1 | - | 1 pending |" in text
    assert "SYNTHETIC" in text and "Which is better?" in text


def test_the_order_of_the_record_changes_nothing(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, seeds=[1, 2, 3])
    values = {f"net.width={w} seed={s}": w + s**2 / 7 for w, s in product((8, 16), (1, 2, 3))}
    folder = recorded(sweep, tmp_path, values)
    before = results(folder)["cells"]
    lines = folder.record_file.read_text().splitlines()
    pairs = [lines[i : i + 2] for i in range(0, len(lines), 2)]
    folder.record_file.write_text("\n".join(line for pair in reversed(pairs) for line in pair) + "\n")
    assert results(folder)["cells"] == before


def test_units_are_averaged_first_so_that_seeds_of_a_person_do_not_count_as_people(tmp_path: Path) -> None:
    grid = {"net.width": [8, 16], "person": {"ada": [], "bob": ["net.dropout=0.2"]}}
    sweep = make_sweep(tmp_path, grid=grid, seeds=[1, 2], report={"over": "person"})
    values = {"net.width=8 person=ada": (1.0, 3.0), "net.width=8 person=bob": (10.0, 20.0)}
    folder = recorded(
        sweep, tmp_path, {f"{name} seed={s + 1}": v for name, pair in values.items() for s, v in enumerate(pair)}
    )
    cell = results(folder)["cells"][0]["metrics"][METRIC]
    assert (
        cell["n"] == 2
        and cell["mean"] == pytest.approx(8.5)
        and cell["deviation"] == pytest.approx(statistics.stdev([2, 15]))
    )


def test_axes_can_go_across_and_further_metrics_below(tmp_path: Path) -> None:
    report = {"columns": ["net.blocks"], "metrics": ["val/loss"]}
    sweep = make_sweep(tmp_path, grid={"net.width": [8, 16], "net.blocks": [1, 2]}, report=report)
    values = {f"net.width={w} net.blocks={b} seed=1": w + b for w, b in product((8, 16), (1, 2))}
    write_results(recorded(sweep, tmp_path, values))
    text = next((tmp_path / "runs" / "sweeps").glob("*/table.md")).read_text()
    assert "| net.width | metric | 1 | 2 |" in text
    assert f"| 16 | {METRIC} | 17.00 (1) | 18.00 (1) |" in text and "| 16 | val/loss | 34.00 (1) | 36.00 (1) |" in text


@pytest.mark.parametrize(
    ("changed", "name", "expected"),
    [
        ({"report": {"metrics": ["val/other"]}}, "val/other", 42.0),
        ({"metric": {"name": METRIC, "at": "last"}}, METRIC, 2.0),
        ({"metric": {"name": "val/other", "direction": "max"}}, "val/other", 42.0),
    ],
)
def test_what_the_report_asks_for_later_is_read_from_the_run(
    changed: dict, name: str, expected: float, tmp_path: Path
) -> None:
    sweep = make_sweep(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    lines = [{"step": 3, METRIC: 1.0, "val/other": 42.0}, {"step": 5, METRIC: 2.0, "val/other": 7.0}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder = open_sweep(sweep, tmp_path / "runs")
    trial = grid_trials(sweep)[0]
    folder.started(trial, 1)
    folder.ended(trial, "finished", metric=1.0, values={METRIC: 1.0}, chosen_by=asdict(sweep.metric), folder=str(run))
    assert open_sweep(make_sweep(tmp_path, **changed), tmp_path / "runs") == folder
    assert results(folder)["cells"][0]["metrics"][name]["mean"] == expected


@pytest.mark.parametrize(("direction", "best"), [("min", "000"), ("max", "001")])
def test_the_best_trial_follows_the_direction(direction: str, best: str, tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, metric={"name": METRIC, "direction": direction})
    found = best_trial(recorded(sweep, tmp_path, {"net.width=8 seed=1": 1.0, "net.width=16 seed=1": 2.0}))
    assert found is not None and found["trial"] == best


def test_the_printed_table_has_a_row_a_cell(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    folder = recorded(sweep, tmp_path, {"net.width=8 seed=1": 1.0, "net.width=16 seed=1": 2.0})
    out = io.StringIO()
    print_results(results(folder), sweep, Console(file=out, width=120))
    assert "1.000" in out.getvalue() and "2.000" in out.getvalue() and "SYNTHETIC" in out.getvalue()

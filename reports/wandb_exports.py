"""Runs as W&B exports them: the table of the runs page and the data of a chart as CSV, and offline run folders."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reports.errors import ReportError
from runtime.dashboard import NOT_ABLATED
from runtime.wandb_records import read_wandb_run, record_files
from runtime.wandb_session import STEP

METRIC_PREFIXES = ("train/", "val/", "test/", "perf/")
# Columns of the runs page that say neither how a run was set nor how it went.
PAGE_COLUMNS = frozenset(
    (
        *(
            "Name",
            "State",
            "Notes",
            "User",
            "Tags",
            "Created",
            "Updated",
            "Runtime",
            "Sweep",
            "ID",
            "Group",
            "Job Type",
        ),
        *(
            "Start Time",
            "End Time",
            "Last Seen",
            "Hostname",
            "Description",
            "Commit",
            "GitHub",
            "GPU Type",
            "GPU Count",
        ),
    )
)
STEP_COLUMNS = frozenset({"Step", STEP, "_step"})
BAND = ("__MIN", "__MAX")


@dataclass
class ExportedRun:
    """`finals`: the last value of each metric; `curves`: its (step, value) points, where the export has them; `run_id`: W&B's own, where it says so."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    finals: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    run_id: str = ""

    @property
    def seed(self) -> str:
        return self.settings.get("run/seed", "")


def is_export(path: Path) -> bool:
    """Whether compare.py should read it as a W&B export. A run folder of ours is none, though it has a `wandb` folder in it."""
    if path.suffix == ".csv":
        return path.is_file()
    return path.is_dir() and not (path / "config.yaml").is_file() and bool(record_files(path))


def read_exports(paths: Sequence[Path]) -> list[ExportedRun]:
    """Every run of every export; what several exports say of one run is put together. A run is known by its ID, in an export without IDs by its name.

    Runs of one name and several IDs are called `name (ID)`. Raises ReportError or RunError naming the file, also where a name without an ID may be either of two runs.
    """
    found = [(path, _read_csv(path) if path.suffix == ".csv" else _read_offline(path)) for path in paths]
    ids: dict[str, list[str]] = {}
    for run in (run for _, runs in found for run in runs if run.run_id):
        ids.setdefault(run.name, []).append(run.run_id)
    known: dict[str, ExportedRun] = {}
    for path, runs in found:
        _check_names(path, runs, ids)
        for run in runs:
            run_id = run.run_id or next(iter(ids.get(run.name, [])), "")
            name = f"{run.name} ({run_id})" if len(set(ids.get(run.name, []))) > 1 else run.name
            _join(known.setdefault(run_id or run.name, ExportedRun(name, run_id=run_id)), run, path)
    return list(known.values())


def _join(known: ExportedRun, run: ExportedRun, path: Path) -> None:
    known.settings |= run.settings
    # The last point of a chart was sampled; a run's own last value was not.
    known.finals = run.finals | known.finals if path.suffix == ".csv" and run.curves else known.finals | run.finals
    known.curves |= run.curves


def _check_names(path: Path, runs: Sequence[ExportedRun], ids: Mapping[str, Sequence[str]]) -> None:
    """A name without an ID must be one run's."""
    nameless = [run.name for run in runs if not run.run_id]
    twice = next((name for name in nameless if nameless.count(name) > 1), None)
    if twice is not None:
        raise ReportError(
            f"{path} has {nameless.count(twice)} runs that are called {twice!r} and no column ID to tell them apart; export the table with its ID column, or rename the runs"
        )
    either = next((name for name in nameless if len(set(ids.get(name, ()))) > 1), None)
    if either is not None:
        raise ReportError(
            f"{path} says {either!r} and that is the name of the runs {' and '.join(dict.fromkeys(ids[either]))}; rename the runs in W&B and export again"
        )


def _read_offline(folder: Path) -> list[ExportedRun]:
    found = []
    for run in read_wandb_run(record_files(folder)):
        # A resumed run logs the steps after its checkpoint again: the last row of a step is the run that went on.
        at_step = {float(row[STEP]): row for row in run.rows if STEP in row}
        curves: dict[str, list[tuple[float, float]]] = {}
        for step, row in sorted(at_step.items()):
            for name, value in row.items():
                if name.startswith(METRIC_PREFIXES) and isinstance(value, int | float):
                    curves.setdefault(name, []).append((step, float(value)))
        finals = {name: points[-1][1] for name, points in curves.items()}
        settings = _settings(run.config)
        found.append(ExportedRun(run.name or run.run_id, settings, finals, curves, run.run_id))
    return found


def _read_csv(path: Path) -> list[ExportedRun]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ReportError(
            f"{path} cannot be read as W&B writes its exports, UTF-8 text ({error}); save it as UTF-8"
        ) from error
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise ReportError(
            f"{path} has two columns {twice!r}: of runs of one name one would hide the other; rename the runs in W&B"
        )
    if "Name" in columns:
        return [_of_table_row(row) for row in rows]
    step = next((column for column in columns if column in STEP_COLUMNS), None)
    if step is None:
        told = ", ".join(columns[:5]) or "no columns"
        raise ReportError(
            f"{path} has columns {told}; expected the export of W&B's runs page (a column Name) or of a line chart (a column Step)"
        )
    return _of_chart(columns, rows, step)


def _of_table_row(row: dict[str, str]) -> ExportedRun:
    given = {
        name: value for name, value in row.items() if name and value not in (None, "") and name not in PAGE_COLUMNS
    }
    finals = {
        name: value
        for name, text in given.items()
        if name.startswith(METRIC_PREFIXES) and (value := _number(text)) is not None
    }
    return ExportedRun(row["Name"], _settings(given), finals, run_id=row.get("ID") or "")


def _settings(given: Mapping[str, Any]) -> dict[str, str]:
    """Configuration under `a/b`; older runs have dots."""
    return {
        name.replace(".", "/"): str(value)
        for name, value in given.items()
        if not name.startswith((*METRIC_PREFIXES, "_"))
    }


def _of_chart(columns: Sequence[str], rows: list[dict[str, str]], step: str) -> list[ExportedRun]:
    """Columns are `<run> - <metric>`, each with its band."""
    runs: dict[str, ExportedRun] = {}
    for column in columns:
        name, dash, metric = column.rpartition(" - ")
        if not dash or column.endswith(BAND) or not metric.startswith(METRIC_PREFIXES):
            continue
        points = [
            (at, value)
            for row in rows
            if (at := _number(row[step])) is not None and (value := _number(row[column])) is not None
        ]
        if points:
            run = runs.setdefault(name, ExportedRun(name))
            run.curves[metric] = sorted(points)
            run.finals[metric] = run.curves[metric][-1][1]
    return list(runs.values())


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class ExportedMethod:
    """Runs that differ in their seed alone."""

    name: str
    runs: list[ExportedRun]

    def finals(self, metric: str) -> list[float]:
        return [run.finals[metric] for run in self.runs if metric in run.finals]


@dataclass(frozen=True)
class ExportComparison:
    """`settings`: those that differ, and each method's value; `metrics` that at least two methods have, validation and test first."""

    methods: list[ExportedMethod]
    settings: list[tuple[str, list[str]]]
    metrics: list[str]


def compare_exports(runs: Sequence[ExportedRun], wanted: Sequence[str] | None = None) -> ExportComparison:
    """Raises ReportError for fewer than two runs, or runs without a metric in common, saying what each has."""
    if len(runs) < 2:
        raise ReportError(f"the exports hold {len(runs)} run{'s' * (len(runs) != 1)}; expected two or more to compare")
    groups: dict[str, list[ExportedRun]] = {}
    for run in runs:
        kept = {
            key: value for key, value in run.settings.items() if not key.startswith(NOT_ABLATED) and key != "data/seed"
        }
        groups.setdefault(str(sorted(kept.items())) if kept else f"{run.name} {run.run_id}", []).append(run)
    members = list(groups.values()) if len(groups) > 1 else [[run] for run in runs]
    methods = [ExportedMethod(group[0].name, group) for group in members]
    counts = {metric: sum(bool(m.finals(metric)) for m in methods) for run in runs for metric in run.finals}
    shared = sorted((m for m, n in counts.items() if n > 1), key=lambda m: (m.startswith(("train/", "perf/")), m))
    missing = [metric for metric in wanted or () if metric not in shared]
    if missing or not shared:
        told = "; ".join(_told(method) for method in methods[:2])
        raise ReportError(f"the runs share no {', '.join(missing) or 'metric'}: {told}")
    return ExportComparison(methods, _differing(methods), list(wanted or shared))


def _told(method: ExportedMethod) -> str:
    """What a method's columns were read as."""
    run = method.runs[0]
    told = f"{method.name} has {', '.join(sorted(run.finals)) or 'no metric'}"
    numbers = [name for name, value in run.settings.items() if _number(value) is not None]
    if not run.finals and numbers:
        told += (
            f" (read as settings: {', '.join(sorted(numbers)[:8])}; metrics begin with {', '.join(METRIC_PREFIXES)})"
        )
    return told


def _differing(methods: Sequence[ExportedMethod]) -> list[tuple[str, list[str]]]:
    of = [method.runs[0].settings for method in methods]
    keys = sorted(key for key in set().union(*of) if not key.startswith(NOT_ABLATED))
    rows = [(key, [settings.get(key, "-") for settings in of]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]

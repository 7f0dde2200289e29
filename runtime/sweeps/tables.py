"""The one table that a sweep ends with: on the terminal, as `table.md`, and beside `results.json`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from runtime.run_folder import write_atomically
from runtime.sweeps.definition import SEED, Metric, Sweep
from runtime.sweeps.folder import FINISHED, SweepFolder
from runtime.sweeps.results import results
from runtime.sweeps.summary import Summary

SYNTHETIC_NOTE = "SYNTHETIC speech: measures the implementation, not people"


def write_results(folder: SweepFolder) -> dict[str, Any]:
    """Write `results.json` and `table.md` from the record; returns the results."""
    found = results(folder)
    write_atomically(folder.path / "results.json", json.dumps(found, indent=1))
    write_atomically(
        folder.path / "table.md", _as_markdown(_table(found, folder.sweep), _title(found), found["question"])
    )
    return found


def print_results(found: dict[str, Any], sweep: Sweep, console: Console | None = None) -> None:
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=200)
    console.print(found["question"], markup=False, highlight=False)
    header, rows = _table(found, sweep)
    table = Table(title=_title(found), title_justify="left", box=box.SIMPLE_HEAD)
    for name in header:
        table.add_column(
            name, justify="right" if any(_numeric(row[header.index(name)]) for row in rows) else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _table(found: dict[str, Any], sweep: Sweep) -> tuple[list[str], list[list[str]]]:
    if sweep.search is not None:
        return _search_table(found, sweep)
    return _pivot(found, sweep) if sweep.report.columns else _flat(found, sweep)


def _flat(found: dict[str, Any], sweep: Sweep) -> tuple[list[str], list[list[str]]]:
    others = list(sweep.report.metrics)
    header = [
        *sweep.report.rows,
        sweep.metric.name,
        "sd",
        "n",
        "95 % interval",
        *_paired_names(sweep),
        *others,
        "not finished",
    ]
    rows = []
    for cell in found["cells"]:
        summary = Summary(**cell["metrics"][sweep.metric.name])
        numbers = [_number(summary.mean), _number(summary.deviation), str(summary.n), _interval(summary)]
        more = [_mean_and_deviation(Summary(**cell["metrics"][name])) for name in others]
        numbers += _paired(cell, sweep)
        rows.append([*(cell["levels"][name] for name in sweep.report.rows), *numbers, *more, _unfinished(cell)])
    return _without_empty(header, rows)


def _pivot(found: dict[str, Any], sweep: Sweep) -> tuple[list[str], list[list[str]]]:
    """Row axes down, column axes across; a cell is `mean ± sd (n)`."""
    columns = list(
        dict.fromkeys(tuple(cell["levels"][name] for name in sweep.report.columns) for cell in found["cells"])
    )
    metrics = (sweep.metric.name, *sweep.report.metrics)
    names = (sweep.metric.name, *_paired_names(sweep), *sweep.report.metrics)
    header = [
        *sweep.report.rows,
        *(["metric"] if len(names) > 1 else []),
        *(" ".join(c) for c in columns),
        "not finished",
    ]
    lines: dict[tuple[str, ...], dict[tuple[str, ...], Any]] = {}
    for cell in found["cells"]:
        row = tuple(cell["levels"][name] for name in sweep.report.rows)
        lines.setdefault(row, {})[tuple(cell["levels"][name] for name in sweep.report.columns)] = cell
    rows = []
    for row, cells in lines.items():
        unfinished = ", ".join(text for cell in cells.values() if (text := _unfinished(cell)))
        written = {m: [_mean_and_deviation(Summary(**cells[c]["metrics"][m])) for c in columns] for m in metrics}
        paired = zip(*(_paired(cells[c], sweep) for c in columns), strict=True)
        written |= {name: list(values) for name, values in zip(_paired_names(sweep), paired, strict=True)}
        rows += [[*row, *([name] if len(names) > 1 else []), *written[name], unfinished] for name in names]
    return _without_empty(header, rows)


def _paired_names(sweep: Sweep) -> list[str]:
    """Of what `_paired` writes of a cell."""
    lower = "lower" if sweep.metric.direction == "min" else "higher"
    against = [f"{lower} than {sweep.report.against} by"] if sweep.report.against else []
    return against + ([f"minus {sweep.report.baseline}"] if sweep.report.baseline else [])


def _paired(cell: dict[str, Any], sweep: Sweep) -> list[str]:
    """Each with its 95 % interval; a dash in the baseline's own row."""
    found = []
    if sweep.report.against:
        found.append(_mean_and_interval(Summary(**cell["reduction_percent"]), lambda value: f"{value:.1f}", " %"))
    if sweep.report.baseline:
        summary = Summary(**cell["minus_baseline"]) if "minus_baseline" in cell else Summary(0)
        found.append(_mean_and_interval(summary, _number))
    return found


def _search_table(found: dict[str, Any], sweep: Sweep) -> tuple[list[str], list[list[str]]]:
    assert sweep.search is not None
    names = [dimension.name for dimension in sweep.search.space]
    metrics = [sweep.metric.name, *sweep.report.metrics]
    header = ["trial", *names, *metrics, "step", "status"]

    def order(trial: dict[str, Any]) -> tuple[bool, float]:
        value = trial["values"][sweep.metric.name]
        return trial["status"] != FINISHED or value is None, (value or 0.0) * (
            1 if sweep.metric.direction == "min" else -1
        )

    rows = []
    for trial in sorted(found["trials"], key=order):
        values = [_number(trial["values"][name]) for name in metrics]
        settings = [trial["levels"].get(name, "") for name in names]
        rows.append([trial["trial"], *settings, *values, str(trial["step"] or ""), trial["status"]])
    return header, rows


def _title(found: dict[str, Any]) -> str:
    metric = Metric(**found["metric"])
    kind = {True: SYNTHETIC_NOTE, False: "recordings", None: "no trial has ended"}[found["synthetic"]]
    lower = "lower" if metric.direction == "min" else "higher"
    unit = "trials" if found["over"] == SEED else f"levels of {found['over']} (means over seeds)"
    n = f"; n counts {unit}, sd and Student's t interval are over them" if found["cells"] else ""
    return f"{found['sweep']}: {metric.name}, {metric.at} validation, {lower} is better{n}. {kind}"


def _as_markdown(table: tuple[list[str], list[list[str]]], title: str, question: str) -> str:
    header, rows = table
    lines = [header, ["---"] * len(header), *rows]
    text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{question}\n\n{title}\n\n{text}\n"


def _without_empty(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    if any(row[-1] for row in rows):
        return header, rows
    return header[:-1], [row[:-1] for row in rows]


def _unfinished(cell: dict[str, Any]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(cell["statuses"].items()) if status != FINISHED)


def _mean_and_deviation(summary: Summary) -> str:
    deviation = f" ± {_number(summary.deviation)}" if summary.deviation is not None else ""
    return f"{_number(summary.mean)}{deviation} ({summary.n})" if summary.n else "-"


def _mean_and_interval(summary: Summary, write: Callable[[float | None], str], unit: str = "") -> str:
    if summary.mean is None:
        return "-"
    ends = f" ({write(summary.low)} to {write(summary.high)})" if summary.low is not None else ""
    return f"{write(summary.mean)}{unit}{ends}"


def _interval(summary: Summary) -> str:
    return f"{_number(summary.low)} to {_number(summary.high)}" if summary.low is not None else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:#.4g}"


def _numeric(text: str) -> bool:
    return text[:1].isdigit() or text[:1] == "-"

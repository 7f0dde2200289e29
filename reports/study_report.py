"""The results of a user study as tables on the terminal and as JSON beside the study's key."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from reports.report_page import p_value
from reports.score_files import plain
from reports.score_table import number
from reports.study_analysis import StudyResult
from runtime.run_folder import write_atomically

RESULTS = "results.json"
# What ten columns with names of usual length need.
WIDTH = 180


def write_results(result: StudyResult, key: dict[str, Any], path: Path, command: str) -> None:
    """Who counted and why others did not, means and tests; NaN becomes null."""
    content = {
        "format": "study-results/1",
        "study": key["study"],
        "synthetic": key["synthetic"],
        "command": command,
        "raters": len(result.raters),
        "counted": len(result.counted),
        "left_out": {rater.number: rater.left_out for rater in result.raters if rater.left_out},
        "ratings": [asdict(rated) for rated in result.ratings],
        "tests": [asdict(test) | {"verdict": test.verdict} for test in result.tests],
    }
    write_atomically(path, json.dumps(plain(content), indent=1, allow_nan=False) + "\n")


def print_results(result: StudyResult, key: dict[str, Any]) -> None:
    about = "synthetic speech and faces" if key["synthetic"] else key["corpus"]
    print(f"study {key['study']} on {about}: {len(result.counted)} of {len(result.raters)} raters count")
    for rater in result.raters:
        if rater.left_out:
            print(f"rater {rater.number} left out: {rater.left_out}")
    _print(_ratings(result))
    _print(_tests(result))


def _print(table: RenderableType) -> None:
    """A pipe or a file has no width of its own."""
    console = Console()
    Console(width=console.width if console.is_terminal else WIDTH).print(table)


def _ratings(result: StudyResult) -> Table:
    table = Table(title="mean opinion score, 1 to 5 (95 % over raters and clips)", title_justify="left")
    for column in ("question", "method", "mean", "interval"):
        table.add_column(column, overflow="fold")
    for row in result.ratings:
        table.add_row(row.question, row.method, f"{row.mean:.2f}", _interval(row.low, row.high))
    return table


def _tests(result: StudyResult) -> Table:
    table = Table(title="against the baseline (ratings: points; choices: share of the baseline)", title_justify="left")
    for column in (
        "question",
        "other",
        "effect",
        "interval",
        "p raters",
        "p clips",
        "adjusted",
        "binomial p",
        "left",
        "verdict",
    ):
        table.add_column(column, overflow="fold")
    for test in result.tests:
        ps = [p_value(p) for p in (test.p_raters, test.p_clips, test.holm, test.binomial_p)]
        left = f"{test.left:.0%}" if test.choices else "-"
        table.add_row(
            test.question, test.other, f"{test.effect:.2f}", _interval(test.low, test.high), *ps, left, test.verdict
        )
    return table


def _interval(low: float, high: float) -> str:
    return "fewer than 5" if math.isnan(low) else f"{number(low)} to {number(high)}"

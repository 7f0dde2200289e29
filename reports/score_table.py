"""The table that score.py prints."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

# A pipe or a file has no width of its own; the widest row of six methods fits into this.
WIDTH = 150


def print_table(result: dict[str, Any], methods: Sequence[str]) -> None:
    """Every metric of the methods that were scored, with the model's interval; then the headline beside the controls."""
    scores, summary = result["scores"], result["summary"]
    shown = [method for method in methods if method in scores]
    print_methods(result, shown, f"{result['face']} face", WIDTH)
    for method in shown:
        gain = summary.get(method, {}).get("reduction_by_model")
        if gain:
            interval = f" ({gain['low']:.1%} to {gain['high']:.1%})" if math.isfinite(gain["low"]) else ""
            print(f"{result['metric']} is lower by {gain['mean']:.1%}{interval} than {method.replace('_', ' ')}")
    print(
        f"{summary['num_clips']} clips, {summary['model']['speakers']} speakers; best control: {summary['best_control']}"
    )
    for name, reason in result["left_out"].items():
        print(f"left out: {name} ({reason})")
    say_bad_clips(scores.get("model", {}))


def print_methods(result: dict[str, Any], shown: Sequence[str], what: str, width: int) -> None:
    """A row for each metric, a column for each method, and one for the model's interval; `width` counts where there is no terminal."""
    from rich.console import Console
    from rich.table import Table

    kind = "SYNTHETIC speech: measures the implementation, not people" if result["synthetic"] else "recordings"
    source = result.get("checkpoint", "motion files")
    table = Table(title=f"{result['run']} ({source}), {result['split']} split, {what}, {kind}")
    table.add_column("", no_wrap=True)
    for method in shown:
        table.add_column(method.replace("_", " "), justify="right")
        if method == "model":
            table.add_column("95 % over speakers", justify="right")
    for name in result["metrics"]:
        cells = []
        for method in shown:
            found = result["scores"][method].get(name)
            cells.append(number(found.get("mean", found.get("value", math.nan))) if found else "")
            if method == "model":
                cells.append(_interval(found or {}))
        table.add_row(name, *cells)
    console = Console()
    Console(width=console.width if console.is_terminal else width).print(table)


def number(value: float) -> str:
    """Four significant digits; tiny and huge numbers in powers of ten, a missing one as a dash."""
    return "-" if not math.isfinite(value) else f"{value:.4g}"


def _interval(found: dict[str, Any]) -> str:
    return f"{number(found['low'])} to {number(found['high'])}" if math.isfinite(found.get("low", math.nan)) else ""


def say_bad_clips(scores: dict[str, dict[str, Any]]) -> None:
    """The names of clips whose predictions are not finite, of one method's scores, to stderr."""
    bad = sorted({key for found in scores.values() for key in found.get("bad_clips", [])})
    if bad:
        print(f"predictions that are not finite: {', '.join(bad)}", file=sys.stderr)

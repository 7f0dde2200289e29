"""The table that score.py prints."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from metrics.intervals import too_few_speakers

# A pipe or a file has no width of its own; the widest row of six methods fits into this.
WIDTH = 176


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
            table.add_column("95 % over speakers", justify="right", no_wrap=True)
            table.add_column("as defined", justify="right")
            table.add_column("over")
    for name in result["metrics"]:
        cells = []
        for method in shown:
            found = result["scores"][method].get(name)
            cells.append(number(found.get("mean", found.get("value", math.nan))) if found else "")
            if method == "model":
                average = result["metrics"][name]["average"]
                cells += [interval(found), number(found["value"]), average] if found else ["", "", ""]
        table.add_row(name, *cells)
    console = Console()
    Console(width=console.width if console.is_terminal else width).print(table)
    print(
        "columns: means over a speaker's clips, then over speakers; as defined: the average that val/ and published numbers have"
    )
    speakers = max((found.get("speakers", 0) for found in result["scores"].get("model", {}).values()), default=0)
    too_few = too_few_speakers(speakers)
    if speakers and too_few:
        print(f"no intervals: {too_few}")


def number(value: float) -> str:
    """Four significant digits; tiny and huge numbers in powers of ten, a missing one as a dash."""
    return "-" if not math.isfinite(value) else f"{value:.4g}"


def interval(found: dict[str, Any], write: Callable[[float], str] = number) -> str:
    """Both ends of an interval; a dash where there are too few speakers, nothing for numbers that have none."""
    if "low" not in found:
        return ""
    return "-" if math.isnan(found["low"]) else f"{write(found['low'])} to {write(found['high'])}"


def say_bad_clips(scores: dict[str, dict[str, Any]]) -> None:
    """The names of clips whose predictions are not finite, of one method's scores, to stderr."""
    bad = sorted({key for found in scores.values() for key in found.get("bad_clips", [])})
    if bad:
        print(f"predictions that are not finite: {', '.join(bad)}", file=sys.stderr)

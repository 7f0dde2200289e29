"""What score.py prints of a pose run."""

from __future__ import annotations

import math
from typing import Any

from reports.score_table import WIDTH, number

SHOWN = (
    *("truth", "reconstruction", "model", "sampled", "greedy", "shuffled_speech", "random_style", "unknown_style"),
    *("template_copy", "random_retrieval", "still"),
)


def print_pose_table(result: dict[str, Any]) -> None:
    """Every metric of every method, with the model's interval; then meaning, information and recognition where there are any."""
    from rich.console import Console
    from rich.table import Table

    scores, summary = result["scores"], result["summary"]
    shown = [method for method in SHOWN if method in scores]
    kind = "SYNTHETIC speech: measures the implementation, not people" if result["synthetic"] else "recordings"
    table = Table(title=f"{result['run']} ({result['checkpoint']}), {result['split']} split, head motion, {kind}")
    table.add_column("", no_wrap=True)
    for method in shown:
        table.add_column(method.replace("_", " "), justify="right")
        if method == "model":
            table.add_column("95 % over speakers", justify="right")
    for name in result["metrics"]:
        cells = []
        for method in shown:
            found = scores[method].get(name, {})
            cells.append(number(found.get("mean", found.get("value", math.nan))) if found else "")
            if method == "model":
                finite = math.isfinite(found.get("low", math.nan))
                cells.append(f"{number(found['low'])} to {number(found['high'])}" if finite else "")
        table.add_row(name, *cells)
    console = Console()
    console = Console(width=console.width if console.is_terminal else WIDTH + 20)
    console.print(table)
    print(f"{summary['num_clips']} clips, {summary['num_speakers']} speakers; {result['averaging']}")
    _print_meaning(result.get("meaning", {}))
    for method, found in result.get("information", {}).items():
        print(
            f"units about codes, {method}: {found['plug_in']:.3f} nats, shuffled units {found['shuffled']:.3f} "
            f"(sd {found['shuffled_deviation']:.4f}), excess {found['excess']:.4f} of {found['entropy']:.2f}"
        )
    asked = result.get("recognition", {})
    for method, found in asked.items():
        if isinstance(found, dict):
            clips, five = found["clips"], found["clips_top_5"]
            print(
                f"recognised of {asked['speakers']} speakers, {method}: {clips['mean']:.1%} of clips ({clips['low']:.1%} to {clips['high']:.1%}), "
                f"among five {five['mean']:.1%}; from all held-out clips of a person {found['people']:.1%}"
            )


def _print_meaning(meaning: dict[str, dict[str, dict[str, float]]]) -> None:
    for method, gestures in meaning.items():
        said = [
            f"{name.replace('_', ' ')} {found['near']:.2f}/s near, {found['elsewhere']:.3f}/s elsewhere, {number(found['ratio'])}x "
            f"({number(found['low'])} to {number(found['high'])})"
            for name, found in gestures.items()
        ]
        print(f"{method}: {'; '.join(said)}")

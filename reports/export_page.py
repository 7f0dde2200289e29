"""One HTML file of what W&B exports say: settings that differ, last values, curves. No clips, so no intervals and no tests."""

from __future__ import annotations

from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.charts import Line, line_chart, swatch
from reports.report_page import PAGE, breakable, typeset
from reports.wandb_exports import ExportComparison, ExportedMethod


class Cell(NamedTuple):
    """A method's last values of one metric and their mean; `without` of its seeds have none."""

    mean: float
    values: list[float]
    without: int


def render_exports(comparison: ExportComparison, command: str) -> str:
    """The page, self-contained as that of scored runs."""
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": typeset, "breakable": breakable}
    rows = [(metric, [_cell(method, metric) for method in comparison.methods]) for metric in comparison.metrics]
    return environment.get_template("exports.html.j2").render(
        c=comparison,
        rows=rows,
        charts=[(metric, chart) for metric in comparison.metrics if (chart := _chart(comparison, metric))],
        swatches=[swatch(i) for i in range(len(comparison.methods))],
        command=command,
        style=Markup((PAGE / "report.css").read_text()),
    )


def _cell(method: ExportedMethod, metric: str) -> Cell | None:
    values = method.finals(metric)
    return Cell(sum(values) / len(values), values, len(method.runs) - len(values)) if values else None


def _chart(comparison: ExportComparison, metric: str) -> Markup:
    lines = []
    for style, method in enumerate(comparison.methods):
        for run in method.runs:
            points = run.curves.get(metric, [])
            lines.append(Line(f"{run.name}, seed {run.seed}", [s for s, _ in points], [v for _, v in points], style))
    return line_chart(metric, lines)

"""One HTML file of what W&B exports say: settings that differ, last values, curves. No clips, so no intervals and no tests."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.charts import Line, colour, line_chart
from reports.report_page import PAGE, breakable, typeset
from reports.wandb_exports import ExportComparison


def render_exports(comparison: ExportComparison, command: str) -> str:
    """The page, self-contained as that of scored runs."""
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": typeset, "breakable": breakable}
    rows = []
    for metric in comparison.metrics:
        cells = []
        for method in comparison.methods:
            values = method.finals(metric)
            cells.append((sum(values) / len(values), values) if values else None)
        rows.append((metric, cells))
    return environment.get_template("exports.html.j2").render(
        c=comparison,
        rows=rows,
        charts=[(metric, chart) for metric in comparison.metrics if (chart := _chart(comparison, metric))],
        colours=[colour(i) for i in range(len(comparison.methods))],
        command=command,
        style=Markup((PAGE / "report.css").read_text()),
    )


def _chart(comparison: ExportComparison, metric: str) -> Markup:
    lines = []
    for style, method in enumerate(comparison.methods):
        for run in method.runs:
            points = run.curves.get(metric, [])
            lines.append(Line(f"{run.name}, seed {run.seed}", [s for s, _ in points], [v for _, v in points], style))
    return line_chart(metric, lines)

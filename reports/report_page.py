"""One HTML file of a comparison: everything inline, so that it works from a mail, without a network, on a phone and on paper."""

from __future__ import annotations

import base64
import math
import re
import shlex
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from metrics.intervals import Interval
from reports.charts import Line, clip_chart, line_chart, swatch
from reports.comparison import Comparison, best_method, headline_of, seed_means
from reports.comparison_notes import checkpoints_of
from reports.entrants import Entrant, differing_settings
from reports.paired_tests import LEVEL
from reports.score_table import number

PAGE = Path(__file__).parent / "page"
CURVES = ("train/loss",)
MOST_SETTINGS = 60


def render(comparison: Comparison, command: str, video_mb: float = 30.0) -> str:
    """The page; at most `video_mb` megabytes of videos are embedded, and what is left out is said."""
    videos, left_out = _videos(comparison, video_mb)
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": typeset, "interval": interval, "p": p_value, "breakable": breakable}
    return environment.get_template("report.html.j2").render(
        c=comparison,
        command=command,
        style=Markup((PAGE / "report.css").read_text()),
        script=Markup((PAGE / "report.js").read_text()),
        headline=headline_of(comparison),
        headline_tests=[test for test in comparison.tests if test.metric == headline_of(comparison)],
        seed_means=seed_means(comparison, headline_of(comparison)),
        best={metric: best_method(comparison, metric) for metric in comparison.metrics},
        speakers=len({row["speaker"] for row in comparison.clips}),
        level=LEVEL,
        smallest_p=min((test.smallest_speakers for test in comparison.tests), default=math.nan),
        has_defined=any(math.isfinite(value) for of in comparison.defined.values() for value in of.values()),
        swatches={method.name: swatch(i) for i, method in enumerate(comparison.methods)},
        settings=_settings(comparison),
        curves=_curves(comparison),
        distributions=[(name, _distribution(comparison, name)) for name, m in comparison.metrics.items() if m.per_clip],
        videos=videos,
        videos_left_out=left_out,
        commands=[(method.name, [_commands(entrant) for entrant in method.entrants]) for method in comparison.methods],
    )


def typeset(value: float) -> str:
    """A number with true minus signs, after which no line is broken."""
    return number(value).replace("-", "\u2212")


def interval(found: Interval) -> str:
    """Both ends, or a dash where there are too few speakers for an interval."""
    return f"{typeset(found.low)} to {typeset(found.high)}" if math.isfinite(found.low) else "-"


def p_value(p: float) -> str:
    return "-" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def breakable(name: str) -> Markup:
    """A name that may go on in a new line after an underscore or a dot."""
    return Markup(re.sub(r"([_.])(?=\w)", r"\1<wbr>", str(escape(name))))


def _settings(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Key and each method's value, of the settings that are not the same everywhere."""
    of = [method.settings for method in comparison.methods]
    keys = differing_settings([settings for settings in of if settings])[:MOST_SETTINGS]
    rows = [(key, [_said(settings.get(key, "-")) if settings else "not known" for settings in of]) for key in keys]
    seeds = [", ".join(entrant.seed or "not known" for entrant in method.entrants) for method in comparison.methods]
    checkpoints = [checkpoints_of(method) or "-" for method in comparison.methods]
    return [*rows, ("run.seed", seeds), ("checkpoint scored", checkpoints)]


def _said(value: Any) -> str:
    return "empty" if value == "" else str(value)


def _curves(comparison: Comparison) -> list[tuple[str, Markup]]:
    """One chart for each validation metric that any run logged, and the training loss."""
    rows = [(i, method, entrant) for i, method in enumerate(comparison.methods) for entrant in method.entrants]
    names = sorted({name for _, _, e in rows for row in e.curves for name in row if name.startswith("val/")})
    charts = []
    for name in (*names, *CURVES):
        lines = []
        for style, method, entrant in rows:
            points = [(row["step"], row[name]) for row in entrant.curves if row.get(name) is not None]
            label = f"{method.name}, seed {entrant.seed}"
            lines.append(Line(label, [step for step, _ in points], [value for _, value in points], style))
        chart = line_chart(name, lines)
        if chart:
            charts.append((name, chart))
    return charts


def _distribution(comparison: Comparison, metric: str) -> Markup:
    rows = [(m.name, comparison.values[m.name][metric], i) for i, m in enumerate(comparison.methods)]
    return clip_chart(f"{metric} of every clip", rows)


def _videos(comparison: Comparison, most_mb: float) -> tuple[list[tuple[str, list[tuple[str, str]]]], int]:
    """For each clip that some run rendered: caption and data address of each method's newest video; and how many did not fit."""
    of = {method.name: _first_videos(method.entrants) for method in comparison.methods}
    keys = sorted(
        {key for videos in of.values() for key in videos}, key=lambda key: (-sum(key in v for v in of.values()), key)
    )
    left, omitted, shown = most_mb * 1e6, 0, []
    for key in keys:
        files = [(name, videos[key]) for name, videos in of.items() if key in videos]
        size = sum(file.stat().st_size * 4 / 3 for _, file in files)
        if size > left:
            omitted += len(files)
            continue
        left -= size
        shown.append((key, [(f"{name}, {file.parts[-3]}", _data_address(file)) for name, file in files]))
    return shown, omitted


def _first_videos(entrants: list[Entrant]) -> dict[str, Path]:
    """Of several seeds, the first that rendered a clip."""
    return {key: video for entrant in reversed(entrants) for key, video in entrant.videos().items()}


def _data_address(video: Path) -> str:
    return "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode()


def _commands(entrant: Entrant) -> dict[str, str]:
    start = entrant.starts[0] if entrant.starts else {}
    training = shlex.join(["python", *start["command"]]) if start.get("command") else ""
    ranks = int(start.get("ranks", 1))
    packages = start.get("packages", {})
    return {
        "folder": str(entrant.folder),
        "training": training,
        "commit": start.get("commit", ""),
        "uncommitted": "yes" if start.get("uncommitted_changes") else "",
        "machine": f"{ranks} rank{'s' * (ranks > 1)}, torch {packages.get('torch', 'not known')}" if start else "",
        "starts": str(len(entrant.starts)),
        "scoring": entrant.scores["command"],
        "checkpoint": entrant.scores.get("checkpoint_sha256", entrant.scores.get("motions_sha256", ""))[:12],
    }

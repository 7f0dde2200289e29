"""Charts as inline SVG: lines over training steps, and every clip of every method. Small, so that they stay readable on a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 34
# Okabe and Ito (2008): told apart by colour-blind readers; the dashes tell lines apart in a black and white print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#7f7f7f")
DASHES = ("", "6 3", "2 2", "8 3 2 3", "1 3", "10 4", "4 1", "12 3 2 3 2 3")
MOST_POINTS = 300
ROW = 44


@dataclass(frozen=True)
class Line:
    """One curve; `style` numbers colour and dashes."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]
    style: int


def colour(style: int) -> str:
    return COLOURS[style % len(COLOURS)]


def dashes(style: int) -> str:
    """Moved on by one each time that the colours come round, so that 64 styles are told apart by colour and dashes together."""
    return DASHES[(style + style // len(COLOURS)) % len(DASHES)]


def swatch(style: int) -> Markup:
    """What a legend shows of `style`: its line."""
    return Markup(
        '<svg class="swatch" viewBox="0 0 30 12" aria-hidden="true"><line x1="0" x2="30" y1="6" y2="6" stroke="{}" stroke-width="4" '
        'stroke-dasharray="{}"/></svg>'
    ).format(colour(style), dashes(style))


def line_chart(title: str, lines: Sequence[Line]) -> Markup:
    """`lines` over steps; points that are not finite are left out."""
    kept = [(line, points) for line in lines if (points := _points(line))]
    if not kept:
        return Markup("")
    every = np.array([point for _, points in kept for point in points])
    (x0, y0), (x1, y1) = every.min(0), every.max(0)
    across, up = _scale(x0, x1, LEFT, WIDTH - RIGHT), _scale(y0, y1, HEIGHT - BOTTOM, TOP)
    parts = [_grid(up, y0, y1, vertical=True), _grid(across, x0, x1, vertical=False)]
    parts.append(Markup('<text x="{}" y="{}" text-anchor="end">step</text>').format(WIDTH - RIGHT, HEIGHT - 4))
    for line, points in kept:
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        parts.append(
            Markup('<polyline points="{}" stroke="{}" stroke-dasharray="{}"><title>{}</title></polyline>').format(
                path, colour(line.style), dashes(line.style), line.name
            )
        )
    return _svg(title, HEIGHT, parts)


def clip_chart(title: str, rows: Sequence[tuple[str, Sequence[float], int]]) -> Markup:
    """A dot for every clip of each `(name, values, style)`, with the quartiles as a box and the median as a line."""
    finite = [(name, np.array([v for v in values if math.isfinite(v)]), style) for name, values, style in rows]
    every = np.concatenate([values for _, values, _ in finite]) if finite else np.zeros(0)
    if not len(every):
        return Markup("")
    height = ROW * len(finite) + BOTTOM
    across = _scale(float(every.min()), float(every.max()), 28, WIDTH - 28)
    parts = [_grid(across, float(every.min()), float(every.max()), vertical=False, height=height)]
    for number, (name, values, style) in enumerate(finite):
        top = ROW * number
        parts.append(Markup('<text x="12" y="{}" class="row">{}</text>').format(top + 13, _short(name)))
        parts.append(_dots(values, across, top + 20, colour(style)))
    return _svg(title, height, parts)


def _dots(values: np.ndarray, across: Scale, top: float, fill: str) -> Markup:
    if not len(values):
        return Markup("")
    # Spread in a fixed pattern, so that the same report is the same file.
    spread = (np.arange(len(values)) * 0.618034) % 1
    dots = Markup("").join(
        Markup('<circle cx="{}" cy="{}" r="2.2" fill="{}"/>').format(
            f"{across(v):.1f}", f"{top + 2 + 14 * s:.1f}", fill
        )
        for v, s in zip(values.tolist(), spread, strict=True)
    )
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    box = Markup('<rect x="{}" y="{}" width="{}" height="18" stroke="{}"/>').format(
        f"{across(low):.1f}", top, f"{across(high) - across(low):.1f}", fill
    )
    line = Markup('<line x1="{0}" x2="{0}" y1="{1}" y2="{2}" stroke="{3}" class="median"/>').format(
        f"{across(middle):.1f}", top, top + 18, fill
    )
    return dots + box + line


class Scale:
    """A linear map from numbers to positions; a range of one value is widened."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        margin = 0.0 if high > low else max(abs(low), 1.0) * 0.5
        self.low, self.span = low - margin, (high - low) or 2 * margin
        self.start, self.stop = start, stop

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / self.span * (self.stop - self.start)


def _scale(low: float, high: float, start: float, stop: float) -> Scale:
    return Scale(float(low), float(high), start, stop)


def _grid(scale: Scale, low: float, high: float, *, vertical: bool, height: float = HEIGHT) -> Markup:
    parts = []
    for tick in ticks(float(low), float(high)):
        at = f"{scale(tick):.1f}"
        if vertical:
            parts.append(
                Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" class="grid"/>').format(LEFT, WIDTH - RIGHT, at, at)
            )
            parts.append(
                Markup('<text x="{}" y="{}" dy="4" text-anchor="end">{}</text>').format(LEFT - 5, at, f"{tick:g}")
            )
        else:
            end = height - BOTTOM
            parts.append(Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" class="grid"/>').format(at, at, TOP, end))
            parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(at, end + 14, f"{tick:g}"))
    return Markup("").join(parts)


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers inside a range: multiples of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


def _points(line: Line) -> list[tuple[float, float]]:
    points = [(float(x), float(y)) for x, y in zip(line.steps, line.values, strict=True) if math.isfinite(y)]
    every = math.ceil(len(points) / MOST_POINTS)
    # The last point is what a reader looks for.
    return points if every <= 1 else [*points[:-1:every], points[-1]]


def _short(name: str, most: int = 52) -> str:
    return name if len(name) <= most else name[: most - 1] + "\u2026"


def _svg(title: str, height: float, parts: Sequence[Markup]) -> Markup:
    body = Markup("").join(parts)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, escape(title), body
    )

"""What a sweep is, after its file was read and checked: axes, seeds, metric, report, search."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SEED = "seed"
PLAIN_TEXT = re.compile(r"[A-Za-z0-9_./:@%+-]+")


class SweepError(ValueError):
    """A sweep cannot be read or run; the message lists every problem."""


@dataclass(frozen=True)
class Level:
    """One value of an axis: its label in tables and the overrides it stands for."""

    label: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Axis:
    """One dimension of the grid: a configuration key with its values, or a name with labelled variants."""

    name: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Metric:
    """The number that decides: logged name, `min` or `max`, read at its `best` or at the `last` validation."""

    name: str
    direction: Literal["min", "max"] = "min"
    at: Literal["best", "last"] = "best"

    def better(self, value: float, other: float) -> bool:
        return value < other if self.direction == "min" else value > other


@dataclass(frozen=True)
class Report:
    """How the table is laid out.

    Axes that are neither in `rows` nor in `columns` are averaged over, together with the seeds. `over` names the axis whose levels
    are the independent units (people, for example): values are averaged within a level first, and n counts levels. `metrics`
    are shown beside the deciding metric, read at the same step. `against` is a logged metric of the same trials, by how much of which the
    deciding one is better; `baseline` a level of the last axis of `rows`, of which the other levels' difference is shown. Both are paired.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    over: str = ""
    against: str = ""
    baseline: str = ""


@dataclass(frozen=True)
class Dimension:
    """One searched key: `float` and `log` from low to high, `int` from low to high, or one of `choice`'s levels."""

    name: str
    kind: Literal["float", "log", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True)
class Search:
    """A search instead of a grid: space, number of trials, hours after which no trial is started, and Optuna's parts by name."""

    space: tuple[Dimension, ...]
    trials: int
    hours: float | None = None
    sampler: dict[str, Any] = field(default_factory=lambda: {"kind": "tpe", "seed": 1})
    pruner: dict[str, Any] = field(default_factory=lambda: {"kind": "none"})
    storage: str = "journal"


@dataclass(frozen=True)
class Sweep:
    """A checked sweep. `overrides` hold for every trial; a command line's are merged into them. `first`: sweeps to be finished before."""

    name: str
    question: str
    experiment: str
    metric: Metric
    report: Report
    overrides: tuple[str, ...] = ()
    axes: tuple[Axis, ...] = ()
    seeds: tuple[int, ...] = (1,)
    search: Search | None = None
    slurm: dict[str, Any] = field(default_factory=dict)
    first: tuple[str, ...] = ()

    @property
    def logged(self) -> tuple[str, ...]:
        """The metrics that the table is made of, the deciding one first."""
        against = (self.report.against,) if self.report.against else ()
        return tuple(dict.fromkeys((self.metric.name, *self.report.metrics, *against)))

    @property
    def hash(self) -> str:
        """Eight hex digits of what decides which trials there are; reports, budgets and SLURM options may change in place."""
        kept = asdict(self)
        for name in ("question", "report", "metric", "slurm", "first"):
            del kept[name]
        if self.search is not None:
            kept["metric"] = asdict(self.metric)
            for name in ("trials", "hours", "pruner"):
                del kept["search"][name]
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def key_of(override: str) -> str:
    """`a.b` of `a.b=value`."""
    return override.split("=", 1)[0]


def as_override(key: str, value: Any) -> str:
    """`key=value` in the grammar that `train.py` reads; text that the grammar would split is quoted."""
    return f"{key}={format_value(value)}"


def format_value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ",".join(format_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{format_value(item)}" for name, item in value.items()) + "}"
    text = str(value)
    if isinstance(value, int | float) or PLAIN_TEXT.fullmatch(text):
        return text
    # In quoted text a backslash is an escape only where it stands before a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def with_overrides(sweep_overrides: tuple[str, ...], more: list[str]) -> tuple[str, ...]:
    """Overrides of which a later one replaces an earlier one of the same key, in the order of first appearance."""
    merged = {key_of(text): text for text in sweep_overrides}
    merged |= {key_of(text): text for text in more}
    return tuple(merged.values())

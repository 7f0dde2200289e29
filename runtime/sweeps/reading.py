"""From a sweep's YAML file to a `Sweep`, with every mistake in one message."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from runtime.compose import question_of
from runtime.sweeps.definition import (
    SEED,
    Axis,
    Dimension,
    Level,
    Metric,
    Report,
    Search,
    Sweep,
    SweepError,
    as_override,
    format_value,
    key_of,
    with_overrides,
)  # fmt: skip

KEYS = ("name", "question", "first", "experiment", "overrides", "grid", "seeds", "metric", "report", "search", "slurm")
SEARCH_KEYS = ("space", "trials", "hours", "sampler", "pruner", "storage")
SAMPLERS: dict[str, dict[str, type]] = {
    "tpe": {"seed": int, "startup_trials": int},
    "random": {"seed": int},
}
PRUNERS: dict[str, dict[str, type]] = {
    "none": {},
    "median": {"startup_trials": int, "warmup_steps": int},
    "hyperband": {"min_resource": int, "reduction_factor": int},
    "patient": {"patience": int, "min_delta": float},
}


def read_sweep(path: Path, overrides: list[str] | None = None, seeds: list[int] | None = None) -> Sweep:
    """Read and check a sweep file; `overrides` and `seeds` (of the command line) replace its own. Raises SweepError with all problems."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SweepError(f"cannot read the sweep file {path}: {error}") from error
    if not isinstance(values, dict):
        raise SweepError(
            f"{path} is not a sweep: expected a mapping with {', '.join(KEYS[3:])}; docs/SWEEPS.md has an example"
        )
    reader = _Reader()
    sweep = reader.sweep(values if seeds is None else {**values, "seeds": seeds}, path, overrides or [])
    if reader.problems:
        raise SweepError("\n".join(f"{path.name}: {problem}" for problem in reader.problems))
    return sweep


class _Reader:
    """Collects problems instead of raising, so that one run of the command tells all of them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def sweep(self, values: dict[str, Any], path: Path, more: list[str]) -> Sweep:
        self.known(values, KEYS, "")
        experiment = self.value(values, "experiment", str, None)
        fixed = self.overrides("overrides", values.get("overrides", []))
        self.overrides("the command line", more)
        axes = self.grid(self.value(values, "grid", dict, {}))
        search = self.search(values["search"]) if "search" in values else None
        if search is not None and axes:
            self.problems.append("has both grid and search; a sweep is one of them")
        if search is None and not axes and not self.problems:
            self.problems.append("has neither grid nor search; give grid: {key: [values]}")
        self.no_key_twice(axes, search, [*fixed, *more])
        sweep = Sweep(
            name=self.value(values, "name", str, path.stem),
            question=self.value(values, "question", str, question_of(path.stem, path.parent)),
            experiment=experiment or "",
            overrides=with_overrides(tuple(fixed), more),
            axes=axes,
            seeds=self.seeds(values.get("seeds", [1])),
            metric=self.metric(values.get("metric")),
            report=self.report(self.value(values, "report", dict, {}), axes),
            search=search,
            slurm=self.value(values, "slurm", dict, {}),
            first=self.first(values.get("first", [])),
        )
        if search is not None and len(sweep.seeds) > 1:
            self.problems.append(
                f"a search trains one seed a trial, received seeds {list(sweep.seeds)}; rerun the best as a grid over seeds"
            )
        return replace(sweep, seeds=sweep.seeds or (1,))

    def known(self, values: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
        for name in values:
            if name not in keys:
                self.problems.append(f"unknown key {where}{name}{nearest(str(name), keys)}; expected {', '.join(keys)}")

    def value(self, values: dict[str, Any], name: str, kind: type, default: Any, where: str = "") -> Any:
        given = values.get(name, default)
        allowed = (int, float) if kind is float else kind
        if name in values and (not isinstance(given, allowed) or isinstance(given, bool)):
            self.problems.append(f"{where}{name} is {given!r}; expected {_said(kind)}")
            return default
        if given is None and name not in values:
            self.problems.append(f"{where}{name} is missing; expected {_said(kind)}")
        return given

    def overrides(self, where: str, given: Any) -> list[str]:
        if not isinstance(given, list) or not all(isinstance(text, str) and "=" in text for text in given):
            self.problems.append(
                f"{where}: {given!r}; expected a list of key=value texts, such as [trainer.max_steps=500]"
            )
            return []
        return given

    def levels(self, name: str, given: Any) -> tuple[Level, ...]:
        """A list of values of a key, or labelled lists of overrides."""
        if isinstance(given, dict) and given:
            return tuple(
                Level(str(label), tuple(self.overrides(f"{name}.{label}", texts))) for label, texts in given.items()
            )
        if isinstance(given, list) and given:
            levels = tuple(Level(_label(value), (as_override(name, value),)) for value in given)
            if len({level.label for level in levels}) == len(levels):
                return levels
            self.problems.append(f"{name}: a value is there twice in {given}")
        else:
            self.problems.append(
                f"{name}: {given!r}; expected a list of values, or a mapping from labels to lists of key=value texts"
            )
        return ()

    def grid(self, given: dict[str, Any]) -> tuple[Axis, ...]:
        if SEED in given:
            self.problems.append("grid.seed: seeds have their own key, seeds: [1, 2, 3]")
        return tuple(Axis(str(name), self.levels(f"{name}", levels)) for name, levels in given.items())

    def seeds(self, given: Any) -> tuple[int, ...]:
        if (
            isinstance(given, list)
            and given
            and all(type(seed) is int for seed in given)
            and len(set(given)) == len(given)
        ):
            return tuple(given)
        self.problems.append(f"seeds is {given!r}; expected a list of different whole numbers")
        return ()

    def first(self, given: Any) -> tuple[str, ...]:
        if isinstance(given, list) and all(isinstance(name, str) for name in given):
            return tuple(given)
        self.problems.append(f"first is {given!r}; expected a list of sweeps that are finished before this one starts")
        return ()

    def metric(self, given: Any) -> Metric:
        values = {"name": given} if isinstance(given, str) else given
        if not isinstance(values, dict) or not isinstance(values.get("name"), str):
            self.problems.append(
                f"metric is {given!r}; expected {{name: val/lip_vertex_error_mm, direction: min}} with a name that metrics.jsonl has"
            )
            return Metric("")
        self.known(values, ("name", "direction", "at"), "metric.")
        self.one_of(values, "direction", ("min", "max"), "metric.")
        self.one_of(values, "at", ("best", "last"), "metric.")
        return Metric(values["name"], values.get("direction", "min"), values.get("at", "best"))

    def one_of(self, values: dict[str, Any], name: str, options: tuple[str, ...], where: str) -> None:
        if name in values and values[name] not in options:
            self.problems.append(f"{where}{name} is {values[name]!r}; expected one of {', '.join(options)}")

    def report(self, given: dict[str, Any], axes: tuple[Axis, ...]) -> Report:
        self.known(given, ("rows", "columns", "metrics", "over", "against", "baseline"), "report.")
        names = [axis.name for axis in axes]
        lists = {}
        for part in ("rows", "columns", "metrics"):
            value = given.get(part, [])
            lists[part] = tuple(str(v) for v in (value if isinstance(value, list) else [value]))
        over = self.value(given, "over", str, "", "report.")
        for name in (*lists["rows"], *lists["columns"], *([over] if over else [])):
            if name not in names:
                self.problems.append(
                    f"report: there is no axis {name!r}{nearest(name, names)}; axes are {', '.join(names)}"
                )
        shown = [*lists["rows"], *lists["columns"]]
        if len(set(shown)) < len(shown) or over in shown:
            self.problems.append("report: an axis stands in one place only: rows, columns or over")
        rows = lists["rows"] or tuple(n for n in names if n not in lists["columns"] and n != over)
        against = self.value(given, "against", str, "", "report.")
        if against and not axes:
            self.problems.append("report.against: a search has no cells whose means could be compared; leave it out")
        baseline = _label(given["baseline"]) if "baseline" in given else ""
        levels = [level.label for axis in axes if rows and axis.name == rows[-1] for level in axis.levels]
        if baseline and baseline not in levels:
            self.problems.append(
                f"report.baseline: {rows[-1] if rows else 'the table'} has no row {baseline!r}{nearest(baseline, levels)}; expected one of {', '.join(levels)}"
            )
        return Report(rows, lists["columns"], lists["metrics"], over, against, baseline)

    def search(self, given: Any) -> Search | None:
        if not isinstance(given, dict):
            self.problems.append(f"search is {given!r}; expected a mapping with {', '.join(SEARCH_KEYS)}")
            return None
        self.known(given, SEARCH_KEYS, "search.")
        space = self.value(given, "space", dict, None, "search.") or {}
        trials = self.value(given, "trials", int, None, "search.")
        if isinstance(trials, int) and trials < 1:
            self.problems.append(f"search.trials is {trials}; expected at least 1")
        hours = self.value(given, "hours", float, None, "search.") if "hours" in given else None
        return Search(
            space=tuple(d for name, value in space.items() if (d := self.dimension(str(name), value)) is not None),
            trials=trials or 1,
            hours=hours,
            sampler={"seed": 1, **self.part(given.get("sampler", "tpe"), SAMPLERS, "search.sampler")},
            pruner=self.part(given.get("pruner", "none"), PRUNERS, "search.pruner"),
            storage=self.value(given, "storage", str, "journal", "search."),
        )

    def part(self, given: Any, options: dict[str, dict[str, type]], where: str) -> dict[str, Any]:
        values = {"kind": given} if isinstance(given, str) else given
        if not isinstance(values, dict) or values.get("kind") not in options:
            self.problems.append(f"{where} is {given!r}; expected {{kind: ...}} with one of {', '.join(options)}")
            return {}
        kinds = options[values["kind"]]
        self.known(values, ("kind", *kinds), f"{where}.")
        for name, kind in kinds.items():
            if name in values:
                self.value(values, name, kind, None, f"{where}.")
        return dict(values)

    def dimension(self, name: str, given: Any) -> Dimension | None:
        kinds = ("float", "log", "int", "choice")
        if not isinstance(given, dict) or len(given) != 1 or (kind := next(iter(given))) not in kinds:
            self.problems.append(
                f"search.space.{name}: {given!r}; expected one of {{float|log|int: [low, high]}} or {{choice: [...]}}"
            )
            return None
        if kind == "choice":
            return Dimension(name, "choice", levels=self.levels(name, given[kind]))
        try:
            low, high = (float(bound) for bound in given[kind])
            whole = kind != "int" or (low.is_integer() and high.is_integer())
            if not (low < high and whole and (kind != "log" or low > 0)):
                raise ValueError
        except (TypeError, ValueError):
            self.problems.append(
                f"search.space.{name}: {kind} {given[kind]!r}; expected [low, high], low below high, for log above 0"
            )
            return None
        return Dimension(name, kind, low, high)

    def no_key_twice(self, axes: tuple[Axis, ...], search: Search | None, fixed: list[str]) -> None:
        """An axis whose key another axis or a fixed override sets as well would not vary what its label says."""
        owner: dict[str, str] = {"run.seed": "seeds"} | {key_of(text): "a fixed override" for text in fixed}
        owner |= {"run.folder": "the sweep (every trial has its own)"}
        # Others build on the runs of a single cell, and find them by seed.
        is_one_cell = search is None and all(len(axis.levels) == 1 for axis in axes)
        own = [t for t in fixed if is_one_cell and key_of(t) == "run.folder" and "${run.seed}" in t]
        if any(key_of(text) in ("run.seed", "run.folder") and text not in own for text in fixed):
            self.problems.append(
                "run.seed and run.folder are set by the sweep for every trial; remove them from the overrides "
                "(a grid of one cell may have run.folder=...${run.seed})"
            )
        parts = [(axis.name, axis.levels) for axis in axes]
        if search is not None:
            parts += [(d.name, d.levels or (Level("", (f"{d.name}=",)),)) for d in search.space]
        for name, levels in parts:
            keys = {key_of(text) for level in levels for text in level.overrides}
            for key in sorted(keys & owner.keys()):
                self.problems.append(f"axis {name}: {key} is set by {owner[key]} too; one of them must go")
            owner |= dict.fromkeys(keys, f"axis {name}")


def _label(value: Any) -> str:
    return str(value) if isinstance(value, str) else format_value(value)


def _said(kind: type) -> str:
    names: dict[type, str] = {str: "text", dict: "a mapping", int: "a whole number", float: "a number", list: "a list"}
    return names[kind]


def nearest(word: str, options: Any) -> str:
    close = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""

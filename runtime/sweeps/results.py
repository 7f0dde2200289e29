"""From a sweep's record to numbers: for every grid cell mean, standard deviation, n and a 95 % interval of every reported metric."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime.sweeps.definition import SEED, Metric, Sweep
from runtime.sweeps.folder import FINISHED, PENDING, Attempt, SweepFolder
from runtime.sweeps.metrics_tail import read_chosen
from runtime.sweeps.paired import difference, reduction, unit_means
from runtime.sweeps.summary import summarise


def metric_of(line: dict[str, Any] | None, metric: Metric) -> float | None:
    """The deciding number of a logged line, None where there is none."""
    value = line.get(metric.name) if line else None
    return None if value is None else float(value)


def results(folder: SweepFolder) -> dict[str, Any]:
    """All that is known of a sweep, as `results.json` holds it: every trial, and every cell's summary of every reported metric."""
    sweep, attempts = folder.sweep, folder.attempts()
    trials = [_trial(trial_id, attempt, sweep) for trial_id, attempt in attempts.items()]
    synthetic = {trial["synthetic"] for trial in trials if trial["synthetic"] is not None}
    return {
        "sweep": sweep.name,
        "question": sweep.question,
        "folder": str(folder.path),
        "metric": asdict(sweep.metric),
        "synthetic": True in synthetic if synthetic else None,
        "over": sweep.report.over or SEED,
        "cells": [] if sweep.search else [_cell(levels, trials, sweep) for levels in _cells(sweep)],
        "trials": trials,
    }


def best_trial(folder: SweepFolder) -> dict[str, Any] | None:
    """The finished trial with the best deciding metric."""
    metric = folder.sweep.metric
    trials = [t for t in results(folder)["trials"] if t["status"] == FINISHED and t["values"][metric.name] is not None]
    sign = 1 if metric.direction == "min" else -1
    return min(trials, key=lambda trial: sign * trial["values"][metric.name], default=None)


def _trial(trial_id: str, attempt: Attempt, sweep: Sweep) -> dict[str, Any]:
    end = attempt.end
    wanted = sweep.logged
    values = dict(end.get("values") or {}) if end.get("chosen_by") == asdict(sweep.metric) else {}
    if end.get("folder") and any(name not in values for name in wanted):  # metric or report were changed since
        values |= read_chosen(Path(end["folder"]), sweep.metric) or {}
    return {
        "trial": trial_id,
        "levels": attempt.start["levels"],
        "status": attempt.status if end else "cut off",
        "reason": end.get("reason", ""),
        "exit_code": end.get("exit_code"),
        "folder": end.get("folder"),
        "step": end.get("step"),
        "seconds": end.get("seconds"),
        "attempts": attempt.number,
        "synthetic": end.get("synthetic"),
        "values": {name: values.get(name) for name in wanted},
    }


def _cells(sweep: Sweep) -> list[dict[str, str]]:
    shown = [axis for name in (*sweep.report.rows, *sweep.report.columns) for axis in sweep.axes if axis.name == name]
    return [
        {axis.name: level.label for axis, level in zip(shown, levels, strict=True)}
        for levels in itertools.product(*(axis.levels for axis in shown))
    ]


def _cell(levels: dict[str, str], trials: list[dict[str, Any]], sweep: Sweep) -> dict[str, Any]:
    inside = _inside(levels, trials)
    finished = _finished(levels, trials)
    hidden = [len(axis.levels) for axis in sweep.axes if axis.name not in levels]
    absent = math.prod(hidden) * len(sweep.seeds) - len(inside)
    statuses = Counter(trial["status"] for trial in inside)
    if absent > 0:
        statuses[PENDING] = absent
    summaries = {name: summarise(_independent(finished, name, sweep.report.over))._asdict() for name in sweep.logged}
    cell = {"levels": levels, "statuses": dict(statuses), "metrics": summaries}
    if sweep.report.against:
        cell["reduction_percent"] = reduction(finished, sweep)._asdict()
    if sweep.report.baseline:
        base = levels | {sweep.report.rows[-1]: sweep.report.baseline}
        if base != levels:
            cell["minus_baseline"] = difference(finished, _finished(base, trials), sweep)._asdict()
    return cell


def _inside(levels: dict[str, str], trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [t for t in trials if all(t["levels"].get(name) == label for name, label in levels.items())]


def _finished(levels: dict[str, str], trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [trial for trial in _inside(levels, trials) if trial["status"] == FINISHED]


def _independent(trials: list[dict[str, Any]], metric: str, over: str) -> list[float]:
    return unit_means([(t, t["values"][metric]) for t in trials if t["values"][metric] is not None], over)

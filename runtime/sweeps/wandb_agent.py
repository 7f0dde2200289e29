"""Trials of a W&B sweep: hyper-parameters come as arguments, the trial's ranks are train.py's own business.

W&B's agent starts `python sweep.py trial FILE key=value ...` and ends it by SIGTERM; the run's id comes by the environment.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from runtime.sweeps.definition import SEED, Dimension, Level, Sweep, SweepError, key_of
from runtime.sweeps.folder import SweepFolder, open_sweep
from runtime.sweeps.launch import check
from runtime.sweeps.trials import Trial, make_trials

RUN_SEED = "run.seed"


def wandb_definition(sweep: Sweep, file: str, overrides: list[str], project: str = "persona-faces") -> str:
    """The YAML that `wandb sweep` registers: a grid over axes and seeds, or a Bayesian or random search of the same space.

    `overrides` are those of the command line; they go into the command, as the sweep file is read again by every trial. Optuna's
    pruners have no twin there but hyperband.
    """
    check(sweep)
    values: dict[str, Any] = {
        "program": "sweep.py",
        "name": sweep.name,
        "description": sweep.question,
        "project": project,
        "method": _method(sweep),
        "metric": {"name": sweep.metric.name, "goal": {"min": "minimize", "max": "maximize"}[sweep.metric.direction]},
        "parameters": {axis.name: {"values": _values(axis.levels)} for axis in sweep.axes},
        "command": [
            "${env}",
            "${interpreter}",
            "${program}",
            "trial",
            file,
            *(f"--fixed={text}" for text in overrides),
            "${args_no_hyphens}",
        ],
    }
    if len(sweep.seeds) > 1:
        values["parameters"][RUN_SEED] = {"values": list(sweep.seeds)}
    if sweep.search is not None:
        values["run_cap"] = sweep.search.trials
        values["parameters"] |= {d.name: _searched(d) for d in sweep.search.space}
        if sweep.search.pruner["kind"] == "hyperband":
            eta = sweep.search.pruner.get("reduction_factor", 3)
            values["early_terminate"] = {"type": "hyperband", "min_iter": 3, "eta": eta}
    head = f"# W&B sweep of {sweep.name}. Register it with `wandb sweep FILE`, then run `wandb agent ID` in the checkout on any machine.\n"
    return head + yaml.safe_dump(values, sort_keys=False, width=120)


def agent_trial(sweep: Sweep, arguments: list[str]) -> tuple[SweepFolder, Trial]:
    """The trial of an agent's `key=value` arguments: axes of the sweep by value or label, `run.seed`; its id is the W&B run's."""
    by_name: dict[str, tuple[Level, ...]] = {axis.name: axis.levels for axis in sweep.axes}
    if sweep.search is not None:
        by_name |= {d.name: d.levels for d in sweep.search.space}
    chosen: dict[str, Level] = {}
    seed = sweep.seeds[0]
    for text in arguments:
        name, value = key_of(text), text.partition("=")[2]
        if not value or (name == RUN_SEED and not value.lstrip("-").isdigit()):
            raise SweepError(f"{text!r} is not a hyper-parameter; expected key=value, run.seed with a whole number")
        if name == RUN_SEED:
            seed = int(value)
            continue
        same = [level for level in by_name.get(name, ()) if yaml.safe_load(level.label) == yaml.safe_load(value)]
        chosen[name] = same[0] if same else Level(value, (text,))
    trial_id = os.environ.get("WANDB_RUN_ID") or "-".join(
        [*(f"{n}={level.label}" for n, level in chosen.items()), f"{SEED}={seed}"]
    )
    trial = make_trials(sweep, [(Path(trial_id).name, chosen, seed)])[0]
    return open_sweep(sweep, trial.run_root), trial


def _method(sweep: Sweep) -> str:
    if sweep.search is None:
        return "grid"
    return "random" if sweep.search.sampler["kind"] == "random" else "bayes"


def _values(levels: tuple[Level, ...]) -> list[Any]:
    return [yaml.safe_load(level.label) for level in levels]


def _searched(dimension: Dimension) -> dict[str, Any]:
    if dimension.kind == "choice":
        return {"values": _values(dimension.levels)}
    if dimension.kind == "int":
        return {"distribution": "int_uniform", "min": int(dimension.low), "max": int(dimension.high)}
    kind = {"float": "uniform", "log": "log_uniform_values"}[dimension.kind]
    return {"distribution": kind, "min": dimension.low, "max": dimension.high}

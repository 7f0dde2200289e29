"""The trials of a sweep: a deterministic list, every configuration composed and checked before the first one starts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runtime.compose import ConfigError, compose
from runtime.run_folder import identity
from runtime.sweeps.definition import SEED, Level, Sweep, SweepError, as_override, key_of, with_overrides

EXPERIMENT = "experiment"


@dataclass(frozen=True)
class Trial:
    """One training: `train.py EXPERIMENT OVERRIDES`.

    `levels` says where it stands on each axis (and its seed); `identity` is equal for trials that would train in the same run folder.
    """

    id: str
    experiment: str
    overrides: tuple[str, ...]
    levels: dict[str, str]
    identity: str
    max_steps: int
    run_root: Path

    @property
    def label(self) -> str:
        return " ".join(f"{name}={label}" for name, label in self.levels.items())

    def compose(self) -> DictConfig:
        """The configuration that train.py would compose now. Raises ConfigError where files of experiments/ changed since."""
        return compose(self.experiment, self.overrides)


def grid_cells(sweep: Sweep) -> list[tuple[str, Mapping[str, Level], int]]:
    """(id, axis -> level, seed) of all trials of a grid: the last axis fast, seeds fastest."""
    cells = list(itertools.product(*(axis.levels for axis in sweep.axes)))
    width = max(3, len(str(len(cells) * len(sweep.seeds) - 1)))
    wanted: list[tuple[str, Mapping[str, Level], int]] = []
    for levels in cells:
        chosen = {axis.name: level for axis, level in zip(sweep.axes, levels, strict=True)}
        first = len(wanted)
        wanted += [(f"{first + k:0{width}d}", chosen, seed) for k, seed in enumerate(sweep.seeds)]
    return wanted


def grid_trials(sweep: Sweep) -> list[Trial]:
    """All trials of a grid. Raises SweepError with every problem of every trial."""
    return make_trials(sweep, grid_cells(sweep))


def make_trials(sweep: Sweep, wanted: Iterable[tuple[str, Mapping[str, Level], int]]) -> list[Trial]:
    """Trials of the given (id, axis -> level, seed); composes each."""
    problems: dict[str, list[str]] = {}
    trials: list[Trial] = []
    for trial_id, chosen, seed in wanted:
        levels = {name: level.label for name, level in chosen.items()} | {SEED: str(seed)}
        experiment, overrides = _command(sweep, chosen, seed)
        try:
            config = compose(experiment, overrides)
        except ConfigError as error:
            for line in str(error).splitlines():
                problems.setdefault(line, []).append(trial_id)
            continue
        # Neither corpus nor base is opened here, so their places stand for their fingerprints.
        places = [OmegaConf.select(config, key) for key in ("data.root", "base.run", "base.checkpoint")]
        same = identity(config, "\n".join(str(place) for place in places if place is not None))
        trials.append(
            Trial(trial_id, experiment, overrides, levels, same, config.trainer.max_steps, Path(config.run.root))
        )
    _no_trial_twice(trials, problems)
    if problems:
        count = len(trials) + len(
            {trial for ids in problems.values() for trial in ids} - {trial.id for trial in trials}
        )
        raise SweepError("\n".join(f"{line} ({_where(ids, count)})" for line, ids in problems.items()))
    return trials


def corner_trials(sweep: Sweep) -> list[Trial]:
    """Trials at both ends of every searched dimension and at every choice: if these compose, whatever a search draws does."""
    assert sweep.search is not None
    wanted = []
    for position in range(max(max(len(d.levels), 2) for d in sweep.search.space)):
        chosen = {}
        for d in sweep.search.space:
            ends = d.levels or tuple(level_of(sweep, d.name, end) for end in (d.low, d.high))
            chosen[d.name] = ends[position % len(ends)]
        wanted.append((f"corner-{position}", chosen, sweep.seeds[0]))
    return make_trials(sweep, wanted)


def level_of(sweep: Sweep, name: str, value: Any) -> Level:
    """The level that a drawn value of a searched dimension stands for; of a choice, `value` is the label."""
    assert sweep.search is not None
    dimension = next(d for d in sweep.search.space if d.name == name)
    if dimension.kind == "choice":
        return next(level for level in dimension.levels if level.label == value)
    if dimension.kind == "int":
        value = int(value)
    return Level(f"{value:.4g}" if isinstance(value, float) else str(value), (as_override(name, value),))


def _command(sweep: Sweep, chosen: Mapping[str, Level], seed: int) -> tuple[str, tuple[str, ...]]:
    varied = [text for level in chosen.values() for text in level.overrides]
    tags = [sweep.name, *(f"{name}={level.label}" for name, level in chosen.items())]
    own = [
        as_override("logger.group", sweep.name),
        as_override("logger.tags", [tag[:64] for tag in tags]),
    ]  # W&B's limit of a tag
    texts = with_overrides(tuple(own), [*sweep.overrides, *varied, as_override("run.seed", seed)])
    experiment = next((text.split("=", 1)[1] for text in texts if key_of(text) == EXPERIMENT), sweep.experiment)
    return experiment, tuple(text for text in texts if key_of(text) != EXPERIMENT)


def _no_trial_twice(trials: Sequence[Trial], problems: dict[str, list[str]]) -> None:
    first: dict[str, Trial] = {}
    for trial in trials:
        other = first.setdefault(trial.identity, trial)
        if other is not trial and not trial.id.startswith("corner"):
            problems.setdefault(
                f"trials {other.id} ({other.label}) and {trial.id} ({trial.label}) are the same training", []
            ).append(trial.id)


def _where(ids: list[str], count: int) -> str:
    if len(ids) == count and count > 1:
        return f"all {count} trials"
    return ("trial " if len(ids) == 1 else "trials ") + ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")

"""Sweep files by name, and a sweep written as one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from runtime.compose import EXPERIMENTS
from runtime.sweeps.definition import Level, Sweep, SweepError
from runtime.sweeps.reading import nearest

SWEEPS = EXPERIMENTS / "sweeps"


def sweep_names(root: Path = SWEEPS) -> list[str]:
    return sorted(path.stem for path in root.glob("*.yaml"))


def find_sweep_file(name_or_file: str, root: Path = SWEEPS) -> Path:
    """The file of a sweep that is named by itself or by the name of a file in experiments/sweeps."""
    if name_or_file.endswith(".yaml") or "/" in name_or_file:
        if not Path(name_or_file).is_file():
            raise SweepError(
                f"there is no sweep file {name_or_file}; `python sweep.py list` shows those of experiments/sweeps"
            )
        return Path(name_or_file)
    if name_or_file not in sweep_names(root):
        raise SweepError(
            f"no sweep {name_or_file!r}{nearest(name_or_file, sweep_names(root))}; there are: {', '.join(sweep_names(root))}"
        )
    return root / f"{name_or_file}.yaml"


def as_yaml(sweep: Sweep) -> str:
    """The sweep as a file that `read_sweep` reads back to an equal one: what a sweep's folder keeps."""

    def levels(name: str, of: tuple[Level, ...]) -> Any:
        return {level.label: list(level.overrides) for level in of}

    values: dict[str, Any] = {
        "name": sweep.name, "question": sweep.question, "experiment": sweep.experiment, "overrides": list(sweep.overrides),
        "metric": asdict(sweep.metric), "seeds": list(sweep.seeds),
    }  # fmt: skip
    if sweep.search is None:
        values["grid"] = {axis.name: levels(axis.name, axis.levels) for axis in sweep.axes}
        report = asdict(sweep.report)
        values["report"] = {name: list(v) if isinstance(v, tuple) else v for name, v in report.items() if v}
    else:
        search = asdict(sweep.search)
        search["space"] = {
            d.name: {d.kind: levels(d.name, d.levels) if d.kind == "choice" else [d.low, d.high]}
            for d in sweep.search.space
        }
        values["search"] = {name: value for name, value in search.items() if value is not None}
        values["report"] = {"metrics": list(sweep.report.metrics)}
    if sweep.first:
        values["first"] = list(sweep.first)
    if sweep.slurm:
        values["slurm"] = sweep.slurm
    return "# Resolved by sweep.py; the trials of this folder are these.\n" + yaml.safe_dump(
        values, sort_keys=False, width=120
    )

"""The ablations of adaptation: each level composes, and what is reported is over people."""

from pathlib import Path

import pytest

from runtime.compose import EXPERIMENTS
from runtime.sweeps.reading import read_sweep
from runtime.sweeps.trials import make_trials

FILES = sorted((EXPERIMENTS / "sweeps").glob("adaptation_*.yaml"))


def test_there_are_ablations_and_their_intervals_are_over_people() -> None:
    assert len(FILES) >= 8
    for file in FILES:
        sweep = read_sweep(file, [])
        people = next(axis for axis in sweep.axes if axis.name == "data.person")
        assert len(people.levels) >= (3 if file.stem == "adaptation_real" else 8), file.stem
        assert sweep.report.over == "data.person" or "data.person" in sweep.report.rows, file.stem


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_level_of_an_ablation_composes(file: Path) -> None:
    sweep = read_sweep(file, [])
    first = {axis.name: axis.levels[0] for axis in sweep.axes}
    wanted = [("first", first, 1)]
    wanted += [
        (f"{axis.name} {level.label}", first | {axis.name: level}, 1)
        for axis in sweep.axes
        if axis.name != "data.person"
        for level in axis.levels[1:]
    ]
    trials = make_trials(sweep, wanted)
    assert len({trial.identity for trial in trials}) == len(wanted) > 1

from pathlib import Path

import pytest
from sweep_helpers import make_search, make_sweep

from runtime.sweeps.definition import SweepError
from runtime.sweeps.files import find_sweep_file, sweep_names
from runtime.sweeps.launch import check
from runtime.sweeps.reading import read_sweep
from runtime.sweeps.trials import corner_trials, grid_trials


@pytest.mark.usefixtures("quick_configurations")
def test_the_list_is_the_product_of_axes_and_seeds_in_a_fixed_order(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, grid={"net.width": [8, 16], "m": {"a": [], "b": ["net.dropout=0.2"]}}, seeds=[1, 2])
    trials = grid_trials(sweep)
    assert [trial.label for trial in trials] == [
        f"net.width={w} m={m} seed={s}" for w in (8, 16) for m in "ab" for s in (1, 2)
    ]  # fmt: skip
    assert [trial.id for trial in trials] == [f"{n:03d}" for n in range(8)]
    assert len({trial.identity for trial in trials}) == 8


@pytest.mark.usefixtures("quick_configurations")
def test_a_trial_is_grouped_and_tagged_for_the_dashboard(tmp_path: Path) -> None:
    trial = grid_trials(make_sweep(tmp_path))[0]
    assert "logger.group=small" in trial.overrides
    assert "logger.tags=[small,'net.width=8']" in trial.overrides
    own = grid_trials(make_sweep(tmp_path, ("logger.group=mine",)))[0]
    assert "logger.group=mine" in own.overrides and "logger.group=small" not in own.overrides


def test_adaptations_of_two_bases_are_two_trials(tmp_path: Path) -> None:
    own = ("experiment=molora_adaptation",)
    sweep = make_sweep(tmp_path, grid={"base": {"a": [*own, "base.run=A"], "b": [*own, "base.run=B"]}})
    assert len({trial.identity for trial in grid_trials(sweep)}) == 2


@pytest.mark.usefixtures("quick_configurations")
def test_an_axis_can_be_the_experiment(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, grid={"method": {"small": [], "demo": ["experiment=demo", "net.blocks=1"]}})
    trials = grid_trials(sweep)
    assert [trial.experiment for trial in trials] == ["expression_pretraining", "demo"]
    assert not any(text.startswith("experiment=") for trial in trials for text in trial.overrides)


def test_problems_of_all_trials_come_at_once_and_each_once(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, ("trainer.max_stpes=3",), grid={"net.width": [8, "wide"], "net.blocks": [1]})
    with pytest.raises(SweepError) as error:
        grid_trials(sweep)
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    assert "trainer.max_stpes" in lines[0] and "all 2 trials" in lines[0]
    assert "net.width='wide'" in lines[1] and "trial 001" in lines[1]


def test_one_training_cannot_stand_in_two_cells(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, grid={"m": {"a": [], "default": ["net.width=128"]}})
    with pytest.raises(SweepError, match="are the same training"):
        grid_trials(sweep)


def test_the_ends_of_a_search_space_are_checked_before_anything_is_drawn(tmp_path: Path) -> None:
    good = make_search(tmp_path)
    assert {trial.levels["net.width"] for trial in corner_trials(good)} == {"8", "64"}
    bad = make_search(tmp_path, space={"net.widht": {"int": [8, 64]}, "net.blocks": {"choice": [1, "two"]}})
    with pytest.raises(SweepError, match=r"net\.widht(.|\n)*net\.blocks='two'"):
        corner_trials(bad)


@pytest.mark.slow
@pytest.mark.parametrize("name", sweep_names())
def test_every_trial_of_the_shipped_sweeps_composes(name: str) -> None:
    assert check(read_sweep(find_sweep_file(name)))

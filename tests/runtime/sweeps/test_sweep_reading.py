import json
from pathlib import Path

import pytest
from sweep_helpers import GRID, METRIC, make_search, make_sweep

from runtime.compose import compose
from runtime.sweeps.definition import Level, Metric, SweepError, as_override
from runtime.sweeps.files import SWEEPS, as_yaml, find_sweep_file, sweep_names
from runtime.sweeps.reading import read_sweep
from runtime.sweeps.trials import grid_trials


def read(folder: Path, values: object, *overrides: str) -> str:
    """The message with which a sweep of these values is refused."""
    file = folder / "bad.yaml"
    file.write_text(json.dumps(values))
    with pytest.raises(SweepError) as error:
        read_sweep(file, list(overrides))
    return str(error.value)


def test_a_file_becomes_axes_seeds_and_a_metric(tmp_path: Path) -> None:
    grid = {"net.width": [8, 16], "method": {"none": [], "tuned": ["net.dropout=0.3", "task.optimizer.lr=1e-3"]}}
    sweep = make_sweep(tmp_path, grid=grid, seeds=[1, 2], metric={"name": METRIC, "direction": "max", "at": "last"})
    assert sweep.question == "Which is better?" and sweep.name == "small"
    assert sweep.axes[0].levels == (Level("8", ("net.width=8",)), Level("16", ("net.width=16",)))
    assert sweep.axes[1].levels[1] == Level("tuned", ("net.dropout=0.3", "task.optimizer.lr=1e-3"))
    assert sweep.metric == Metric(METRIC, "max", "last") and sweep.seeds == (1, 2)
    assert sweep.report.rows == ("net.width", "method")


@pytest.mark.parametrize("kind", ["grid", "search"])
def test_the_resolved_file_reads_back_to_the_same_sweep(kind: str, tmp_path: Path) -> None:
    if kind == "grid":
        grid = {
            "net.width": [8, 16],
            "data.reference_frames": [[10, 20], [20, 40]],
            "m": {"a": [], "b": ["net.dropout=0.2"]},
        }
        report = {"rows": ["m"], "over": "net.width", "metrics": ["val/loss"]}
        sweep = make_sweep(tmp_path, ("run.label='two words'",), grid=grid, report=report, slurm={"time": "01:00:00"})
    else:
        sweep = make_search(tmp_path, hours=1.5, pruner={"kind": "patient", "patience": 3}, storage="sqlite:///x.db")
    (tmp_path / "resolved.yaml").write_text(as_yaml(sweep))
    again = read_sweep(tmp_path / "resolved.yaml")
    assert again == sweep and again.hash == sweep.hash


def test_the_hash_follows_what_is_trained_not_how_it_is_reported(tmp_path: Path) -> None:
    base = make_sweep(tmp_path)
    assert make_sweep(tmp_path, report={"metrics": ["val/loss"]}, slurm={"time": "1"}).hash == base.hash
    assert make_sweep(tmp_path, seeds=[1, 2]).hash != base.hash
    assert make_sweep(tmp_path, ("net.dropout=0.3",)).hash != base.hash
    assert make_search(tmp_path, trials=9).hash == make_search(tmp_path, trials=90).hash


def test_seeds_of_the_command_line_replace_the_files_and_make_the_sweep_that_a_file_with_them_would_be(
    tmp_path: Path,
) -> None:
    whole = make_sweep(tmp_path, seeds=[1, 2])
    quick = read_sweep(tmp_path / "small.yaml", [f"run.root={tmp_path / 'runs'}"], seeds=[2])
    assert (quick.seeds, quick.axes, quick.name) == ((2,), whole.axes, whole.name)
    assert quick.hash == make_sweep(tmp_path, seeds=[2]).hash != whole.hash
    with pytest.raises(SweepError, match=r"seeds is \[2, 2\]"):
        read_sweep(tmp_path / "small.yaml", seeds=[2, 2])


def test_all_mistakes_come_in_one_message(tmp_path: Path) -> None:
    values = {
        "experiment": 7, "gird": {}, "grid": {"net.width": 8, "net.blocks": [1, 1]}, "seeds": [1, 1], "overrides": ["net.dropout"],
        "metric": {"name": METRIC, "direction": "minimise", "mode": 1}, "report": {"rows": ["net.widht"]},
    }  # fmt: skip
    said = read(tmp_path, values)
    for part in (
        "experiment is 7; expected text", "'grid'?", "net.width: 8; expected a list", "net.blocks: a value is there twice", "seeds is [1, 1]",
        "overrides: ['net.dropout']", "direction is 'minimise'", "metric.mode", "no axis 'net.widht' (did you mean 'net.width'?)",
    ):  # fmt: skip
        assert part in said, part


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grid": {}}, "neither grid nor search"),
        ({"search": {"space": {}, "trials": 2}}, "both grid and search"),
        ({"metric": None}, "metric is None"),
        ({"grid": {"seed": [1]}}, "seeds have their own key"),
        ({"overrides": ["net.width=4"]}, "net.width is set by a fixed override too"),
        ({"grid": {"net.width": [4], "m": {"a": ["net.width=8"]}}}, "net.width is set by axis net.width too"),
        ({"overrides": ["run.folder=x"]}, "run.seed and run.folder are set by the sweep"),
        ({"report": {"rows": ["net.width"], "over": "net.width"}}, "one place only"),
    ],
)
def test_contradictions_are_refused(change: dict, said: str, tmp_path: Path) -> None:
    assert said in read(tmp_path, {**GRID, **change})


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"trials": 0}, "trials is 0"),
        ({"space": {"net.width": [1, 2]}}, "search.space.net.width"),
        ({"space": {"net.width": {"log": [0, 1]}}}, "above 0"),
        ({"space": {"net.width": {"int": [1.5, 3]}}}, "int [1.5, 3]"),
        ({"sampler": "gp"}, "search.sampler is 'gp'"),
        ({"pruner": {"kind": "median", "patience": 3}}, "search.pruner.patience"),
        ({"budget": 3}, "unknown key search.budget"),
    ],
)
def test_a_bad_search_is_refused(search: dict, said: str, tmp_path: Path) -> None:
    whole = {"space": {"net.width": {"int": [8, 16]}}, "trials": 3, **search}
    assert said in read(tmp_path, {"experiment": "expression_pretraining", "metric": METRIC, "search": whole})


def test_a_search_has_one_seed(tmp_path: Path) -> None:
    search = {"space": {"net.width": {"int": [8, 16]}}, "trials": 3}
    values = {"experiment": "expression_pretraining", "metric": METRIC, "search": search, "seeds": [1, 2]}
    assert "one seed a trial" in read(tmp_path, values)


def test_the_command_line_replaces_fixed_overrides_but_no_axis(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, ("net.dropout=0.5",), overrides=["net.dropout=0.1", "net.blocks=1"])
    assert sweep.overrides[:2] == ("net.dropout=0.5", "net.blocks=1")
    assert "net.width is set by a fixed override" in read(tmp_path, GRID, "net.width=4")


@pytest.mark.parametrize("text", ["plain", "two words", "it's", "a=b,c", "a\\b", "[x]", "{y: 1}"])
def test_any_text_survives_the_override_grammar(text: str) -> None:
    assert compose("expression_pretraining", [as_override("run.label", text)]).run.label == text


@pytest.mark.parametrize("value", [True, 3, 1e-05, 0.25])
def test_values_keep_their_type(value: object) -> None:
    key = {True: "data.augment", 3: "net.blocks"}.get(value, "task.optimizer.lr")  # type: ignore[call-overload]
    config = compose("expression_pretraining", [as_override(key, value)])
    for part in key.split("."):
        config = config[part]
    assert config == value and type(config) is type(value)


def test_a_missing_sweep_names_its_neighbours() -> None:
    assert find_sweep_file("infrastructure_check") == SWEEPS / "infrastructure_check.yaml"
    with pytest.raises(SweepError, match="did you mean 'infrastructure_check'"):
        find_sweep_file("infrastructure_chek")
    with pytest.raises(SweepError, match="no sweep file"):
        find_sweep_file("nowhere/at_all.yaml")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1", "\x00"])
def test_a_file_that_is_no_sweep_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(SweepError, match=r"odd\.yaml"):
        read_sweep(tmp_path / "odd.yaml")


@pytest.mark.parametrize("name", sweep_names())
def test_every_shipped_sweep_file_asks_a_question_and_reads(name: str) -> None:
    sweep = read_sweep(find_sweep_file(name))
    assert sweep.question.split("?")[0] != sweep.question, "the first comment is the question that the sweep answers"


def test_a_grid_of_one_cell_may_place_its_runs_by_seed_and_a_larger_one_may_not(tmp_path: Path) -> None:
    text = '# Where?\nexperiment: demo\noverrides: ["run.folder=priors/${run.seed}"]\ngrid: {net.width: [%s]}\nmetric: val/loss\n'
    (tmp_path / "one.yaml").write_text(text % "8")
    (tmp_path / "two.yaml").write_text(text % "8, 16")
    trials = grid_trials(read_sweep(tmp_path / "one.yaml"))
    assert compose(trials[0].experiment, trials[0].overrides).run.folder == "priors/1"
    with pytest.raises(SweepError, match=r"run\.folder are set by the sweep"):
        read_sweep(tmp_path / "two.yaml")


def test_sweeps_to_be_run_before_are_kept_in_the_resolved_file_and_do_not_change_which_trials_there_are(
    tmp_path: Path,
) -> None:
    text = "# What?\nexperiment: demo\ngrid: {net.width: [8]}\nmetric: val/loss\n"
    (tmp_path / "plain.yaml").write_text(text + "name: both\n")
    (tmp_path / "built.yaml").write_text(text + "name: both\nfirst: [infrastructure_check]\n")
    plain, built = read_sweep(tmp_path / "plain.yaml"), read_sweep(tmp_path / "built.yaml")
    assert built.first == ("infrastructure_check",) and plain.first == () and built.hash == plain.hash
    (tmp_path / "again.yaml").write_text(as_yaml(built))
    assert read_sweep(tmp_path / "again.yaml").first == built.first
    (tmp_path / "wrong.yaml").write_text(text + "first: 3\n")
    with pytest.raises(SweepError, match="first is 3; expected a list of sweeps"):
        read_sweep(tmp_path / "wrong.yaml")

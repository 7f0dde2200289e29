import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sweep_helpers import (
    FAKE,
    HERE,
    METRIC,
    PATIENCE_S,
    ROOT,
    make_search,
    make_sweep,
    processes_mentioning,
    starts,
    wait_until,
)

from runtime.sweeps.definition import SweepError
from runtime.sweeps.folder import existing_sweep
from runtime.sweeps.launch import run_trial
from runtime.sweeps.results import results
from runtime.sweeps.wandb_agent import agent_trial, wandb_definition

pytestmark = pytest.mark.usefixtures("quick_configurations")
GRID = {"net.width": [8, 16], "method": {"none": [], "tuned": ["net.dropout=0.3", "net.blocks=1"]}}


def command_of(definition: dict, parameters: dict) -> list[str]:
    """What W&B's agent makes of a definition, by its own code."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    macros = create_sweep_command_args({"args": {name: {"value": value} for name, value in parameters.items()}})
    macros |= {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [definition["program"]]}
    return [
        word
        for part in create_sweep_command(definition["command"])
        for word in macros.get(str(part)[2:-1], [str(part)])
    ]


def test_a_grid_becomes_a_definition_whose_trials_cover_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = make_sweep(tmp_path, grid=GRID, seeds=[1, 2])
    definition = yaml.safe_load(wandb_definition(sweep, "small.yaml", ["data.root=elsewhere"]))
    assert definition["method"] == "grid" and definition["metric"] == {"name": METRIC, "goal": "minimize"}
    assert definition["parameters"] == {
        "net.width": {"values": [8, 16]}, "method": {"values": ["none", "tuned"]}, "run.seed": {"values": [1, 2]},
    }  # fmt: skip
    command = command_of(definition, {"net.width": 16, "method": "tuned", "run.seed": 2})
    assert command[:5] == ["/usr/bin/env", "python", "sweep.py", "trial", "small.yaml"]
    assert command[5:] == ["--fixed=data.root=elsewhere", "net.width=16", "method=tuned", "run.seed=2"]
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    _, trial = agent_trial(sweep, command[6:])
    assert trial.id == "abc123" and trial.levels == {"net.width": "16", "method": "tuned", "seed": "2"}
    assert {"net.width=16", "net.dropout=0.3", "net.blocks=1", "run.seed=2"} <= set(trial.overrides)


def test_a_search_keeps_its_space_budget_and_early_stopping(tmp_path: Path) -> None:
    space = {
        "net.width": {"int": [8, 64]}, "task.optimizer.lr": {"log": [1e-4, 1e-2]}, "net.dropout": {"float": [0, 0.5]},
        "net.blocks": {"choice": [1, 2]},
    }  # fmt: skip
    sweep = make_search(tmp_path, space=space, trials=9, pruner={"kind": "hyperband", "reduction_factor": 4})
    definition = yaml.safe_load(wandb_definition(sweep, "search.yaml", []))
    assert definition["method"] == "bayes" and definition["run_cap"] == 9
    assert definition["early_terminate"] == {"type": "hyperband", "min_iter": 3, "eta": 4}
    assert definition["parameters"] == {
        "net.width": {"distribution": "int_uniform", "min": 8, "max": 64},
        "task.optimizer.lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
        "net.dropout": {"distribution": "uniform", "min": 0.0, "max": 0.5},
        "net.blocks": {"values": [1, 2]},
    }


@pytest.mark.parametrize(("text", "label"), [("data.augment=True", "true"), ("data.augment=false", "false")])
def test_values_written_as_python_writes_them_find_their_cell(text: str, label: str, tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, grid={"data.augment": [True, False]})
    assert agent_trial(sweep, [text])[1].levels["data.augment"] == label


def test_a_hyper_parameter_that_the_file_does_not_name_is_an_override(tmp_path: Path) -> None:
    _, trial = agent_trial(make_sweep(tmp_path), ["net.width=8", "net.dropout=0.25"])
    assert "net.dropout=0.25" in trial.overrides and trial.levels["net.dropout"] == "0.25"


@pytest.mark.parametrize("arguments", [["run.seed=two"], ["net.width"]])
def test_arguments_that_are_no_settings_are_refused(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"run\.seed=two|net\.width"):
        agent_trial(make_sweep(tmp_path), arguments)


def test_the_trial_keeps_the_agents_run_and_counts_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = make_sweep(tmp_path)
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep9")
    folder, trial = agent_trial(sweep, ["net.width=16"])
    assert run_trial(folder, trial, command=FAKE, of_agent=True) == 0
    environment = starts(tmp_path / "runs")[0]["environment"]
    assert environment["WANDB_RUN_ID"] == "abc123" and environment["WANDB_SWEEP_ID"] == "sweep9"
    assert [cell["statuses"] for cell in results(folder)["cells"]] == [{"pending": 1}, {"finished": 1}]


def test_an_agents_sigterm_stops_the_whole_trial_for_good(tmp_path: Path) -> None:
    make_sweep(tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}", "WANDB_RUN_ID": "abc123"}
    fixed = [f"--fixed=run.root={tmp_path / 'runs'}", "--fixed=run.label=grandchild", "--fixed=trainer.max_steps=900"]
    agents_child = subprocess.Popen(
        [sys.executable, str(HERE / "sweep_with_fake.py"), "agent", str(tmp_path / "small.yaml"), *fixed, "net.width=8"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: list((tmp_path / "runs").glob("fake-*/metrics.jsonl")))
    session = {start["pid"] for start in starts(tmp_path / "runs")}
    agents_child.send_signal(signal.SIGTERM)  # W&B's agent signals only its direct child
    assert agents_child.wait(timeout=PATIENCE_S) == 0
    assert not processes_mentioning(str(tmp_path)), f"processes of session {session} are left"
    attempts = existing_sweep("small", tmp_path / "runs").attempts()
    assert {name: (a.status, a.end["exit_code"]) for name, a in attempts.items()} == {"abc123": ("stopped", 143)}

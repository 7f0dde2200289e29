import json
import subprocess
import sys
from pathlib import Path

import pytest

import sweep
from runtime.sweeps.files import sweep_names

ROOT = Path(__file__).resolve().parents[1]


def test_the_list_has_every_sweep_file_with_its_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sweep_names() and all("?" in line for line in lines)


@pytest.mark.parametrize("command", [[], ["table"], ["trial"], ["wandb"], ["sync"]])
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        sweep.main([*command, "--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0 and "usage: sweep.py" in said
    if not command:
        assert "width_and_learning_rate" in said and "sweep.py sync" in said


def test_mistakes_are_told_all_at_once_before_torch_is_imported_and_before_anything_is_written(tmp_path: Path) -> None:
    file = tmp_path / "typos.yaml"
    file.write_text(
        "# Does it see the typos?\nexperiment: expression_pretraining\ngrid: {net.widht: [8, 16]}\nmetric: val/loss\n"
    )
    command = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import sweep; code = sweep.main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, str(ROOT), str(file), "trainer.max_stpes=3"], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "'net.width'" in done.stderr and "'trainer.max_steps'" in done.stderr and "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["typos.yaml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "no sweep 'nosuch'"),
        (["table", "nosuch"], "no sweep folder 'nosuch'"),
        (["trial", "nosuch", "3"], "no sweep folder"),
        (["wandb", "nosuch"], "no sweep 'nosuch'"),
        (["sync", "."], "neither a run folder"),
    ],
)
def test_what_does_not_exist_is_one_message_and_status_2(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sweep.main(arguments) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["infrastructure_check", "--jobs", "0"],
        ["infrastructure_check", "--launcher", "pbs"],
        ["infrastructure_check", "--seeds", "1,x"],
        [],
    ],
)
def test_bad_options_are_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        sweep.main(arguments)
    assert end.value.code == 2 and "usage: sweep.py" in capsys.readouterr().err


def test_the_table_of_an_unfinished_sweep_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from runtime.sweeps.files import find_sweep_file
    from runtime.sweeps.folder import open_sweep
    from runtime.sweeps.reading import read_sweep

    monkeypatch.chdir(tmp_path)
    folder = open_sweep(read_sweep(find_sweep_file("loss_terms")), Path("runs"))
    assert sweep.main(["table", "loss_terms"]) == 0
    assert "3 pending" in capsys.readouterr().out
    assert len(json.loads((folder.path / "results.json").read_text())["cells"]) == 7


def test_the_wandb_definition_is_written_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "definition.yaml"
    assert sweep.main(["wandb", "optimizer_search", "--out", str(out), "data.root=elsewhere"]) == 0
    assert f"wandb sweep {out}" in capsys.readouterr().out
    assert "early_terminate" not in out.read_text() and "--fixed=data.root=elsewhere" in out.read_text()


def test_an_upload_can_be_looked_at_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment = tmp_path / "wandb" / "offline-run-20260101_000000-abc"
    segment.mkdir(parents=True)
    assert sweep.main(["sync", "--dry-run", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(segment)


@pytest.mark.parametrize(
    ("settled", "status", "done"),
    [
        (False, 0, ["paper_table_priors", "paper_table"]),
        (True, 0, ["paper_table"]),
        (False, 1, ["paper_table_priors"]),
    ],
)
def test_sweeps_that_come_first_are_run_where_anything_of_them_is_missing_and_must_succeed(
    settled: bool, status: int, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr("runtime.sweeps.launch.is_settled", lambda each: settled)
    monkeypatch.setattr("runtime.sweeps.launch.run_local", lambda each, *rest: ran.append(each.name) or status)
    assert sweep.main(["paper_table", "run.root=elsewhere"]) == status and ran == done


def test_slurm_gets_what_comes_first_and_with_the_same_command_again_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submitted = []
    monkeypatch.setattr("runtime.sweeps.slurm.submit", lambda each, jobs: submitted.append(each.name) or 0)
    for settled in (False, True):
        monkeypatch.setattr("runtime.sweeps.launch.is_settled", lambda each, settled=settled: settled)
        assert sweep.main(["paper_table", "--launcher", "slurm"]) == 0
    assert submitted == ["paper_table_priors", "paper_table"]
    assert "the same command submits the rest" in capsys.readouterr().out

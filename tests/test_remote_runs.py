"""The verbs with a corpus behind an address."""

import json
from pathlib import Path

import pytest
import torch
from faulty_server import FaultyServer
from omegaconf import OmegaConf
from tiny_runs import train_tiny

import prepare
import score
from runtime.checkpoint_io import load_checkpoint


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_an_address_is_checked_like_a_folder(made_up_corpus: Path, capsys) -> None:
    with FaultyServer(made_up_corpus) as server:
        assert prepare.main(["check", server.url]) == 0
        assert server.url in capsys.readouterr().out
        assert prepare.main(["check", f"{server.url}/nothing"]) == 2
    error = capsys.readouterr().err
    assert "nothing/manifest.json" in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_run_over_http_ends_with_the_weights_of_the_run_on_the_folder(
    made_up_corpus: Path, tiny_run: Path, tmp_path: Path
) -> None:
    with FaultyServer(made_up_corpus) as server:
        server.faults["train-000000.tar"].append("drop")
        remote = train_tiny(Path("unused"), tmp_path / "remote", f"data.root={server.url}", "data.workers=1")
        local = load_checkpoint(tiny_run / "checkpoints" / "step-00000006.ckpt")["state_dict"]
        fetched = load_checkpoint(remote / "checkpoints" / "step-00000006.ckpt")["state_dict"]
        assert local.keys() == fetched.keys()
        assert all(torch.equal(local[name], fetched[name]) for name in local)
        run_hashes = {json.loads((run / "data.json").read_text())["run_hash"] for run in (tiny_run, remote)}
        assert len(run_hashes) == 1
        assert score.main([str(tiny_run), "--data", server.url, "--out", str(tmp_path / "remote.json")]) == 0
    assert score.main([str(tiny_run), "--out", str(tmp_path / "local.json")]) == 0
    over_http, on_disk = (json.loads((tmp_path / name).read_text()) for name in ("remote.json", "local.json"))
    assert over_http["clips"] and over_http["clips"] == on_disk["clips"]


def test_a_command_that_only_stands_in_a_run_folder_is_not_run(tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    run.mkdir()
    root = f"pipe:touch {tmp_path}/was-run; cat {{}}"
    OmegaConf.save({"run": {"name": "x"}, "data": {"root": root}}, run / "config.yaml")
    (run / "data.json").write_text(json.dumps({"run_hash": "0", "facts": {}}))
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").touch()
    assert score.main([str(run)]) == 2
    assert "give it again: --data" in capsys.readouterr().err
    assert not (tmp_path / "was-run").exists()

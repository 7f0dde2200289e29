"""Training with W&B beside it: what a run shows, and that nothing W&B does changes a run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from stub_wandb import StubWandb, fail, hang
from tiny_runs import TINY, train_tiny
from wandb_files import Segment, wandb_files

from runtime.checkpoint_io import load_checkpoint
from runtime.metrics_log import read_metrics

ROOT = Path(__file__).parents[2]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoints" / "step-00000006.ckpt")["state_dict"]


def logged(run: Path) -> list[dict[str, Any]]:
    rows = read_metrics(run / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k != "time" and not k.startswith("perf/")} for row in rows]


@pytest.fixture(scope="module")
def resumed_run(made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps, then the same run again to six, W&B offline."""
    folder = tmp_path_factory.mktemp("runs") / "resumed"
    options = ["logger=offline", "logger.group=ablation", "logger.tags=[mine]"]
    train_tiny(made_up_corpus, folder, *options)
    for name in ("step-00000006.ckpt", "step-00000006.ckpt.json"):
        (folder / "checkpoints" / name).unlink()
    train_tiny(made_up_corpus, folder, *options)
    return folder


def test_a_run_shows_its_configuration_choices_and_data(resumed_run: Path) -> None:
    shown = Segment(wandb_files(resumed_run)[0])
    assert shown.run.run_group == "ablation" and shown.run.job_type == "train"
    assert {"mine", "net:small", "speech:logmel", "data:synthetic", "task:expression"} <= set(shown.run.tags)
    config = shown.config
    assert config["net/width"] == 16 and config["data/reference_frames"] == [10, 20] and config["choice/net"] == "small"
    assert config["data/fingerprint"] and config["data/synthetic"] is not None
    assert shown.run.run_id.endswith(config["run_hash"])
    assert not any("." in key for key in config if key != "_wandb")


def test_what_each_number_of_validation_means_lies_beside_the_record_and_in_the_configuration(
    resumed_run: Path,
) -> None:
    found = json.loads((resumed_run / "metrics.json").read_text())
    logged_names = {name for row in logged(resumed_run) for name in row if name.startswith("val/")}
    assert set(found) == logged_names and "val/lip_vertex_error_mean_face_mm" in found
    assert found["val/lip_vertex_error_mm"]["vertices"] == "lips"
    for path in wandb_files(resumed_run):
        config = Segment(path).config
        assert "vertices lips, average frames, best lower" in config["metric/val/lip_vertex_error_mm"]


def test_a_resumed_run_goes_on_under_its_id_and_repeats_only_the_steps_after_the_checkpoint(resumed_run: Path) -> None:
    first, second = (Segment(path) for path in wandb_files(resumed_run))
    assert first.run.run_id == second.run.run_id
    for segment, resumes, steps in ((first, 0, range(6)), (second, 1, range(4, 6))):
        rows = [row for row in segment.history if "train/loss" in row]
        assert [(row["trainer/global_step"], row["run/resume_count"]) for row in rows] == [(s, resumes) for s in steps]


def test_the_view_shows_what_the_record_holds(resumed_run: Path) -> None:
    record = {(row["step"], key): row[key] for row in logged(resumed_run) for key in row if "/" in key}
    shown = {
        (row["trainer/global_step"], key): row[key]
        for path in wandb_files(resumed_run)
        for row in Segment(path).history
        for key in row
        if key.startswith(("train/", "val/"))
    }
    assert record == pytest.approx(shown) and len(record) > 20


@pytest.mark.parametrize(
    "misbehaviour",
    [
        pytest.param({"log": fail}, id="log raises"),
        pytest.param({"finish": hang}, id="finish hangs"),
        pytest.param({"init": fail}, id="init raises", marks=pytest.mark.slow),
        pytest.param({"init": hang}, id="init hangs", marks=pytest.mark.slow),
        pytest.param({"log": hang}, id="log hangs", marks=pytest.mark.slow),
        pytest.param({"finish": fail}, id="finish raises", marks=pytest.mark.slow),
    ],
)
def test_a_misbehaving_service_changes_neither_weights_nor_record(
    misbehaviour: dict[str, Any], made_up_corpus: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = StubWandb(**misbehaviour).install(monkeypatch)
    run = train_tiny(made_up_corpus, tmp_path / "run", "logger=offline", "logger.timeout_s=0.2")
    assert stub.calls, "W&B was not asked at all"
    expected = weights(tiny_run)
    assert all(torch.equal(value, expected[name]) for name, value in weights(run).items())
    assert logged(run) == logged(tiny_run)


@pytest.mark.slow
def test_two_ranks_make_one_run_and_only_one_process_imports_the_package(made_up_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "spy").mkdir()
    # A package of that name found first: it notes who imports it and then steps aside for the real one.
    (tmp_path / "spy" / "wandb.py").write_text(
        "import os, sys, importlib\n"
        f"open(os.path.join({str(tmp_path)!r}, 'imports.txt'), 'a').write(os.environ.get('RANK', '-') + '\\n')\n"
        "sys.path = [p for p in sys.path if not p.endswith('/spy')]\n"
        "del sys.modules['wandb']\n"
        "sys.modules['wandb'] = importlib.import_module('wandb')\n"
    )
    run = tmp_path / "run"
    command = ["expression_pretraining", f"data.root={made_up_corpus}", f"run.folder={run}", *TINY]
    command += ["logger=offline", "trainer.devices=2"]
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": f"{tmp_path / 'spy'}:{ROOT}", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *command],
        env=environment, capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(wandb_files(run)) == 1
    assert (tmp_path / "imports.txt").read_text() == "0\n"
    assert [row["trainer/global_step"] for row in Segment(wandb_files(run)[0]).history if "train/loss" in row] == list(
        range(6)
    )

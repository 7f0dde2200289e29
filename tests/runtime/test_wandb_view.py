import json
import threading
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from pytorch_lightning.utilities import rank_zero_only
from stub_wandb import StubWandb

from runtime.run_folder import RunFolder, existing_run
from runtime.wandb_session import RunDescription
from runtime.wandb_view import WandbView, describe, shown_config


def view_of(folder: Path, resume_count: int = 0) -> WandbView:
    return WandbView(RunDescription(run_id="run-1", folder=folder, project="p", resume_count=resume_count))


def test_rows_and_videos_carry_the_global_step_and_how_often_the_run_was_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = StubWandb().install(monkeypatch)
    view = view_of(tmp_path, resume_count=2)
    view.log_metrics({"train/loss": 0.5, "epoch": 0}, 30)
    view.log_video("media/face", tmp_path / "a.mp4", 20)
    view.close()
    axis = {"run/resume_count": 2}
    assert stub.rows == [
        {"train/loss": 0.5, "trainer/global_step": 30, **axis},
        {"media/face": f"video {tmp_path / 'a.mp4'}", "trainer/global_step": 20, **axis},
    ]


def test_other_ranks_start_no_thread_and_touch_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = StubWandb().install(monkeypatch)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    before = threading.active_count()
    view = view_of(tmp_path)
    view.log_metrics({"train/loss": 1.0}, 0)
    view.log_video("media/face", tmp_path / "a.mp4", 0)
    view.save()
    assert threading.active_count() == before
    view.close()
    assert stub.calls == []


def test_a_run_that_logs_nothing_is_shown_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = StubWandb().install(monkeypatch)
    view = view_of(tmp_path)
    view.save()
    view.close()
    assert len(stub.opened) == 1


def test_nothing_is_opened_again_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = StubWandb().install(monkeypatch)
    view = view_of(tmp_path)
    view.log_metrics({"train/loss": 1.0}, 0)
    view.close()
    view.log_metrics({"train/loss": 1.0}, 1)
    view.close()
    assert len(stub.opened) == 1 and len(stub.rows) == 1


def test_a_sweep_agents_id_goes_before_the_runs_own(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = existing_run(tiny_run)
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    assert describe(run).run_id == run.run_id
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    assert describe(run).run_id == "abc123"


def test_an_adaptation_is_grouped_by_its_person_unless_a_group_is_named(tiny_run: Path, tmp_path: Path) -> None:
    run = existing_run(tiny_run)
    assert describe(run).group == run.config.run.name
    record = json.loads((tiny_run / "data.json").read_text())
    record["facts"]["person"] = "theo"
    (tmp_path / "data.json").write_text(json.dumps(record))
    assert describe(RunFolder(tmp_path, run.config)).group == "theo"
    named = OmegaConf.merge(run.config, {"logger": {"group": "mine"}})
    assert describe(RunFolder(tmp_path, named)).group == "mine"


def test_each_start_after_the_first_counts_as_a_resume(tiny_run: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "data.json"):
        (tmp_path / name).write_bytes((tiny_run / name).read_bytes())
    assert describe(existing_run(tmp_path)).resume_count == 0
    (tmp_path / "environment.json").write_text(json.dumps([{}, {}, {}]))
    assert describe(existing_run(tmp_path)).resume_count == 2


def test_every_leaf_of_the_configuration_is_shown_without_dots_in_its_name(tiny_run: Path) -> None:
    shown = shown_config(existing_run(tiny_run))
    assert shown["net/width"] == 16 and shown["choice/net"] == "small" and shown["data/fingerprint"]
    assert not any("." in key for key in shown)
    assert not any(isinstance(value, dict) and value for value in shown.values())


def test_a_run_from_before_choices_were_recorded_can_be_shown(tiny_run: Path) -> None:
    config = OmegaConf.to_container(existing_run(tiny_run).config)
    assert isinstance(config, dict)
    del config["logger"]["choices"]
    run = RunFolder(tiny_run, OmegaConf.create(config))
    assert shown_config(run)["net/width"] == 16 and describe(run).tags == ()

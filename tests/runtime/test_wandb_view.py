import threading
from pathlib import Path

import pytest
from pytorch_lightning.utilities import rank_zero_only
from stub_wandb import StubWandb

from runtime.wandb_session import RunDescription
from runtime.wandb_view import WandbView


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

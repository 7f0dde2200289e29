"""What ends a training early, in one process: signals, the time limit, a loss that is not finite, a second trainer."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from tiny_runs import TINY

import train
from callbacks.throughput import Throughput
from lightning_modules.expression_pretraining import ExpressionPretraining
from runtime.checkpoint_io import load_checkpoint
from runtime.exit_codes import DIVERGED, INTERRUPTED, PREEMPTED
from runtime.metrics_log import read_metrics
from runtime.outcome import read_outcome

LAST = "step-00000006.ckpt"


def command(corpus: Path, folder: Path, *more: str) -> list[str]:
    return ["expression_pretraining", f"data.root={corpus}", f"run.folder={folder}", *TINY, *more]


def at_step(step: int, act, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Throughput.on_train_batch_end

    def acting(self, trainer, *rest):
        whole(self, trainer, *rest)
        if trainer.global_step == step:
            act()

    monkeypatch.setattr(Throughput, "on_train_batch_end", acting)


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [
        (signal.SIGTERM, PREEMPTED, "preempted"),
        (signal.SIGUSR1, PREEMPTED, "preempted"),
        (signal.SIGINT, INTERRUPTED, "interrupted"),
    ],
)
def test_a_signalled_run_saves_at_that_step_and_the_same_command_ends_as_the_uninterrupted_run(
    number: signal.Signals,
    code: int,
    status: str,
    tiny_run: Path,
    made_up_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        at_step(3, lambda: os.kill(os.getpid(), number), patch)
        assert train.main(command(made_up_corpus, folder)) == code
    assert load_checkpoint(folder / "checkpoints" / "step-00000003.ckpt")["global_step"] == 3
    assert (read_outcome(folder)["status"], read_outcome(folder)["step"]) == (status, 3)
    # Validation was due at step 3: it is in the log once, before the stop.
    assert [line["step"] for line in read_metrics(folder / "metrics.jsonl") if "val/loss" in line] == [2]
    assert train.main(command(made_up_corpus, folder)) == 0
    found, expected = (load_checkpoint(run / "checkpoints" / LAST)["state_dict"] for run in (folder, tiny_run))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    logged = [
        [(line["step"], line.get("train/loss"), line.get("val/loss")) for line in read_metrics(run / "metrics.jsonl")]
        for run in (folder, tiny_run)
    ]
    assert logged[0] == logged[1] and read_outcome(folder)["status"] == "finished"


def test_a_signal_during_validation_is_answered_after_it(
    made_up_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ExpressionPretraining.validation_step

    def signalled(self, batch, batch_idx):
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, batch, batch_idx)

    monkeypatch.setattr(ExpressionPretraining, "validation_step", signalled)
    assert train.main(command(made_up_corpus, tmp_path / "run")) == PREEMPTED
    assert read_outcome(tmp_path / "run")["step"] == 3
    assert [line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "val/loss" in line] == [2]


def test_a_signal_before_the_first_step_stops_without_a_checkpoint(
    made_up_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ExpressionPretraining.configure_optimizers

    def signalled(self):
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(self)

    monkeypatch.setattr(ExpressionPretraining, "configure_optimizers", signalled)
    assert train.main(command(made_up_corpus, tmp_path / "run")) == PREEMPTED
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_the_time_limit_saves_and_asks_to_be_started_again(made_up_corpus: Path, tmp_path: Path) -> None:
    assert train.main(command(made_up_corpus, tmp_path / "run", "trainer.time_limit_s=0.0")) == PREEMPTED
    assert "time limit" in read_outcome(tmp_path / "run")["reason"]


def test_a_loss_that_is_not_finite_ends_the_run_names_the_batch_and_is_never_saved(
    made_up_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = ExpressionPretraining.training_step
    seen = []

    def diverging(self, batch, batch_idx):
        loss = whole(self, batch, batch_idx)
        seen.append(batch.keys)
        return loss * float("nan") if len(seen) == 4 else loss

    monkeypatch.setattr(ExpressionPretraining, "training_step", diverging)
    folder = tmp_path / "run"
    assert train.main(command(made_up_corpus, folder)) == DIVERGED
    assert len(seen) == 4 and read_outcome(folder)["status"] == "diverged"
    (found,) = [json.loads(line) for line in (folder / "diverged.jsonl").read_text().splitlines()]
    assert found["keys"] == seen[3] and found["rank"] == 0
    assert seen[3][0] in capsys.readouterr().err
    assert {path.name for path in (folder / "checkpoints").glob("step-*.ckpt")} == {"step-00000002.ckpt"}


def test_a_folder_that_is_being_trained_is_refused_to_a_second_trainer(
    made_up_corpus: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import subprocess
    import sys

    holder = subprocess.Popen(
        [sys.executable, "-c", f"import fcntl; f = open({str(tiny_run / 'lock')!r}, 'a+'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        monkeypatch.setattr("runtime.run_folder.LOCK_WAIT_S", 0.3)
        assert train.main(command(made_up_corpus, tiny_run)) == 2
        assert "is being trained by another process" in capsys.readouterr().err
    finally:
        holder.communicate("\n")

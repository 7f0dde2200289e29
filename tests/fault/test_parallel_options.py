"""Options of a run that only show over several ranks: a sharded encoder, accumulation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from run_processes import Training, tiny_overrides

from runtime.checkpoint_io import load_checkpoint
from runtime.metrics_log import read_metrics

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]
SHORT = ["data.global_batch=4", "trainer.max_steps=6", "trainer.val_every_steps=3", "checkpoint.every_steps=3"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoints" / "step-00000006.ckpt")["state_dict"]


def train(folder: Path, overrides: list[str]) -> Path:
    training = Training(folder, overrides)
    assert training.end(200) == 0, training.output()
    return folder


def test_a_speech_encoder_sharded_over_two_ranks_trains_what_a_copied_one_trains(
    made_up_corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason="the optional extra 'pretrained' is not installed")
    from test_encoders import save_tiny

    encoder = tmp_path / "hubert"
    encoder.mkdir()
    save_tiny(encoder, "hubert", "layer")
    speech = ["speech=hubert", f"speech.model_path={encoder}", "trainer.devices=2", "data.max_clips=null"]
    overrides = tiny_overrides(made_up_corpus, *SHORT, *speech)
    copied = train(tmp_path / "copied" / "run", overrides)
    sharded = train(tmp_path / "sharded" / "run", [*overrides, "trainer.shard_encoder=true"])
    assert all(torch.equal(weights(sharded)[name], value) for name, value in weights(copied).items())
    scores = [
        [line["val/loss"] for line in read_metrics(run / "metrics.jsonl") if "val/loss" in line]
        for run in (sharded, copied)
    ]
    assert scores[0] == scores[1] and len(scores[0]) == 2


def test_accumulated_micro_batches_on_two_ranks_take_the_steps_of_whole_batches(
    made_up_corpus: Path, tmp_path: Path
) -> None:
    still = ["net.dropout=0.0", "net.null_style=0.0", "net.reference_hidden=0.0", "speech.voice_augmentation=false"]
    overrides = tiny_overrides(made_up_corpus, *SHORT, *still, "task.optimizer._target_=torch.optim.SGD")
    whole = train(tmp_path / "whole" / "run", overrides)
    accumulated = train(tmp_path / "parts" / "run", [*overrides, "trainer.devices=2", "trainer.accumulate=2"])
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(accumulated)[name], value, rtol=1e-4, atol=1e-6)
    steps = [
        [line["step"] for line in read_metrics(run / "metrics.jsonl") if "val/loss" in line]
        for run in (whole, accumulated)
    ]
    assert steps[0] == steps[1] == [2, 5]

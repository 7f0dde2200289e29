import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_runs import TINY, assert_all_of_validation_is_described, train_tiny

import score
import train
from callbacks.throughput import Throughput
from runtime.checkpoint_io import load_checkpoint
from runtime.metrics_log import read_metrics

LAST = "step-00000006.ckpt"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoints" / LAST)["state_dict"]


def test_a_run_folder_holds_the_whole_record(tiny_run: Path) -> None:
    assert {"config.yaml", "data.json", "environment.json", "metrics.jsonl", "checkpoints", "media"} <= {
        p.name for p in tiny_run.iterdir()
    }
    names = {p.name for p in (tiny_run / "checkpoints").glob("*.ckpt")}
    assert names == {"best.ckpt", "step-00000004.ckpt", LAST}
    lines = read_metrics(tiny_run / "metrics.jsonl")
    logged = set().union(*lines)
    assert {
        "train/loss",
        "val/loss",
        "val/lip_vertex_error_mm",
        "val/expression_richness_ratio",
        "perf/samples_per_s",
    } <= logged
    assert json.loads((tiny_run / "environment.json").read_text())[0]["packages"]["torch"].startswith("2.13")
    assert_all_of_validation_is_described(tiny_run)


def test_the_same_command_after_the_end_says_so_and_does_nothing(
    tiny_run: Path, made_up_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tiny_run / "metrics.jsonl").read_bytes()
    train_tiny(made_up_corpus, tiny_run)
    assert "finished already at step 6" in capsys.readouterr().out
    assert (tiny_run / "metrics.jsonl").read_bytes() == before


def test_fresh_starts_again_beside_the_old_run_but_not_when_a_scheduler_repeats_the_command(
    tiny_run: Path,
    made_up_corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    train_tiny(made_up_corpus, folder, "--fresh")
    assert "finished already" in capsys.readouterr().out and not list(tmp_path.glob("run.old-*"))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    train_tiny(made_up_corpus, folder, "--fresh")
    old = tmp_path / "run.old-1"
    assert [path.name for path in tmp_path.glob("run.old-*")] == [old.name] and (old / "checkpoints" / LAST).exists()
    again = weights(folder)
    assert all(torch.equal(value, again[name]) for name, value in weights(old).items())


@pytest.mark.parametrize("stop_at", [3, 5])
def test_an_interrupted_run_resumes_to_bitwise_the_same_weights_and_log(
    stop_at: int, tiny_run: Path, made_up_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "interrupted"
    arguments = ["expression_pretraining", f"data.root={made_up_corpus}", f"run.folder={folder}", *TINY]
    whole = Throughput.on_train_batch_end

    def interrupt(self, trainer, *rest):
        if trainer.global_step == stop_at:
            raise RuntimeError("the power failed")
        whole(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Throughput, "on_train_batch_end", interrupt)
        with pytest.raises(RuntimeError, match="power failed"):
            train.main(arguments)
    assert train.main(arguments) == 0
    resumed, uninterrupted = weights(folder), weights(tiny_run)
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in uninterrupted)

    def losses(run: Path) -> list[tuple[int, float]]:
        return [
            (line["step"], line["train/loss"]) for line in read_metrics(run / "metrics.jsonl") if "train/loss" in line
        ]

    assert losses(folder) == losses(tiny_run)


def test_seeds_differ_and_a_seed_repeats(made_up_corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    same = weights(train_tiny(made_up_corpus, tmp_path / "same"))
    other = weights(train_tiny(made_up_corpus, tmp_path / "other", "run.seed=2"))
    reference = weights(tiny_run)
    assert all(torch.equal(same[name], reference[name]) for name in reference)
    assert not torch.equal(other["net.head.weight"], reference["net.head.weight"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.root=nowhere/at/all"], "nowhere/at/all"),
        (["data.test_speakers=[speakr0]"], "did you mean 'speaker0'"),
        (["data.global_batch=7", "trainer.accumulate=2"], "does not split"),
        (["net.width=15"], "15"),
        (["face=ict", "face.path=missing.npz"], "missing.npz"),
        (["speech=hubert", "speech.model_path=no/such/folder"], "no/such/folder"),
    ],
)
def test_bad_input_is_one_message_and_status_2(
    overrides: list[str], said: str, made_up_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["expression_pretraining", f"data.root={made_up_corpus}", f"run.root={tmp_path}", *TINY]
    assert train.main([*base, *overrides]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_a_run_can_start_from_the_weights_of_another(tiny_run: Path, made_up_corpus: Path, tmp_path: Path) -> None:
    still = ["task.optimizer.lr=0.0", "task.optimizer.weight_decay=0.0", f"run.start_from={tiny_run}"]
    tuned = weights(train_tiny(made_up_corpus, tmp_path / "tuned", *still, "data.max_train_clips_per_speaker=1"))
    best = load_checkpoint(tiny_run / "checkpoints" / "best.ckpt")["state_dict"]
    assert torch.equal(tuned["net.head.weight"], best["net.head.weight"])
    assert not torch.equal(tuned["net.mean"], best["net.mean"]), "the statistics must be those of the new data"


@pytest.mark.parametrize("data", ["voxceleb2", "emotional_video", "videos"])
def test_any_datamodule_serves_the_module(data: str, made_up_corpus: Path, tmp_path: Path) -> None:
    run = train_tiny(made_up_corpus, tmp_path / "run", f"data={data}", "trainer.max_steps=2")
    assert (run / "checkpoints" / "step-00000002.ckpt").exists()


def test_a_corpus_without_validation_speakers_trains_and_scoring_it_says_what_is_missing(
    made_up_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_tiny(made_up_corpus, tmp_path / "run", "data=videos", "data.val_speakers=[]", "data.test_speakers=[]")
    assert not (run / "checkpoints" / "best.ckpt").exists()
    assert score.main([str(run)]) == 2
    assert "split test" in capsys.readouterr().err


def test_bf16_and_accumulation_train(made_up_corpus: Path, tmp_path: Path) -> None:
    options = ["trainer.precision=bf16-mixed", "trainer.accumulate=2", "trainer.max_steps=2"]
    run = train_tiny(made_up_corpus, tmp_path / "run", *options)
    losses = [line["train/loss"] for line in read_metrics(run / "metrics.jsonl") if "train/loss" in line]
    assert len(losses) == 2 and all(0 < loss < 100 for loss in losses)


@pytest.mark.slow
def test_a_compiled_network_trains_the_same_weights_under_the_same_names(
    made_up_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Traced as for any backend but run by torch itself: a code generator takes minutes and draws dropout in its own way.
    whole = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: whole(self, backend="eager"))
    two = ["trainer.max_steps=2"]
    plain = train_tiny(made_up_corpus, tmp_path / "plain", *two)
    compiled = train_tiny(made_up_corpus, tmp_path / "compiled", *two, "trainer.compile=true")
    found, expected = (
        load_checkpoint(run / "checkpoints" / "step-00000002.ckpt")["state_dict"] for run in (compiled, plain)
    )
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_two_typos_are_one_message_before_torch_is_imported(made_up_corpus: Path) -> None:
    import subprocess
    import sys
    import time

    command = [
        sys.executable,
        "-X",
        "importtime",
        "train.py",
        "expression_pretraining",
        "trainer.max_step=5",
        "net.widht=7",
    ]
    before = time.monotonic()
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60, check=False
    )
    print(f"{time.monotonic() - before:.1f} s")
    assert done.returncode == 2
    assert "'trainer.max_step' (did you mean 'trainer.max_steps'?)" in done.stderr
    assert "'net.widht' (did you mean 'net.width'?)" in done.stderr
    assert "| torch\n" not in done.stderr and "hydra" in done.stderr

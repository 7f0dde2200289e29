"""speech=phonetic through train.py: pretraining, runs that hear with it and stand alone, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import TINY, assert_all_of_validation_is_described, train_tiny

import adapt
import animate
import score
import train
from callbacks.throughput import Throughput
from networks.phonetic_encoder import load_phonetic_encoder
from personas.pose_half import head_of_persona
from runtime.assemble import load_module
from runtime.checkpoint_io import load_checkpoint
from runtime.metrics_log import read_metrics
from runtime.run_folder import existing_run
from speech.audio import write_wav

TINY_PHONETIC = [
    "net.width=16", "net.blocks=1", "net.num_heads=2", "net.feed_forward=32", "net.kernel_size=3", "net.attention_span=4",
    "data.global_batch=4", "data.window_frames=20", "data.val_utterances=1", "trainer.max_steps=4", "trainer.val_every_steps=2",
    "trainer.log_every_steps=1", "trainer.accelerator=cpu", "checkpoint.every_steps=2", "logger=none",
]  # fmt: skip
FILE = "phonetic_encoder.safetensors"


def pretrain(folder: Path, *overrides: str) -> Path:
    assert train.main(["phonetic_pretraining", f"run.folder={folder}", *TINY_PHONETIC, *overrides]) == 0
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain(tmp_path_factory.mktemp("phonetic") / "pretrained")


@pytest.fixture(scope="module")
def hearing(pretrained: Path, made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An expression run with the frozen encoder."""
    folder = tmp_path_factory.mktemp("phonetic") / "hearing"
    return train_tiny(made_up_corpus, folder, "speech=phonetic", f"speech.run={pretrained}")


def weights(run: Path, name: str) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoints" / name)["state_dict"]


def test_pretraining_logs_accuracies_of_unheard_voices_and_leaves_its_weights(pretrained: Path) -> None:
    lines = read_metrics(pretrained / "metrics.jsonl")
    logged = set().union(*lines)
    conditions = ("clean", "noisy")
    accuracies = {f"val/{kind}_accuracy_{name}" for kind in ("frame", "phoneme") for name in conditions}
    assert accuracies | {"train/loss", "train/frame_accuracy", "val/loss"} <= logged
    assert all(0 <= line[name] <= 1 for line in lines for name in accuracies & set(line))
    assert_all_of_validation_is_described(pretrained)
    encoder = load_phonetic_encoder(str(pretrained / FILE))
    final = weights(pretrained, "step-00000004.ckpt")
    assert all(torch.equal(value, final[f"net.{name}"]) for name, value in encoder.state_dict().items())


@pytest.mark.slow
def test_an_interrupted_pretraining_resumes_to_bitwise_the_same_weights_and_log(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Throughput.on_train_batch_end

    def interrupt(self, trainer, *rest):
        if trainer.global_step == 3:
            raise RuntimeError("the power failed")
        whole(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Throughput, "on_train_batch_end", interrupt)
        with pytest.raises(RuntimeError, match="power failed"):
            pretrain(tmp_path / "run")
    assert not (tmp_path / "run" / FILE).exists()
    pretrain(tmp_path / "run")
    resumed, whole_run = (load_phonetic_encoder(str(run / FILE)) for run in (tmp_path / "run", pretrained))
    assert resumed.fingerprint() == whole_run.fingerprint()
    losses = [
        [(line["step"], line[name]) for line in read_metrics(run / "metrics.jsonl") for name in line if "loss" in name]
        for run in (tmp_path / "run", pretrained)
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 6


def test_a_run_hears_with_the_frozen_weights_and_stands_alone(
    hearing: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_phonetic_encoder(str(pretrained / FILE))
    hidden = pretrained.rename(pretrained.with_name("hidden"))
    try:
        module, _ = load_module(existing_run(hearing), "last")
        write_wav(tmp_path / "a.wav", 0.1 * torch.randn(16_000).numpy())
        arguments = [str(tmp_path / "a.wav"), "--expression", str(hearing), "--out", str(tmp_path / "a.npz")]
        assert animate.main(arguments) == 0
    finally:
        hidden.rename(pretrained)
    front_end = module.net.front_end
    assert front_end.encoder.fingerprint() == encoder.fingerprint()
    facts = json.loads((hearing / "data.json").read_text())["facts"]
    assert facts["phonetic_encoder"]["fingerprint"] == encoder.fingerprint()
    moved = weights(hearing, "step-00000006.ckpt")["net.front_end.output.weight"]
    assert not torch.equal(moved, weights(hearing, "step-00000004.ckpt")["net.front_end.output.weight"])


@pytest.mark.slow
def test_fine_tuning_moves_the_encoder(pretrained: Path, made_up_corpus: Path, tmp_path: Path) -> None:
    own = ["speech=phonetic", f"speech.weights={pretrained / FILE}", "speech.trainable=true", "trainer.max_steps=2"]
    run = train_tiny(made_up_corpus, tmp_path / "run", *own)
    module, _ = load_module(existing_run(run), "last")
    encoder = load_phonetic_encoder(str(pretrained / FILE))
    tuned = module.net.front_end.encoder.state_dict()
    assert not torch.equal(tuned["convolution.weight"], encoder.convolution.weight)


@pytest.mark.slow
def test_the_weights_count_into_the_run_and_their_place_does_not(
    pretrained: Path, made_up_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, copied = pretrain(tmp_path / "other", "run.seed=2", "trainer.max_steps=2"), tmp_path / "copy.safetensors"
    copied.write_bytes((pretrained / FILE).read_bytes())

    def started(source: str) -> str:
        own = ["speech=phonetic", source, f"run.root={tmp_path}", "trainer.max_steps=1"]
        assert train.main(["expression_pretraining", f"data.root={made_up_corpus}", *TINY, *own]) == 0
        return capsys.readouterr().out.rsplit("run: ", 1)[1].split("\n")[0]

    by_run, by_file, by_other = (started(s) for s in (f"speech.run={pretrained}", f"speech.weights={copied}", f"speech.run={other}"))  # fmt: skip
    assert by_run == by_file != by_other


def test_without_weights_it_is_one_sentence_and_status_2(
    made_up_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["expression_pretraining", f"data.root={made_up_corpus}", f"run.root={tmp_path}", *TINY]
    assert train.main([*base, "speech=phonetic"]) == 2
    error = capsys.readouterr().err
    assert "give exactly one" in error and "Traceback" not in error and error.count("\n") == 1


def test_scoring_a_pretraining_says_that_it_has_no_face(pretrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score.main([str(pretrained)]) == 2
    assert (
        "is a run of phonetic_pretraining, whose PhoneticEncoder generates no face from speech"
        in capsys.readouterr().err
    )


@pytest.mark.slow
def test_posegpt_hears_phonemes_beside_the_mel_in_training_in_a_persona_and_in_animation(
    pretrained: Path, made_up_corpus: Path, tmp_path: Path
) -> None:
    vqvae = train_tiny(made_up_corpus, tmp_path / "vqvae", experiment="pose_vqvae")
    own = [f"run.pose_vqvae={vqvae}", "speech=phonetic", f"speech.run={pretrained}"]
    run = train_tiny(made_up_corpus, tmp_path / "gpt", *own, experiment="pose_gpt")
    module, _ = load_module(existing_run(run), "last")
    encoder = load_phonetic_encoder(str(pretrained / FILE))
    assert module.net.front_end.encoder.fingerprint() == encoder.fingerprint()
    persona = tmp_path / "theo"
    assert adapt.main([f"{made_up_corpus}#theo", "--pose", str(run), "--out", str(persona), "--seconds", "4"]) == 0
    sounds = [0.1 * np.random.default_rng(seed).standard_normal(640 * 30).astype(np.float32) for seed in (0, 1)]
    heads = [head_of_persona(persona, sound, seed=1) for sound in sounds]
    assert heads[0].shape == (30, 3) and np.isfinite(heads[0]).all() and not np.array_equal(*heads)

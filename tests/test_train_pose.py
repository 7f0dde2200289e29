"""The pose adapter's two trainings through train.py: the record, exact resume, and what PoseGPT asks of its VQ-VAE."""

import json
from pathlib import Path

import pytest
import torch
from tiny_runs import TINY_OF, assert_all_of_validation_is_described, train_tiny

import score
import train
from callbacks.throughput import Throughput
from reports.score_files import read_scores
from runtime.assemble import load_module
from runtime.checkpoint_io import load_checkpoint
from runtime.metrics_log import read_metrics
from runtime.run_folder import existing_run

LAST = "step-00000006.ckpt"
LOGGED = ("train/", "val/")


@pytest.fixture(scope="module")
def pose_vqvae(made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(made_up_corpus, tmp_path_factory.mktemp("pose") / "vqvae", experiment="pose_vqvae")


@pytest.fixture(scope="module")
def pose_gpt(made_up_corpus: Path, pose_vqvae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pose") / "gpt"
    return train_tiny(made_up_corpus, folder, f"run.pose_vqvae={pose_vqvae}", experiment="pose_gpt")


@pytest.fixture(params=["pose_vqvae", "pose_gpt"])
def finished(request: pytest.FixtureRequest, pose_vqvae: Path) -> tuple[str, Path, list[str]]:
    """An experiment's name, a finished run of it, and the overrides it needs."""
    own = [f"run.pose_vqvae={pose_vqvae}"] if request.param == "pose_gpt" else []
    return request.param, request.getfixturevalue(request.param), own


def weights(run: Path, name: str = LAST) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoints" / name)["state_dict"]


def losses(run: Path) -> list[tuple]:
    lines = read_metrics(run / "metrics.jsonl")
    return [(line["step"], name, line[name]) for line in lines for name in sorted(line) if name.startswith(LOGGED)]


def test_the_vqvae_logs_degrees_jerk_and_how_the_codes_are_used(pose_vqvae: Path) -> None:
    logged = set().union(*read_metrics(pose_vqvae / "metrics.jsonl"))
    assert {
        "train/loss", "train/loss_commitment", "train/code_perplexity", "val/loss", "val/head_error_deg",
        "val/head_error_mean_head_deg", "val/head_jerk_deg_per_s3", "val/head_jerk_truth_deg_per_s3", "val/head_jerk_ratio",
        "val/code_usage", "val/code_perplexity", "val/pose_diversity_within_deg",
    } <= logged  # fmt: skip
    state = weights(pose_vqvae)
    assert int(state["net.quantizer.codebooks.0.updates"]) == 6
    assert (pose_vqvae / "checkpoints" / "best.ckpt").exists()
    assert_all_of_validation_is_described(pose_vqvae)


def test_posegpt_logs_the_likelihood_of_codes_beside_its_controls(pose_gpt: Path) -> None:
    lines = [line for line in read_metrics(pose_gpt / "metrics.jsonl") if "val/code_nll" in line]
    assert len(lines) == 2
    names = ("code_nll_unigram", "code_nll_no_speech", "code_nll_shuffled_speech", "code_accuracy", "loss")
    assert all(f"val/{name}" in line for name in names for line in lines)
    assert int(weights(pose_gpt)["code_counts"].sum()) > 0
    assert_all_of_validation_is_described(pose_gpt)


@pytest.mark.parametrize("stop_at", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_an_interrupted_pose_run_resumes_to_bitwise_the_same_weights_codebooks_and_log(
    stop_at: int,
    finished: tuple[str, Path, list[str]],
    made_up_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment, uninterrupted, own = finished
    folder = tmp_path / "interrupted"
    whole = Throughput.on_train_batch_end

    def interrupt(self, trainer, *rest):
        if trainer.global_step == stop_at:
            raise RuntimeError("the power failed")
        whole(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Throughput, "on_train_batch_end", interrupt)
        with pytest.raises(RuntimeError, match="power failed"):
            train_tiny(made_up_corpus, folder, *own, experiment=experiment)
    train_tiny(made_up_corpus, folder, *own, experiment=experiment)
    expected, found = weights(uninterrupted), weights(folder)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert losses(folder) == losses(uninterrupted) and len(losses(folder)) >= 6


def test_a_posegpt_run_holds_its_vqvae_and_loads_without_that_run(
    pose_gpt: Path, pose_vqvae: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vqvae, _ = load_module(existing_run(pose_vqvae))
    fingerprint = vqvae.net.fingerprint()
    hidden = pose_vqvae.rename(pose_vqvae.with_name("hidden"))
    try:
        module, _ = load_module(existing_run(pose_gpt))
    finally:
        hidden.rename(pose_vqvae)
    assert module.net.vqvae.fingerprint() == fingerprint
    facts = json.loads((pose_gpt / "data.json").read_text())["facts"]
    assert facts["pose_vqvae"]["fingerprint"] == fingerprint
    assert module.net.style_names == tuple(facts["style_names"]) == tuple(sorted(facts["style_names"]))
    assert facts["style_names"] and all(name.startswith("speaker") for name in facts["style_names"])


def test_other_weights_of_the_vqvae_are_another_experiment(
    pose_gpt: Path, made_up_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "vqvae"
    train_tiny(made_up_corpus, other, experiment="pose_vqvae")

    def started() -> str:
        overrides = [f"run.pose_vqvae={other}", f"run.root={tmp_path}", "trainer.max_steps=1"]
        assert train.main(["pose_gpt", f"data.root={made_up_corpus}", *TINY_OF["pose_gpt"], *overrides]) == 0
        return capsys.readouterr().out.rsplit("run: ", 1)[1].split("\n")[0]

    before = started()
    train_tiny(made_up_corpus, other, "trainer.max_steps=9", "--fresh", experiment="pose_vqvae")
    assert started() != before


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ([], "run.pose_vqvae is empty"),
        (["run.pose_vqvae=nowhere"], "nowhere is not a run folder"),
        (["net.style_by=hair"], "expected speaker or source"),
        (["speech=phonetic"], "give exactly one"),
    ],
)
def test_what_posegpt_cannot_be_built_on_is_one_message_and_status_2(
    own: list[str],
    said: str,
    made_up_corpus: Path,
    pose_vqvae: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [f"run.pose_vqvae={pose_vqvae}"] if "net" in str(own) else []
    base = ["pose_gpt", f"data.root={made_up_corpus}", f"run.root={tmp_path}", *TINY_OF["pose_gpt"]]
    assert train.main([*base, *given, *own]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("experiment", "own", "said"),
    [
        ("pose_vqvae", ["net.stride=0"], "stride is 0"),
        ("pose_vqvae", ["net.quantizer.kind=gumbel"], "gumbel"),
        ("pose_vqvae", ["net.quantizer.num_codes=1"], "1 code"),
        ("pose_vqvae", ["net.quantizer.kind=fsq", "net.quantizer.num_codes=1000"], "1000 codes"),
        ("pose_vqvae", ["net.quantizer.kind=product", "net.quantizer.parts=5"], "5 equal groups"),
        ("pose_gpt", ["net.style_start=foo"], "style_start is 'foo'"),
        ("pose_gpt", ["net.width=18"], "width 18"),
    ],
)
def test_a_network_that_cannot_be_built_leaves_no_run_folder(
    experiment: str,
    own: list[str],
    said: str,
    made_up_corpus: Path,
    pose_vqvae: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [f"run.pose_vqvae={pose_vqvae}"] if experiment == "pose_gpt" else []
    base = [experiment, f"data.root={made_up_corpus}", f"run.root={tmp_path / 'runs'}", *TINY_OF[experiment]]
    assert train.main([*base, *given, *own]) == 2
    told = capsys.readouterr()
    assert said in told.err and told.err.count("\n") == 1 and "run: " not in told.out
    assert not (tmp_path / "runs").exists()


def test_a_run_of_another_kind_and_a_quantiser_of_several_codes_are_refused(
    tiny_run: Path, made_up_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    residual = ["net.quantizer.kind=residual", "trainer.max_steps=2"]
    train_tiny(made_up_corpus, tmp_path / "residual", *residual, experiment="pose_vqvae")
    for folder, said in ((tiny_run, "is a run of expression_pretraining"), (tmp_path / "residual", "4 codes a step")):
        base = ["pose_gpt", f"data.root={made_up_corpus}", f"run.root={tmp_path}", *TINY_OF["pose_gpt"]]
        assert train.main([*base, f"run.pose_vqvae={folder}"]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_styles_of_source_videos_and_coarser_codes_train(made_up_corpus: Path, tmp_path: Path) -> None:
    coarse = train_tiny(
        made_up_corpus, tmp_path / "vqvae", "net.stride=2", "net.quantizer.kind=fsq", experiment="pose_vqvae"
    )
    own = [f"run.pose_vqvae={coarse}", "net.style_by=source", "trainer.max_steps=3"]
    run = train_tiny(made_up_corpus, tmp_path / "gpt", *own, experiment="pose_gpt")
    module, _ = load_module(existing_run(run))
    assert module.net.gpt.settings.frames_per_code == 2
    assert all("/video of clip" in name for name in module.net.style_names)


@pytest.mark.slow
def test_pose_runs_are_scored_beside_their_controls(
    pose_vqvae: Path, pose_gpt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score.main([str(pose_vqvae)]) == 0 and score.main([str(pose_gpt), "--split", "val"]) == 0
    assert "SYNTHETIC" in capsys.readouterr().out
    of_vqvae, of_gpt = read_scores(pose_vqvae, "test"), read_scores(pose_gpt, "val")
    assert {"truth", "model", "template_copy", "random_retrieval", "still"} <= set(of_vqvae["scores"])
    assert {"greedy", "shuffled_speech", "random_style", "unknown_style", "reconstruction"} <= set(of_gpt["scores"])
    assert {"code_nll", "code_nll_no_speech"} <= set(of_gpt["scores"]["model"])
    assert {"real", "retrieved", "random_style"} <= set(of_gpt["recognition"]) and of_gpt["information"]

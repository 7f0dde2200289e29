"""Baselines through the verbs: trained, scored, animated and compared by the commands that the expression adapter knows."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import SHORT, assert_all_of_validation_is_described

import animate
import compare
import score
import train
from runtime.compose import compose

SIZES = ["net.width=16", "net.blocks=1", "net.num_heads=2", "net.feed_forward=32", "net.kernel_size=3"]
NO_MEDIA = "callbacks.media.every_steps=0"


def run(corpus: Path, folder: Path, experiment: str, *overrides: str) -> Path:
    arguments = [experiment, f"data.root={corpus}", f"run.folder={folder}", *SHORT, *overrides]
    assert train.main(arguments) == 0
    return folder


def test_the_people_held_out_of_videos_are_those_of_real_video() -> None:
    wanted = compose("real_video").data
    assert compose("faceformer", ["data=held_out_videos"]).data == wanted


def test_a_run_without_a_motion_prior_or_with_another_kind_of_run_is_one_sentence(
    made_up_corpus: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["codetalker", f"data.root={made_up_corpus}", f"run.folder={tmp_path / 'run'}", "logger=none"]
    assert train.main(command) == 2
    assert "give the folder that `python train.py codetalker_prior` printed" in capsys.readouterr().err
    assert train.main([*command, f"run.motion_prior={tiny_run}"]) == 2
    assert "expected networks.codetalker_prior.MotionPrior" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_every_baseline_is_trained_scored_animated_and_compared(
    made_up_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prior = run(
        made_up_corpus, tmp_path / "prior", "codetalker_prior", *[s for s in SIZES if "width" not in s], "net.width=16"
    )
    runs = [
        run(made_up_corpus, tmp_path / "faceformer", "faceformer", *SIZES, NO_MEDIA),
        run(made_up_corpus, tmp_path / "codetalker", "codetalker", *SIZES, NO_MEDIA, f"run.motion_prior={prior}"),
        run(made_up_corpus, tmp_path / "mean_face", "mean_face", NO_MEDIA),
        run(made_up_corpus, tmp_path / "ridge", "ridge", NO_MEDIA),
        run(made_up_corpus, tmp_path / "viseme_lookup", "viseme_lookup", NO_MEDIA, "net.num_sounds=8"),
    ]
    for folder in (prior, *runs):
        assert_all_of_validation_is_described(folder)
    names = [str(path) for path in runs]
    assert score.main([*names, "--metrics", "lip_vertex_error_mm", "expression_dispersion_ratio"]) == 0
    results = {path.name: json.loads((path / "scores-test.json").read_text()) for path in runs}
    still = results["mean_face"]["scores"]
    assert still["model"]["lip_vertex_error_mm"]["value"] == pytest.approx(
        still["reference_mean_face"]["lip_vertex_error_mm"]["value"]
    )
    for path in runs:
        out = tmp_path / f"{path.name}.npz"
        speech = f"{made_up_corpus}#{results[path.name]['clips'][0]['key']}"
        assert animate.main([speech, "--expression", str(path), "--style", speech, "--out", str(out)]) == 0
        assert np.isfinite(np.load(out)["expression"]).all()
    assert compare.main([*names, "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in ("faceformer", "codetalker", "ridge", "viseme_lookup", "mean_face"))


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["faceformer", "codetalker"])
def test_an_interrupted_run_goes_on_to_the_same_weights(experiment: str, made_up_corpus: Path, tmp_path: Path) -> None:
    import torch

    more = [NO_MEDIA, *SIZES]
    if experiment == "codetalker":
        more.append(f"run.motion_prior={run(made_up_corpus, tmp_path / 'prior', 'codetalker_prior', *SIZES)}")
    whole = run(made_up_corpus, tmp_path / "whole", experiment, *more)
    run(made_up_corpus, tmp_path / "parts", experiment, *more)
    checkpoints = sorted((tmp_path / "parts" / "checkpoints").glob("step-*.ckpt"))
    last, manifest = checkpoints[-1], Path(f"{checkpoints[-1]}.json")
    last.unlink()
    manifest.unlink(missing_ok=True)
    (tmp_path / "parts" / "outcome.json").unlink()
    run(made_up_corpus, tmp_path / "parts", experiment, *more)
    one, other = (
        torch.load(f / "checkpoints" / last.name, weights_only=True)["state_dict"] for f in (whole, tmp_path / "parts")
    )
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_up_clips import make_clip, make_corpus_clips, write_corpus
from made_up_flame import write_pickles

import score
from faces.flame_conversion import convert_flame
from faces.motion import FaceMotion

LVE = "lip_vertex_error_mm"
FEW = ["--metrics", LVE, "expression_dispersion_ratio"]


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that scores written here are nobody else's."""
    return shutil.copytree(tiny_run, tmp_path_factory.mktemp("scored") / "run")


@pytest.fixture(scope="module")
def truths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test split's own motions, as files."""
    folder = tmp_path_factory.mktemp("motions") / "truths"
    folder.mkdir()
    for clip in make_corpus_clips():
        if clip.meta.split == "test":
            clip.motion.save(folder / f"{clip.key}.npz")
    return folder


def test_scores_tell_what_was_scored_and_how(run: Path) -> None:
    assert score.main([str(run), *FEW]) == 0
    result = json.loads((run / "scores-test.json").read_text())
    assert result["checkpoint_sha256"] == json.loads((run / "checkpoints" / "best.ckpt.json").read_text())["sha256"]
    assert result["command"].startswith("python score.py") and str(run) in result["command"]
    about = result["metrics"][LVE]
    assert (about["unit"], about["vertices"], about["average"], about["best"]) == ("mm", "lips", "frames", "lower")
    assert (
        len(result["data"]["fingerprint"]) == 64
        and result["data"]["normalised_by"]
        and "speakers" in result["averaging"]
    )
    rows = list(csv.DictReader((run / "scores-test.csv").open()))
    assert len(rows) == 6 * len(result["scores"]) and {row["method"] for row in rows} == set(result["scores"])
    of_model = {row["key"]: float(row[LVE]) for row in rows if row["method"] == "model"}
    assert of_model == {row["key"]: row["scores"]["model"][LVE] for row in result["clips"]}


def test_several_runs_are_scored_by_one_command_and_equal_runs_are_equal_to_the_last_digit(
    run: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    for folder in (run, other):
        (folder / "scores-test.json").unlink(missing_ok=True)
    assert score.main([str(run), str(other), *FEW]) == 0
    one, two = (json.loads((folder / "scores-test.json").read_text()) for folder in (run, other))
    assert one["clips"] == two["clips"]


def test_neither_ranks_nor_workers_change_a_digit(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for ranks, workers in ((1, 1), (1, 3), (4, 2)):
        out = tmp_path / f"{ranks}-{workers}.json"
        for rank in reversed(range(ranks)):
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setenv("WORLD_SIZE", str(ranks))
            assert score.main([str(run), *FEW, "--out", str(out), "--workers", str(workers)]) == 0
            assert out.exists() == (rank == 0)
        written.append(json.loads(out.read_text()) | {"command": ""})
    assert written[0] == written[1] == written[2]


def test_motion_files_that_are_the_truth_have_no_error(run: Path, truths: Path) -> None:
    assert score.main([str(truths), "--like", str(run)]) == 0
    result = json.loads((truths / "scores-test.json").read_text())
    assert result["scores"]["model"][LVE]["value"] == 0 and result["scores"]["ridge"][LVE]["value"] > 1
    assert result["scores"]["model"]["head_speed_error_deg_per_s"]["mean"] == pytest.approx(0, abs=1e-3)
    assert "shuffled_speech" not in result["scores"] and len(result["motions_sha256"]) == 64


def test_motion_files_of_a_run_score_as_the_run_itself(run: Path, tmp_path: Path) -> None:
    from networks.controls import predict
    from runtime.assemble import load_module
    from runtime.instantiate import build
    from runtime.run_folder import existing_run

    opened = existing_run(run)
    net = load_module(opened)[0].net
    data = build(opened.config.data)
    for batch in data.evaluation_dataloader("test"):
        expression, jaw = predict(net, batch)
        for row, key in enumerate(batch.keys):
            frames = slice(int(batch.num_frames[row]))
            parts = [part[row, frames].detach().numpy() for part in (expression, jaw, batch.head)]
            FaceMotion(expression=parts[0], jaw=parts[1], head=parts[2]).save(tmp_path / f"{key}.npz")
    assert score.main([str(run), *FEW]) == 0 and score.main([str(tmp_path), "--like", str(run), *FEW]) == 0
    one, two = (json.loads((folder / "scores-test.json").read_text())["scores"] for folder in (run, tmp_path))
    for name in (LVE, "expression_dispersion_ratio"):
        assert one["model"][name]["mean"] == pytest.approx(two["model"][name]["mean"], rel=1e-4)
        assert one["ridge"][name] | {"reduction_by_model": 0} == two["ridge"][name] | {"reduction_by_model": 0}


def test_a_corpus_without_training_clips_can_be_scored_too(truths: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [clip for clip in make_corpus_clips() if clip.meta.split == "test"])
    assert score.main([str(truths), "--data", str(corpus), "--out", str(tmp_path / "scores.json")]) == 0
    result = json.loads((tmp_path / "scores.json").read_text())
    assert "ridge" not in result["scores"] and LVE in result["scores"]["mean_face"]
    assert "expression_dispersion_ratio" not in result["metrics"]


def test_bare_arrays_score_as_the_same_motions_in_our_files_but_have_no_head(
    run: Path, truths: Path, tmp_path: Path
) -> None:
    for file in truths.glob("*.npz"):
        np.save(tmp_path / f"{file.stem}.npy", FaceMotion.load(file).expression)
    assert score.main([str(tmp_path), "--like", str(run), *FEW]) == 0
    result = json.loads((tmp_path / "scores-test.json").read_text())
    assert result["scores"]["model"][LVE]["value"] == 0
    assert score.main([str(tmp_path), "--like", str(run), "--metrics", "pose_range_deg"]) == 2


def test_flame_parameters_are_scored_in_coefficients_or_on_the_mesh_of_the_users_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, folder = [], tmp_path / "theirs"
    folder.mkdir()
    for clip in make_corpus_clips():
        flame = clip.motion.expression[:, :50] - 0.5
        jaw = 0.1 * clip.motion.expression[:, :3]
        motion = FaceMotion(expression=flame, jaw=jaw, head=clip.motion.head, space="flame")
        clips.append(dataclasses.replace(clip, motion=motion))
        if clip.meta.split == "test":
            np.savez(folder / f"{clip.key}.npz", exp=flame, pose=np.concatenate([clip.motion.head, jaw], 1))
    corpus = write_corpus(tmp_path / "corpus", clips)
    assert score.main([str(folder), "--data", str(corpus)]) == 0
    result = json.loads((folder / "scores-test.json").read_text())
    assert result["metric"] == "coefficient_error_sd" and LVE not in result["metrics"]
    of_model = result["scores"]["model"]
    assert of_model["expression_dispersion_ratio"]["value"] == pytest.approx(1)
    assert of_model["head_speed_error_deg_per_s"]["value"] == pytest.approx(0, abs=1e-3)
    assert score.main([str(folder), "--data", str(corpus), "--metrics", LVE]) == 2
    assert "reads vertices, and the mesh of FLAME" in capsys.readouterr().err
    convert_flame(*write_pickles(tmp_path), tmp_path / "flame.npz")
    monkeypatch.setenv("FLAME_NPZ", str(tmp_path / "flame.npz"))
    assert score.main([str(folder), "--data", str(corpus), "--metrics", LVE, "mean_vertex_error_mm"]) == 0
    result = json.loads((folder / "scores-test.json").read_text())
    assert result["face"] == "flame" and result["scores"]["model"][LVE]["value"] == pytest.approx(0, abs=1e-4)


def test_bad_motions_are_one_sentence_and_write_nothing(
    run: Path, truths: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        assert score.main([str(folder), *arguments]) == 2
        error = capsys.readouterr().err.strip()
        assert len(error.splitlines()) == 1 and not (folder / "scores-test.json").exists()
        return error

    folder = shutil.copytree(truths, tmp_path / "motions")
    (folder / "scores-test.json").unlink(missing_ok=True)
    assert "--like RUN" in said()
    assert "--wandb adds to a run's own record" in said("--like", str(run), "--wandb", "offline")
    assert "not a run folder" in said("--like", str(tmp_path))
    (folder / "clip060.npz").unlink()
    assert "no clip060.npz" in said("--like", str(run))
    make_clip("clip060", 4).motion.save(folder / "clip060.npz")
    assert "has 4 frames" in said("--like", str(run))
    (folder / "clip060.npz").write_bytes(b"no motion")
    assert "clip060.npz" in said("--like", str(run))


def test_bad_options_are_one_sentence(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        ([str(run), str(run), "--out", "x.json"], "--out is one file, received 2"),
        ([str(run), "--metrics", "lve"], "there is no metric 'lve'"),
        ([str(run), "--metrics", "pose_range_deg"], "does not predict"),
        ([str(run), "--checkpoint", "99"], "no checkpoint '99'"),
        ([str(tmp_path)], "not a run folder"),
        ([str(run), "--metrics", "fdd_codetalker_biwi"], "here the same definition is fdd_signed_m2"),
    ):
        assert score.main(arguments) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1


def test_what_nothing_uses_or_cannot_be_written_is_refused_before_anything_is_read(
    run: Path, truths: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "score", lambda *_, **__: pytest.fail("scored all the same"))
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "table.csv").mkdir()
    for arguments, said in (
        ([run, "--like", run], "--like says what motion files are compared with"),
        ([truths, "--like", run, "--checkpoint", "last"], "--checkpoint is of runs"),
        ([truths, "--like", run, "--wandb", "offline"], "--wandb adds to a run's own record"),
        ([run, "--workers", "0"], "at least 1; received 0"),
        ([run, "--out", tmp_path / "folder.json"], "is a folder"),
        ([run, "--out", tmp_path / "table.json"], "table.csv is a folder"),
        ([run, "--out", tmp_path / "absent" / "x.json"], "there is no folder"),
        ([run, "--out", tmp_path / "x.csv"], "give a .json file"),
    ):
        before = sorted(tmp_path.rglob("*"))
        assert score.main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1
        assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_scored_before_a_run_that_cannot_be(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "score", lambda *_, **__: pytest.fail("scored all the same"))

    def run_of(name: str, target: str) -> Path:
        folder = shutil.copytree(run, tmp_path / name)
        config = folder / "config.yaml"
        config.write_text(config.read_text().replace("networks.expression_adapter.ExpressionAdapter", target))
        return folder

    prior = run_of("prior", "networks.codetalker_prior.MotionPrior")
    pose = run_of("pose", "networks.pose_vqvae.PoseVQVAE")
    empty = run_of("empty", "networks.expression_adapter.ExpressionAdapter")
    shutil.rmtree(empty / "checkpoints")
    for arguments, said in (
        ([run, prior, run], "whose MotionPrior generates no face from speech"),
        ([run, pose, *FEW], f"{pose} is a run of head motion, which has a fixed set of metrics"),
        ([pose, "--face", "ict"], "--face is what faces are measured on"),
        ([run, empty], "holds no checkpoint yet"),
        ([run, run, "--metrics", "lve"], "there is no metric 'lve'"),
        ([run, "--metrics", "pose_range_deg"], "does not predict"),
    ):
        assert score.main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1


def test_of_slurms_tasks_the_first_scores(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[list[str]] = []
    monkeypatch.setattr(score, "_score_all", lambda options, given: done.append(list(given)))
    monkeypatch.delenv("RANK", raising=False)
    for rank in ("0", "1", ""):
        monkeypatch.setenv("SLURM_PROCID", rank)
        monkeypatch.setenv("SLURM_NTASKS", "2")
        assert score.main(["somewhere"]) == 0
    assert len(done) == 2 and "SLURM task 1 of this step has nothing to do" in capsys.readouterr().err
    # torchrun inside a task: its rank counts.
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("RANK", "0")
    assert score.main(["somewhere"]) == 0 and len(done) == 3


def test_one_file_is_not_for_all_trials_of_a_sweep(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from reports import entrants

    (tmp_path / "sweep.yaml").write_text("")
    monkeypatch.setattr(entrants, "find_folders", lambda folders: [run, run])
    assert score.main([str(tmp_path), "--out", str(tmp_path / "x.json")]) == 2
    assert "--out is one file, received 2 folders" in capsys.readouterr().err and not (tmp_path / "x.json").exists()


def test_a_run_whose_network_generates_no_face_is_one_sentence(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from networks.codetalker_prior import MotionPrior
    from reports import subjects

    class Module:
        net = MotionPrior.__new__(MotionPrior)

    monkeypatch.setattr(subjects, "load_module", lambda *_: (Module, run / "checkpoints" / "best.ckpt"))
    assert score.main([str(run), "--out", str(tmp_path / "x.json")]) == 2
    error = capsys.readouterr().err
    assert "whose MotionPrior generates no face from speech" in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "x.json").exists()


def test_a_corpus_in_flame_space_without_training_clips_and_mesh_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = []
    for clip in make_corpus_clips():
        if clip.meta.split == "test":
            motion = FaceMotion(expression=clip.motion.expression[:, :50], head=clip.motion.head, space="flame")
            clips.append(dataclasses.replace(clip, motion=motion))
            motion.save(tmp_path / f"{clip.key}.npz")
    corpus = write_corpus(tmp_path / "corpus", clips)
    assert score.main([str(tmp_path), "--data", str(corpus)]) == 2
    assert "coefficient_error_sd needs coefficients z-scored over training clips" in capsys.readouterr().err


def test_an_empty_split_is_told(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(tmp_path / "corpus", [clip for clip in make_corpus_clips() if clip.meta.split != "test"])
    assert score.main([str(run), "--data", str(corpus), "--out", str(tmp_path / "s.json")]) == 2
    error = capsys.readouterr().err
    assert "split test" in error and "has no clips" in error and not (tmp_path / "s.json").exists()

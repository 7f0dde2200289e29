import json
from pathlib import Path

import numpy as np
import pytest
from made_up_clips import make_clip

import animate
import score
from faces import video
from faces.motion import FaceMotion
from speech.audio import num_motion_frames, write_wav


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    rng = np.random.default_rng(0)
    write_wav(path, (0.2 * rng.standard_normal(16000 * 2)).clip(-1, 1).astype(np.float32))
    return path


def test_scores_have_all_four_numbers_and_every_clip(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score.main([str(tiny_run)]) == 0
    result = json.loads((tiny_run / "scores-test.json").read_text())
    assert {
        "model",
        "reference_mean_face",
        "mean_face",
        "shuffled_speech",
        "ridge",
        "best_control",
        "num_clips",
        "own_reference",
    } == set(result["summary"])
    assert len(result["clips"]) == result["summary"]["num_clips"] == 6
    assert result["synthetic"] is True and "SYNTHETIC" in capsys.readouterr().out


def test_scores_do_not_depend_on_the_batch_size(tiny_run: Path, made_up_corpus: Path, tmp_path: Path) -> None:
    tables = []
    for size in (1, 4, 7):
        config = (tiny_run / "config.yaml").read_text()
        copy = tmp_path / f"run{size}"
        (copy / "checkpoints").mkdir(parents=True)
        (copy / "config.yaml").write_text(config.replace("eval_batch: 8", f"eval_batch: {size}"))
        (copy / "data.json").write_text((tiny_run / "data.json").read_text())
        for file in (tiny_run / "checkpoints").iterdir():
            (copy / "checkpoints" / file.name).write_bytes(file.read_bytes())
        tables.append(score.score(copy, "test")["clips"])
    for clips in tables[1:]:
        assert json.dumps(clips) == json.dumps(tables[0])


def test_speech_becomes_motion_of_exactly_its_length(tiny_run: Path, speech: Path, tmp_path: Path) -> None:
    out = [tmp_path / "a.npz", tmp_path / "a.csv"]
    assert animate.main([str(speech), "--expression", str(tiny_run), "--out", *map(str, out)]) == 0
    motion = FaceMotion.load(out[0])
    assert len(motion) == num_motion_frames(32000) and motion.space == "arkit"
    assert len(out[1].read_text().splitlines()) == len(motion) + 1


def test_an_output_given_twice_writes_both_files(tiny_run: Path, speech: Path, tmp_path: Path) -> None:
    out = [tmp_path / "a.npz", tmp_path / "a.csv"]
    assert animate.main([str(speech), "--expression", str(tiny_run), "--out", str(out[0]), "--out", str(out[1])]) == 0
    assert all(file.is_file() for file in out), "the last --out replaced the first"


def test_two_styles_give_two_motions_of_the_same_speech(tiny_run: Path, speech: Path, tmp_path: Path) -> None:
    outs = []
    for name in ("one", "two"):
        style = tmp_path / f"{name}.npz"
        make_clip(name, 40).motion.save(style)
        out = tmp_path / f"out_{name}.npz"
        assert animate.main([str(speech), "--expression", str(tiny_run), "--style", str(style), "--out", str(out)]) == 0
        outs.append(FaceMotion.load(out))
    assert not np.allclose(outs[0].expression, outs[1].expression)
    assert np.array_equal(outs[0].head[:40], make_clip("one", 40).motion.head)


def test_speech_can_be_a_prepared_clip(tiny_run: Path, made_up_corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    assert animate.main([f"{made_up_corpus}#clip060", "--expression", str(tiny_run), "--out", str(out)]) == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: write_wav(p, np.full(3200, 0.1, np.float32)), "0.2"),
        (lambda p: write_wav(p, np.zeros(32000, np.float32)), "silen"),
        (lambda p: p.write_bytes(b"not audio at all"), "speech.wav"),
        (lambda p: None, "speech.wav"),
    ],
)
def test_bad_speech_is_one_sentence_and_writes_nothing(
    make, said: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "speech.wav", tmp_path / "out.npz"
    make(path)
    assert animate.main([str(path), "--expression", str(tiny_run), "--out", str(out)]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and len(error.splitlines()) == 1 and not out.exists()


def test_a_style_file_with_nan_is_named(
    tiny_run: Path, speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motion = make_clip("a", 30).motion
    style, out = tmp_path / "style.npz", tmp_path / "out.npz"
    motion.save(style)
    with np.load(style) as file:
        fields = {name: file[name] for name in file.files}
    fields["expression"] = fields["expression"].copy()
    fields["expression"][7, 3] = np.nan
    np.savez(style, **fields)
    assert animate.main([str(speech), "--expression", str(tiny_run), "--style", str(style), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "expression" in error and "7" in error and not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "a.avi"], "suffix must be one of"),
        (["--out", "no/such/folder/a.npz"], "does not exist"),
        (["--out", "a.npz", "--style", "x.npz", "y.npz"], "2 styles"),
        (["--out", "a.npz", "--checkpoint", "99"], "no checkpoint '99'"),
        (["--out", "a.npz", "--pose", "RUN"], "--pose would change nothing: only a persona's head is generated"),
        (["--out", "a.npz", "--sampling", "greedy", "--seed", "0"], "--sampling and --seed would change nothing"),
        (["--out", "a.npz", "--head", "still", "--sampling", "greedy"], "--sampling would change nothing"),
        (["--out", "a.npz", "--head", "style"], "give --style CLIP"),
        (["--out", "a.mp4", "--torso-share", "1.5"], "give 0 (the bust stands) to 1"),
        (["--out", "a.mp4", "--torso-share", "nan"], "give 0 (the bust stands) to 1"),
        (["--out", "a.npz", "a.glb", "--torso-share", "0.5"], "write an .mp4"),
    ],
)
def test_bad_options_are_told_before_any_work(
    arguments: list[str], said: str, tiny_run: Path, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert animate.main([str(speech), "--expression", str(tiny_run), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_torsos_share_reaches_the_video_and_how_the_bust_moves_is_said(
    tiny_run: Path,
    speech: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    drawn = {}
    monkeypatch.setattr(video, "render_motion", lambda motions, face, path, **given: drawn.update({path.name: given}))
    make_clip("style", 40).motion.save(tmp_path / "style.npz")
    command = [str(speech), "--expression", str(tiny_run), "--style", str(tmp_path / "style.npz"), "--out"]
    said = []
    for name, more in (("usual", []), ("stands", ["--torso-share", "0"]), ("turns", ["--torso-share", "1"])):
        assert animate.main([*command, str(tmp_path / f"{name}.mp4"), *more]) == 0
        said.append(capsys.readouterr().out)
    assert [drawn[f"{name}.mp4"]["torso_share"] for name in ("usual", "stands", "turns")] == [0.3, 0, 1]
    assert "torso share 0.3" in said[0] and "the bust moves 0.0 mm, 0% of the head" in said[1]
    assert "the bust moves" in said[2] and "moves 0.0 mm" not in said[2]
    assert animate.main([*command[:3], "--out", str(tmp_path / "still.mp4")]) == 0
    assert "the bust moves" not in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_named(tmp_path: Path, speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert animate.main([str(speech), "--expression", str(tmp_path), "--out", "a.npz"]) == 2
    assert "not a run folder" in capsys.readouterr().err
    assert score.main([str(tmp_path)]) == 2

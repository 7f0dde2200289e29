import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import prepare
import score

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
MODEL = SHARED / "data/models/face_landmarker.task"
VIDEOS = SHARED / "data/videos"
# Recordings whose names tell what MEAD's folders would: actor, emotion, level, sentence.
MEAD_CLIPS = {
    "mead_m003_1": ("M003", "disgusted", 1, "015"),
    "mead_m003_2": ("M003", "happy", 1, "024"),
    "mead_m024_1": ("M024", "surprised", 2, "010"),
    "mead_m030_1": ("M030", "angry", 3, "016"),
    "mead_m030_2": ("M030", "sad", 3, "001"),
    "mead_w015_1": ("W015", "neutral", 1, "030"),
    "mead_w036_1": ("W036", "happy", 3, "007"),
}


def told(capsys, *arguments):
    """Exit status and the one line that was said on standard error."""
    status = prepare.main(list(map(str, arguments)))
    lines = capsys.readouterr().err.strip().splitlines()
    return status, lines[-1] if lines else ""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(b"never opened")
    return path


@pytest.mark.parametrize(
    "verb", ["", "videos", "voxceleb2", "mead", "crema_d", "ravdess", "synthetic", "units", "check"]
)
def test_help_explains_every_verb(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        prepare.main([*verb.split(), "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "usage: prepare.py" in said and (verb in ("", "check") or "--out DIR" in said)


@pytest.mark.parametrize("verb", ["voxceleb2", "mead", "crema_d", "ravdess"])
def test_folder_of_another_layout_is_one_sentence_and_nothing_is_written(verb, tmp_path, model, capsys):
    pytest.importorskip("mediapipe")
    out = tmp_path / "out"
    status, said = told(capsys, verb, tmp_path / "nowhere", "--out", out, "--tracker-model", model)
    assert status == 2 and said.startswith("prepare.py: ") and "expected ROOT/" in said
    assert not out.exists()


def test_missing_model_file_and_bad_limits_are_one_sentence(tmp_path, capsys):
    pytest.importorskip("mediapipe")
    (tmp_path / "ada.mp4").touch()
    common = ("videos", tmp_path, "--out", tmp_path / "out")
    status, said = told(capsys, *common, "--tracker-model", tmp_path / "absent.task")
    assert status == 2 and "--tracker-model" in said and "storage.googleapis.com" in said
    status, said = told(capsys, *common, "--max-clip-seconds", 0.5)
    assert status == 2 and "longest" in said
    assert not (tmp_path / "out").exists()


def test_unreadable_recording_alone_is_an_error_that_names_it(tmp_path, model, capsys):
    pytest.importorskip("mediapipe")
    (tmp_path / "ada.mp4").write_text("no video")
    status, said = told(
        capsys,
        "videos",
        tmp_path / "ada.mp4",
        "--out",
        tmp_path / "out",
        "--tracker-model",
        model,
        "--workers",
        0,
    )
    assert status == 2 and "ada.mp4" in said and "unreadable" in said
    assert not (tmp_path / "out").exists()


def test_check_of_a_folder_without_a_corpus_fails(tmp_path, capsys):
    status, said = told(capsys, "check", tmp_path)
    assert status == 2 and str(tmp_path) in said


def test_small_synthetic_corpus_is_made_checked_and_not_made_twice(tmp_path, capsys):
    pytest.importorskip("espeakng_loader")
    out = tmp_path / "synthetic"
    command = [
        "synthetic",
        "--speakers",
        "3",
        "--clips-per-speaker",
        "1",
        "--val-speakers",
        "1",
        "--test-speakers",
        "1",
    ]
    command += ["--out", str(out), "--workers", "0"]
    assert prepare.main(command) == 0
    made = (out / "manifest.json").read_bytes()
    assert prepare.main(["check", str(out)]) == 0
    assert prepare.main(command) == 0
    assert "finished before" in capsys.readouterr().out
    assert (out / "manifest.json").read_bytes() == made
    shard = next(out.glob("train-*.tar"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    status, said = told(capsys, "check", out)
    assert status != 0 and shard.name in said


def _run(*arguments):
    command = [
        sys.executable,
        "prepare.py",
        *map(str, arguments),
        "--tracker-model",
        str(MODEL),
        "--workers",
        "1",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _need_recordings():
    pytest.importorskip("mediapipe")
    if not MODEL.is_file() or not VIDEOS.is_dir():
        pytest.skip(f"real recordings and tracker model are not in {SHARED}")


@pytest.mark.real
@pytest.mark.slow
def test_real_recordings_in_the_layout_of_mead(tmp_path):
    _need_recordings()
    root = tmp_path / "MEAD"
    for name, (actor, emotion, level, sentence) in MEAD_CLIPS.items():
        path = root / actor / f"video/front/{emotion}/level_{level}/{sentence}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(VIDEOS / f"{name}.mp4")
    out = tmp_path / "out"
    answer = _run("mead", root, "--out", out)
    assert answer.returncode == 0, answer.stderr
    from datamodules.shard_index import ShardIndex

    index = ShardIndex(out)
    found = {(entry.speaker, entry.emotion, entry.intensity) for entry in index.entries}
    assert found == {
        (actor, emotion, 0 if emotion == "neutral" else level) for actor, emotion, level, _ in MEAD_CLIPS.values()
    }
    for number in range(len(index)):
        clip = index.read(number).clip
        assert clip.motion.space == "arkit" and len(clip.motion) >= 50
        assert clip.meta.quality > 0.95 and "lag_frames" in clip.meta.extra
    assert prepare.main(["check", str(out)]) == 0


@pytest.mark.real
@pytest.mark.slow
def test_deliberate_trouble_is_told_apart(tmp_path):
    _need_recordings()
    names = ("hard_interview_two_1", "hard_trump_1", "hard_obama_rally_1")
    out = tmp_path / "out"
    answer = _run("videos", *(VIDEOS / f"{name}.mp4" for name in names), "--out", out)
    assert answer.returncode == 0, answer.stderr
    report = json.loads((out / "preparation.json").read_text())
    reasons = {dropped["source"]: dropped["reason"] for job in report["jobs"] for dropped in job["dropped"]}
    assert reasons == dict(zip(names, ("two faces", "no sound", "face lost"), strict=True))
    kept = [key for job in report["jobs"] for key in job["keys"]]
    assert kept and all(key.startswith("hard_obama_rally") for key in kept)
    alone = _run("videos", VIDEOS / "hard_interview_two_1.mp4", "--out", tmp_path / "alone")
    assert alone.returncode == 2 and "second face" in alone.stderr and not (tmp_path / "alone").exists()


def test_cached_features_train_a_network_without_the_encoder(made_up_corpus, tmp_path):
    pytest.importorskip("transformers")
    from test_encoders import save_tiny
    from tiny_runs import train_tiny

    weights = save_tiny(tmp_path, "hubert")
    out = tmp_path / "with_features"
    command = ["features", str(made_up_corpus), "--speech", "hubert", "--model-path", str(weights), "--out", str(out)]
    assert prepare.main(command) == 0
    cached = ["speech=hubert", "speech.cached_feature_width=32", "trainer.max_steps=2"]
    run = train_tiny(out, tmp_path / "run", *cached)
    assert score.main([str(run)]) == 0

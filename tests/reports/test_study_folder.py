import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

import compare
from faces.motion import FaceMotion
from reports import study_folder
from reports.study_folder import StudyOptions
from reports.study_plan import STILL

SMALL = ["--clips", "2", "--raters", "4", "--max-seconds", "0.4"]


@pytest.fixture(scope="module")
def runs(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and motion files that move the head."""
    folder = tmp_path_factory.mktemp("methods")
    run = shutil.copytree(tiny_run, folder / "run")
    (run / "scores-test.csv").touch()  # a run that was scored is still a run
    from made_up_clips import make_corpus_clips

    (folder / "theirs").mkdir()
    for clip in make_corpus_clips():
        if clip.meta.split == "test":
            head = 0.2 * np.sin(np.arange(len(clip.motion))[:, None] * np.ones(3)).astype(np.float32)
            motion = FaceMotion(expression=clip.motion.expression * 0.5, head=head)
            motion.save(folder / "theirs" / f"{clip.key}.npz")
    return run, folder / "theirs"


@pytest.mark.slow
def test_runs_and_motion_files_become_a_study(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_folder, "SHORTEST_FRAMES", 4)
    out = tmp_path / "study"
    study_folder.make_study(runs, out, StudyOptions(clips=2, raters=4, catches=1, max_seconds=0.4, size=64))
    key = json.loads((out / "key.json").read_text())
    assert key["questions"] == ["lips", "pose", "richness"] and key["baseline"] in key["methods"]
    # ratings of lips: 2 methods and the truth; of pose: the one with a head and the truth; one pair; two catches each
    assert len(key["sheets"][0]) == 2 * 3 + 2 * 2 + 2 + 6
    media = sorted(file.stem for file in (out / "page" / "media").iterdir())
    assert media == sorted(key["videos"]) and len(media) == len(set(media))
    assert {video["method"] for video in key["videos"].values()} == {*key["methods"], "truth", STILL}
    for code, video in key["videos"].items():
        with av.open(str(out / "page" / "media" / f"{code}.mp4")) as file:
            frames = [frame.to_ndarray(format="gray").astype(float) for frame in file.decode(video=0)]
            assert file.streams.audio
        assert len(frames) <= 10
        moves = max(np.abs(frame - frames[0]).max() for frame in frames)
        asked_of_head = any(code in codes and question == "pose" for s in key["sheets"] for question, codes in s)
        assert (moves < 12) == (video["method"] == STILL and not asked_of_head), (video, moves)
    assert (out / "answers").is_dir() and not list(tmp_path.glob("*.tmp"))


@pytest.mark.slow
def test_pose_runs_are_asked_about_their_heads_on_the_recorded_face(
    runs: tuple[Path, Path], made_up_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from made_up_clips import make_corpus_clips
    from tiny_runs import train_tiny

    vqvae = train_tiny(
        made_up_corpus, tmp_path / "vqvae", "callbacks.pose_media.every_steps=0", experiment="pose_vqvae"
    )
    options = ["callbacks.pose_media.every_steps=0", f"run.pose_vqvae={vqvae}", "trainer.max_steps=2"]
    gpt = train_tiny(made_up_corpus, tmp_path / "gpt", *options, experiment="pose_gpt")
    drawn: dict[str, FaceMotion] = {}

    def draw(motion: FaceMotion, face, path: Path, **_) -> None:
        drawn[path.stem] = motion
        path.touch()

    monkeypatch.setattr(study_folder, "SHORTEST_FRAMES", 4)
    monkeypatch.setattr(study_folder, "render_motion", draw)
    recorded = {clip.key: clip.motion for clip in make_corpus_clips()}
    for name, folders, asked in (
        ("heads", [gpt, vqvae], {"pose"}),
        ("mixed", [gpt, *runs], {"lips", "pose", "richness"}),
        ("files", [gpt, runs[1]], {"lips", "pose"}),
    ):
        drawn.clear()
        key = study_folder.make_study(folders, tmp_path / name, StudyOptions(clips=2, raters=2, max_seconds=0.4))
        assert set(key["questions"]) == asked
        assert key["baselines"]["pose"] == next(iter(key["methods"]))
        codes = {code for sheet in key["sheets"] for question, shown in sheet if question == "pose" for code in shown}
        assert {key["videos"][code]["method"] for code in codes} >= {key["baselines"]["pose"], "truth", STILL}
        for code in codes:
            video, motion = key["videos"][code], drawn[code]
            truth = recorded[video["clip"]]
            np.testing.assert_allclose(motion.expression, truth.expression[: len(motion)], atol=1e-6)
            moves = np.abs(np.diff(motion.head, axis=0)).max()
            assert (moves == 0) == (video["method"] == STILL), video
            if video["method"] == "truth":
                np.testing.assert_allclose(motion.head, truth.head[: len(motion)], atol=1e-6)


def test_what_cannot_become_a_study_is_one_sentence_and_leaves_nothing(
    runs: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, motions = map(str, runs)
    out = tmp_path / "study"
    for arguments, said in (
        ([motions], "at least one a run"),
        ([run, "--raters", "0"], "received 10 clips, 0 raters and 8 s; expected one or more of each"),
        ([run, "--clips", "0"], "received 0 clips"),
        ([run, "--clips", "99"], "clips of 2 s or more, 99 were asked for"),
        ([run, "--clips", "1", "--questions", "pose"], "the question 'pose' cannot be asked: no method moves the head"),
        ([run, "--clips", "1", "--questions", "taste"], "there is no question 'taste'; there are lips"),
        ([run, "--clips", "1", "--questions", "richness"], "it compares two methods"),
    ):
        monkeypatch.setattr(study_folder, "SHORTEST_FRAMES", 50 if "99" in arguments else 4)
        assert compare.main([*arguments, "--user-study", str(out)]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1, error
        assert not list(tmp_path.iterdir())
    out.mkdir()
    assert compare.main([run, "--user-study", str(out)]) == 2 and "is there already" in capsys.readouterr().err


def test_a_study_that_fails_half_way_leaves_nothing(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_, **__) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(study_folder, "SHORTEST_FRAMES", 4)
    monkeypatch.setattr(study_folder, "render_motion", fail)
    assert compare.main([str(runs[0]), "--user-study", str(tmp_path / "study"), *SMALL]) == 2
    assert not list(tmp_path.iterdir())

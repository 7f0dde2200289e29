"""The pose half of a persona, from adapt.py --pose to the head that animate.py generates."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import TINY_ADAPTATION, train_tiny

import adapt
import animate
import datamodules.person_reference as person_reference
from faces.motion import FaceMotion
from networks.code_sampling import SAMPLINGS
from networks.persona import POSE_STYLE, PersonaError, load_pose_style
from networks.pose_style_choice import METHODS
from networks.pose_style_files import PoseStyles, open_pose_styles
from networks.style_bank import Metric, StyleBank, StyleBankError
from personas.pose_half import style_of_person
from runtime.assemble import load_module
from runtime.run_folder import existing_run
from speech.audio import write_wav
from speech.semantic_units import SemanticUnits
from tests.corpora.made_up_videos import babble, made_up_track, plain_pictures, write_video


@pytest.fixture(scope="module")
def pose_vqvae(made_up_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(made_up_corpus, tmp_path_factory.mktemp("pose") / "vqvae", experiment="pose_vqvae")


@pytest.fixture(scope="module")
def pose_gpt(made_up_corpus: Path, pose_vqvae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pose") / "gpt"
    return train_tiny(made_up_corpus, folder, f"run.pose_vqvae={pose_vqvae}", experiment="pose_gpt")


@pytest.fixture(scope="module")
def persona(made_up_corpus: Path, pose_gpt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("personas") / "theo"
    assert adapt.main([f"{made_up_corpus}#theo", "--pose", str(pose_gpt), "--out", str(folder), "--seconds", "4"]) == 0
    return folder


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal(640 * 37 + 100)
    write_wav(tmp_path / "speech.wav", noise.astype(np.float32))
    return tmp_path / "speech.wav"


def record_of(persona: Path) -> dict:
    return json.loads((persona / "persona.json").read_text())


def test_a_persona_of_pose_alone_says_whom_it_moves_like_and_of_what_it_is_made(persona: Path, pose_gpt: Path) -> None:
    net = load_module(existing_run(pose_gpt))[0].net
    record, pose = record_of(persona), record_of(persona)["pose"]
    assert sorted(f.name for f in persona.iterdir()) == ["identity.npz", "persona.json", "style.safetensors"]
    assert "base" not in record and record["reference"]["person"] == "theo"
    assert pose["vqvae"] == net.vqvae.fingerprint() and pose["run_id"] == existing_run(pose_gpt).run_id
    assert pose["method"] == "retrieved" and pose["distance"] == "statistics" and not pose["silent"]
    number = net.style_names.index(pose["nearest"]["name"])
    assert torch.equal(load_pose_style(persona, net), net.gpt.styles.weight[number])
    assert list(load_file(persona / "style.safetensors")) == [POSE_STYLE]


def test_the_bank_is_built_once_beside_the_run_and_then_read(
    persona: Path, pose_gpt: Path, made_up_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank = pose_gpt / "pose_styles" / "style_bank.safetensors"
    before = bank.stat().st_mtime_ns
    assert (
        adapt.main([f"{made_up_corpus}#theo", "--pose", str(pose_gpt), "--out", str(tmp_path / "p"), "--seconds", "4"])
        == 0
    )
    assert bank.stat().st_mtime_ns == before and "building" not in capsys.readouterr().out
    assert StyleBank.load(bank).sources == list(load_module(existing_run(pose_gpt))[0].net.style_names)
    assert record_of(tmp_path / "p")["pose"] == record_of(persona)["pose"]


@pytest.mark.parametrize(
    "style", ["mixed", pytest.param("tuned", marks=pytest.mark.slow), "predicted", "predicted_from_s", "unknown"]
)
def test_other_ways_to_choose_a_style_give_other_vectors(
    style: str, persona: Path, pose_gpt: Path, made_up_corpus: Path, tmp_path: Path
) -> None:
    command = [f"{made_up_corpus}#theo", "--pose", str(pose_gpt), "--seconds", "4", "--pose-style", style]
    assert adapt.main([*command, "--out", str(tmp_path / "p")]) == 0
    net = load_module(existing_run(pose_gpt))[0].net
    assert record_of(tmp_path / "p")["pose"]["method"] == style
    assert not torch.equal(load_pose_style(tmp_path / "p", net), load_pose_style(persona, net))


def test_a_motion_without_speech_is_retrieved_by_its_statistics_and_says_so(
    pose_gpt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = np.cumsum(np.random.default_rng(1).normal(0, 0.01, (80, 3)), axis=0).astype(np.float32)
    motion = FaceMotion(expression=np.zeros((80, 52)), head=head, space="arkit")
    motion.save(tmp_path / "nodding.npz")
    command = [str(tmp_path / "nodding.npz"), "--pose", str(pose_gpt), "--pose-distance", "shrunk"]
    assert adapt.main([*command, "--out", str(tmp_path / "p")]) == 0
    pose = record_of(tmp_path / "p")["pose"]
    assert pose["silent"] and pose["distance"] == "statistics"
    assert "silent: its pose style was chosen by the statistics of its head motion alone" in capsys.readouterr().out


@pytest.mark.parametrize("sound", ["none", "zeros"])
def test_a_video_without_sound_and_a_silent_one_are_retrieved_by_their_motion(
    sound: str, pose_gpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def track(pictures, model):
        times = np.array([picture.time_s for picture in pictures])
        return made_up_track(times, opening=0.1 + 0.2 * babble(len(times) / 25)[1])

    monkeypatch.setattr(person_reference, "track_pictures", track)
    (tmp_path / "model.task").write_bytes(b"a model")
    write_video(
        tmp_path / "eve.mp4", plain_pictures(100), audio=None if sound == "none" else np.zeros(64000, np.float32)
    )
    command = [str(tmp_path / "eve.mp4"), "--pose", str(pose_gpt), "--tracker-model", str(tmp_path / "model.task")]
    assert adapt.main([*command, "--seconds", "3", "--out", str(tmp_path / "p")]) == 0
    record = record_of(tmp_path / "p")
    assert record["pose"]["silent"] and record["reference"]["person"] == "eve" and record["pose"]["seconds"] == 3
    assert "silent: its pose style was chosen by the statistics" in capsys.readouterr().out
    assert adapt.main([*command, "--pose-style", "predicted_from_s", "--out", str(tmp_path / "q")]) == 2
    assert "predicted_from_s reads the speech" in capsys.readouterr().err


def test_both_halves_read_the_same_seconds_and_a_video_is_tracked_once(
    tiny_run: Path, pose_gpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked: list[int] = []

    def track(pictures, model):
        times = np.array([picture.time_s for picture in pictures])
        tracked.append(len(times))
        return made_up_track(times, opening=0.1 + 0.2 * babble(len(times) / 25)[1])

    monkeypatch.setattr(person_reference, "track_pictures", track)
    (tmp_path / "model.task").write_bytes(b"a model")
    video = tmp_path / "take #1.mp4"
    write_video(video, plain_pictures(150), audio=babble(6.0)[0])
    command = [str(video), "--expression", str(tiny_run), "--pose", str(pose_gpt), "--out", str(tmp_path / "p")]
    overrides = ["data.seconds=3.0", f"run.root={tmp_path / 'runs'}", *TINY_ADAPTATION]
    assert adapt.main([*command, "--tracker-model", str(tmp_path / "model.task"), *overrides]) == 0
    record = record_of(tmp_path / "p")
    assert len(tracked) == 1 and record["reference"]["seconds"] == record["pose"]["seconds"] == 3
    assert record["reference"]["person"] == "take #1"


def test_by_speech_the_distance_is_printed_without_one_of_another_kind(
    persona: Path, made_up_corpus: Path, pose_gpt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [f"{made_up_corpus}#theo", "--pose", str(pose_gpt), "--seconds", "4", "--out", str(tmp_path / "p")]
    assert adapt.main([*command, "--pose-distance", "shrunk"]) == 0
    pose, said = record_of(tmp_path / "p")["pose"], capsys.readouterr().out
    assert pose["distance"] == "shrunk" and pose["between_known"] is None
    assert f"{pose['nearest']['distance']:.2f} by shrunk\n" in said
    assert record_of(persona)["pose"]["between_known"] > 0


def test_units_of_an_encoder_that_is_not_there_are_refused_by_name_where_speech_is_asked_for(
    persona: Path, made_up_corpus: Path, pose_gpt: Path
) -> None:
    net = load_module(existing_run(pose_gpt))[0].net
    bank, units = open_pose_styles(pose_gpt / "pose_styles", net, lambda: pytest.fail("built again"))
    styles = PoseStyles(bank, SemanticUnits(units.centroids, units.scale, "hubert hubert-0123"))
    reference = person_reference.read_person(str(made_up_corpus), "theo", 4.0)
    for method, distance in (("retrieved", "shrunk"), ("mixed", "shared"), ("predicted_from_s", "statistics")):
        with pytest.raises(StyleBankError, match=r"of hubert hubert-0123; .*the network has no encoder"):
            style_of_person(net, styles, reference, method, distance)
    assert not style_of_person(net, styles, reference, "retrieved", "statistics").nearest.from_speech


def test_face_and_generated_head_come_as_one_motion_exactly_as_long_as_the_speech(
    persona: Path, tiny_run: Path, speech: Path, tmp_path: Path
) -> None:
    def animated(name: str, *more: str) -> FaceMotion:
        out = tmp_path / f"{name}.npz"
        command = [str(speech), "--persona", str(persona), "--expression", str(tiny_run), "--out", str(out), *more]
        assert animate.main(command) == 0
        return FaceMotion.load(out)

    first, same, other = animated("a"), animated("b"), animated("c", "--seed", "5")
    assert len(first) == 37 and np.abs(first.head).max() > 0 and first.translation is None
    assert np.array_equal(first.head, same.head) and not np.array_equal(first.head, other.head)
    assert np.array_equal(first.expression, other.expression)
    greedy = [animated(f"g{seed}", "--sampling", "greedy", "--seed", str(seed)).head for seed in (0, 1)]
    assert np.array_equal(*greedy)
    unused = [str(speech), "--persona", str(persona), "--expression", str(tiny_run), "--out", str(tmp_path / "no.npz")]
    assert animate.main([*unused, "--head", "still", "--seed", "5"]) == 2 and not (tmp_path / "no.npz").exists()
    still = animated("still", "--head", "still")
    assert not still.head.any() and np.array_equal(still.expression, first.expression)


@pytest.mark.slow
def test_one_persona_holds_both_halves_and_animates_without_naming_runs(
    made_up_corpus: Path, tiny_run: Path, pose_gpt: Path, persona: Path, speech: Path, tmp_path: Path
) -> None:
    tiny = [
        "data.window_frames=20",
        "data.global_batch=4",
        "adapter.spec.ranks=[2]",
        "trainer.max_steps=2",
        "trainer.val_every_steps=2",
        "logger=none",
    ]
    command = [f"{made_up_corpus}#theo", "--expression", str(tiny_run), "--pose", str(pose_gpt), "--seconds", "4"]
    assert adapt.main([*command, "--out", str(tmp_path / "both"), f"run.root={tmp_path / 'runs'}", *tiny]) == 0
    record = record_of(tmp_path / "both")
    assert record["pose"] == record_of(persona)["pose"] and record["base"]["run"] == str(tiny_run.resolve())
    assert set(load_file(tmp_path / "both" / "style.safetensors")) > {POSE_STYLE}
    heads = []
    for folder, more in ((tmp_path / "both", []), (persona, ["--expression", str(tiny_run)])):
        out = tmp_path / f"{folder.name}.npz"
        assert animate.main([str(speech), "--persona", str(folder), "--out", str(out), *more]) == 0
        heads.append(FaceMotion.load(out).head)
    assert np.array_equal(*heads)


def test_what_cannot_be_adapted_is_one_sentence_and_status_2(
    made_up_corpus: Path,
    tiny_run: Path,
    pose_gpt: Path,
    pose_vqvae: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    person, out = f"{made_up_corpus}#theo", tmp_path / "p"
    for name, frames in (("short", 40), ("long", 60)):
        zeros = np.zeros((frames, 52), np.float32)
        FaceMotion(expression=zeros, head=np.zeros((frames, 3)), space="arkit").save(tmp_path / f"{name}.npz")
    cases = [
        ([person], "nothing to adapt: give --expression RUN, --pose RUN or both"),
        ([person, "--pose", str(tiny_run)], "no run of pose_gpt: its network is ExpressionAdapter"),
        ([person, "--pose", str(pose_vqvae)], "no run of pose_gpt: its network is PoseVQVAE"),
        ([person, "--pose", str(tmp_path)], "is not a run folder"),
        ([str(tmp_path / "nowhere.mp4"), "--pose", str(tiny_run)], "no run of pose_gpt"),  # before anything is tracked
        ([str(tmp_path / "nowhere.mp4"), "--pose", str(pose_gpt)], "nowhere.mp4 does not exist"),
        ([str(tmp_path / "nowhere.npz"), "--pose", str(pose_gpt)], "nowhere.npz does not exist"),
        ([person, "--pose", str(pose_gpt), "--seconds", "nan"], "nan s of reference were asked for"),
        ([person, "--pose", str(pose_gpt), "--seconds", "inf"], "inf s of reference were asked for"),
        ([person, "--pose", str(pose_gpt), "--seconds", "1"], "at least 2 s are needed"),
        ([str(tmp_path / "short.npz"), "--pose", str(pose_gpt)], "1.60 s that can be used"),
        ([person, "--pose", str(pose_gpt), "data.window_frames=3"], "without --expression RUN nothing is trained"),
        (
            [str(tmp_path / "long.npz"), "--pose", str(pose_gpt), "--expression", str(tiny_run)],
            "leave out --expression",
        ),
    ]
    for arguments, said in cases:
        assert adapt.main([*arguments, "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1, error
        assert not out.exists()


def test_a_bank_or_network_that_the_persona_was_not_made_of_is_refused(
    made_up_corpus: Path,
    persona: Path,
    pose_gpt: Path,
    tiny_run: Path,
    speech: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = pose_gpt / "pose_styles"
    bank = StyleBank.load(folder / "style_bank.safetensors")
    whole = (folder / "style_bank.safetensors").read_bytes()
    bank.vqvae = "pose-000000000000"
    bank.save(folder / "style_bank.safetensors")
    try:
        command = [f"{made_up_corpus}#theo", "--pose", str(pose_gpt), "--out", str(tmp_path / "p"), "--seconds", "4"]
        assert adapt.main(command) == 2
        error = capsys.readouterr().err
        assert "built with VQ-VAE pose-000000000000" in error and "remove that folder" in error
    finally:
        (folder / "style_bank.safetensors").write_bytes(whole)
    net = load_module(existing_run(pose_gpt))[0].net
    with torch.no_grad():
        net.gpt.output.bias.add_(1)
    with pytest.raises(PersonaError, match="made on base"):
        load_pose_style(persona, net)
    arguments = [str(speech), "--persona", str(persona), "--out", str(tmp_path / "a.npz")]
    for more, said in (
        ([], "holds a pose style alone; give --expression RUN"),
        (["--expression", str(tiny_run), "--pose", str(tiny_run)], "no run of pose_gpt"),
    ):
        assert animate.main([*arguments, *more]) == 2
        assert said in capsys.readouterr().err
    assert (
        animate.main(
            [str(speech), "--expression", str(tiny_run), "--head", "persona", "--out", str(tmp_path / "a.npz")]
        )
        == 2
    )
    assert "needs --persona FOLDER" in capsys.readouterr().err


def test_what_adapt_py_offers_is_what_there_is() -> None:
    """The verb names its choices itself, so that --help needs no torch."""
    assert adapt.POSE_STYLES == METHODS and set(adapt.SAMPLINGS) == set(SAMPLINGS)
    assert set(adapt.POSE_DISTANCES) == set(get_args(Metric))

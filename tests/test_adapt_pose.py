"""The pose half of a persona, from adapt.py --pose to the head that animate.py generates."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import train_tiny

import adapt
import animate
from faces.motion import FaceMotion
from networks.code_sampling import SAMPLINGS
from networks.persona import POSE_STYLE, PersonaError, load_pose_style
from networks.pose_style_choice import METHODS
from networks.style_bank import Metric, StyleBank
from runtime.assemble import load_module
from runtime.run_folder import existing_run
from speech.audio import write_wav


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


@pytest.mark.parametrize("style", ["mixed", pytest.param("tuned", marks=pytest.mark.slow), "predicted", "unknown"])
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

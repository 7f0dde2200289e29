"""What adapt.py cannot adapt to, or with: one sentence, and nothing is left behind."""

from pathlib import Path

import numpy as np
import pytest
from adapt_commands import arguments, run_of
from made_up_clips import make_clip, write_corpus

import adapt
import train
from datamodules.adaptation import AdaptationDataModule
from runtime.compose import compose
from runtime.run_folder import RunError, existing_run
from tests.tiny_runs import SHORT, TINY_ADAPTATION, train_tiny


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--seconds", "1.5"], "at least 2 s"),
        (["adapter.spec.ranks=[500]"], "rank 500 is larger than every layer"),
        (["adapter.spec.layers=[fusion]", "adapter.spec.ranks=[500]"], "500"),
        (["adapter.spec.layers=['*.atention.output']"], "near misses"),
        (["--adapter", "molara"], "did you mean 'molora'"),
        (["task.held=[style_encodr]"], "matches no module"),
        (["adapter.lr=-1"], "Invalid learning rate: -1"),
        (["--checkpoint", "99"], "no checkpoint '99'"),
        (["--out", "/proc/persona"], "no folder can be made in /proc"),
        (["--out", "."], "is no name of a persona"),
        (["trainer.max_steps=5"], "give trainer.max_steps=4 or trainer.val_every_steps=5"),
        (["--seed", "7"], "--seed would change nothing without --pose RUN"),
        (["--sampling", "greedy"], "--sampling would change nothing without --pose RUN"),
        (["--tracker-model", "/a/${x}"], "'/a/${x}' holds '${'"),
    ],
)
def test_bad_options_are_one_sentence_and_write_no_persona(
    more: list[str], said: str, made_up_corpus: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adapt.main(arguments(made_up_corpus, tiny_run, tmp_path, *more)) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and len(error.splitlines()) == 1
    assert not (tmp_path / "runs").exists() and not (tmp_path / "persona").exists()


@pytest.mark.parametrize(("person", "said"), [("teo", "theo"), ("clip000", "at least 2 s"), ("mute", "silent")])
def test_bad_references_are_one_sentence(
    person: str, said: str, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mute = make_clip("clip002", 60, speaker="mute")
    object.__setattr__(mute, "audio", np.zeros_like(mute.audio))
    corpus = write_corpus(tmp_path / "corpus", [make_clip("clip000", 30, speaker="theo"), mute])
    assert adapt.main(arguments(corpus, tiny_run, tmp_path, person=person)) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and len(error.splitlines()) == 1
    assert not (tmp_path / "runs").exists() and not (tmp_path / "persona").exists()


def test_a_recording_of_another_space_than_the_base_leaves_no_run(
    made_up_corpus: Path,
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = AdaptationDataModule.facts
    in_flame = property(lambda data: facts.fget(data) | {"space": "flame"})  # type: ignore[attr-defined]
    monkeypatch.setattr(AdaptationDataModule, "facts", in_flame)
    assert adapt.main(arguments(made_up_corpus, tiny_run, tmp_path)) == 2
    error = capsys.readouterr().err.strip()
    assert "flame space" in error and "arkit" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "runs").exists() and not (tmp_path / "persona").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("adapter.spec.layers=['*.atention.output']", "near misses"),
        ("task.held=[style_encodr]", "matches no module"),
        ("base.run=no/such/run", "no/such/run"),
        ("data.emotion=furious", "furious"),
    ],
)
def test_a_training_that_does_not_fit_the_base_leaves_no_run(
    override: str, said: str, made_up_corpus: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = [
        f"base.run={tiny_run}",
        f"data.root={made_up_corpus}",
        "data.person=theo",
        f"run.root={tmp_path / 'runs'}",
    ]
    name = override.split("=")[0]
    given = [value for value in values if not value.startswith(f"{name}=")]
    assert train.main(["molora_adaptation", *given, *TINY_ADAPTATION, override]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_a_training_without_a_base_asks_for_it_before_anything_of_the_person(
    made_up_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["molora_adaptation", f"data.root={made_up_corpus}", *TINY_ADAPTATION]) == 2
    assert "base.run is not set" in capsys.readouterr().err


def test_a_folder_that_is_no_persona_is_not_replaced(
    made_up_corpus: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "persona").mkdir()
    (tmp_path / "persona" / "thesis.txt").write_text("ten years of work")
    assert adapt.main(arguments(made_up_corpus, tiny_run, tmp_path)) == 2
    assert "not a persona" in capsys.readouterr().err and (tmp_path / "persona" / "thesis.txt").exists()


def test_a_base_of_another_space_is_refused(tiny_run: Path) -> None:
    from runtime.assemble import build_module

    config = compose("molora_adaptation", [f"base.run={tiny_run}"])
    facts = existing_run(tiny_run).data
    with pytest.raises(RunError, match=r"flame space.*arkit"):
        build_module(config, facts | {"space": "flame"})
    with pytest.raises(RunError, match=r"base\.run=RUN"):
        build_module(compose("molora_adaptation"), facts)


def test_a_base_that_is_no_expression_run_is_refused_by_its_kind(
    made_up_corpus: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adapt.main(arguments(made_up_corpus, tiny_run, tmp_path / "adapted", "trainer.max_steps=2")) == 0
    vqvae = train_tiny(made_up_corpus, tmp_path / "vqvae", "trainer.max_steps=1", experiment="pose_vqvae")
    still = tmp_path / "still"
    silent = ["callbacks.media.every_steps=0", *SHORT]
    assert train.main(["mean_face", f"data.root={made_up_corpus}", f"run.folder={still}", *silent]) == 0
    bases = {
        run_of(tmp_path / "adapted"): "itself an adaptation, to theo",
        vqvae: "pose_vqvae, which has no face",
        still: "MeanFace",
    }
    for base, said in bases.items():
        assert adapt.main(arguments(made_up_corpus, base, tmp_path)) == 2
        error = capsys.readouterr().err.strip()
        assert said in error and "expression_pretraining" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "runs").exists()

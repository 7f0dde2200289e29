"""animate.py with personas: whose weights, style, shape and feeling a face speaks with."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_up_clips import make_clip
from test_adapt import arguments

import adapt
import animate
from datamodules.shard_index import ShardIndex
from faces.motion import FaceMotion
from speech.audio import write_wav


@pytest.fixture(scope="module")
def personas(made_up_corpus: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two people on one base."""
    root = tmp_path_factory.mktemp("personas")
    people = ("theo", "vera")
    for person in people:
        assert adapt.main(arguments(made_up_corpus, tiny_run, root, person=person, out=person)) == 0
    return {person: root / person for person in people}


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    write_wav(
        tmp_path / "speech.wav", (0.2 * np.random.default_rng(0).standard_normal(32000)).clip(-1, 1).astype(np.float32)
    )
    return tmp_path / "speech.wav"


def reference_of(persona: Path) -> Path:
    """The motion that a persona was adapted to."""
    return persona.parent / "runs" / json.loads((persona / "persona.json").read_text())["run_id"] / "reference.npz"


def animated(speech: Path, *more: str) -> FaceMotion:
    out = speech.with_name("out.npz")
    assert animate.main([str(speech), *more, "--out", str(out)]) == 0
    return FaceMotion.load(out)


def test_a_persona_speaks_with_the_run_that_it_remembers(
    personas: dict[str, Path], tiny_run: Path, speech: Path
) -> None:
    own = animated(speech, "--persona", str(personas["theo"]))
    style = str(reference_of(personas["theo"]))
    base = animated(speech, "--expression", str(tiny_run), "--style", style)
    assert len(own) == 50 and not np.array_equal(own.expression, base.expression)
    again = animated(speech, "--persona", str(personas["theo"]), "--style", style)
    assert np.array_equal(own.expression, again.expression)


def test_a_feeling_between_two_people_is_refused(
    personas: dict[str, Path], made_up_corpus: Path, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = ShardIndex(made_up_corpus).entries
    clips = [f"{made_up_corpus}#{next(e.key for e in entries if e.speaker == who)}" for who in ("theo", "vera")]
    command = [str(speech), "--persona", str(personas["theo"]), "--out", str(speech.with_name("felt.npz"))]
    assert animate.main([*command, "--emotion", *clips]) == 2
    assert "are of theo and vera" in capsys.readouterr().err
    assert animate.main([*command, "--emotion", clips[0], clips[0]]) == 0


def test_speech_and_style_may_have_a_hash_in_their_names(personas: dict[str, Path], speech: Path) -> None:
    hashed = speech.with_name("take #1.wav")
    hashed.write_bytes(speech.read_bytes())
    style = speech.with_name("style #2.npz")
    style.write_bytes(reference_of(personas["vera"]).read_bytes())
    assert len(animated(hashed, "--persona", str(personas["theo"]), "--style", str(style))) == 50


def test_an_interruption_is_one_line(
    speech: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(animate, "animate", interrupted)
    assert animate.main([str(speech), "--expression", str(tmp_path), "--out", str(tmp_path / "a.npz")]) == 130
    assert capsys.readouterr().err == "animate.py: interrupted\n"


def test_a_persona_keeps_its_shape_in_the_style_of_somebody_else(personas: dict[str, Path], speech: Path) -> None:
    style = str(reference_of(personas["vera"]))
    own = animated(speech, "--persona", str(personas["theo"]))
    dressed = animated(speech, "--persona", str(personas["theo"]), "--style", style)
    assert np.array_equal(dressed.identity, own.identity) and dressed.identity_space == own.identity_space
    assert len(own.identity) and not np.array_equal(own.identity, FaceMotion.load(Path(style)).identity)
    assert not np.allclose(dressed.expression, own.expression)


def test_a_feeling_is_added_to_a_persona_and_none_where_both_clips_are_one(
    personas: dict[str, Path], speech: Path, tmp_path: Path
) -> None:
    clips = []
    for name in ("felt", "neutral"):
        make_clip(name, 40).motion.save(tmp_path / f"{name}.npz")
        clips.append(str(tmp_path / f"{name}.npz"))
    persona = ["--persona", str(personas["theo"])]
    own, moved, same = (
        animated(speech, *persona, *more) for more in ([], ["--emotion", *clips], ["--emotion", clips[1], clips[1]])
    )
    assert not np.allclose(moved.expression, own.expression) and np.array_equal(moved.identity, own.identity)
    np.testing.assert_allclose(same.expression, own.expression, atol=1e-5)


def test_the_way_from_one_persona_to_another_begins_at_the_one_and_ends_at_the_other(
    personas: dict[str, Path], speech: Path
) -> None:
    one, other = (animated(speech, "--persona", str(folder)) for folder in personas.values())
    both = ["--persona", *map(str, personas.values())]
    mixed = [animated(speech, *both, "--mix", share) for share in ("0", "0.5", "1")]
    assert np.array_equal(mixed[0].expression, one.expression)
    assert np.array_equal(mixed[2].expression, other.expression)
    np.testing.assert_allclose(mixed[1].expression, (one.expression + other.expression) / 2, atol=1e-6)


def test_a_base_that_was_moved_is_asked_for(
    personas: dict[str, Path], tiny_run: Path, speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(personas["theo"], moved)
    record = json.loads((moved / "persona.json").read_text())
    record["base"]["run"] = "/nowhere/run"
    (moved / "persona.json").write_text(json.dumps(record))
    out = tmp_path / "a.npz"
    assert animate.main([str(speech), "--persona", str(moved), "--out", str(out)]) == 2
    assert "--expression RUN says where it is" in capsys.readouterr().err
    animated(speech, "--persona", str(moved), "--expression", str(tiny_run))


def test_a_mixture_begins_at_the_first_style_and_ends_at_the_second(
    tiny_run: Path, speech: Path, tmp_path: Path
) -> None:
    styles = []
    for name in ("one", "two"):
        make_clip(name, 40).motion.save(tmp_path / f"{name}.npz")
        styles.append(str(tmp_path / f"{name}.npz"))
    run = ["--expression", str(tiny_run)]
    first, second = (animated(speech, *run, "--style", style) for style in styles)
    mixed = [animated(speech, *run, "--style", *styles, "--mix", share) for share in ("0", "0.5", "1")]
    assert np.array_equal(mixed[0].expression, first.expression) and np.array_equal(mixed[0].head, first.head)
    assert np.array_equal(mixed[2].expression, second.expression) and np.array_equal(mixed[2].head, second.head)
    assert not np.allclose(mixed[1].expression, first.expression) and not np.allclose(
        mixed[1].expression, second.expression
    )


def test_guidance_of_a_persona_begins_at_the_neutral_style(personas: dict[str, Path], speech: Path) -> None:
    persona = ["--persona", str(personas["theo"])]
    motions = [animated(speech, *persona, "--guidance", scale).expression for scale in ("0", "1", "2")]
    assert not np.allclose(motions[0], motions[1]) and not np.allclose(motions[1], motions[2])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "--expression RUN"),
        (["--expression", "RUN", "--style", "a.npz", "--mix", "0.5"], "two styles"),
        (["--expression", "RUN", "--style", "a.npz", "b.npz", "--mix", "1.5"], "from 0 to 1"),
        (["--persona", "nobody"], "not a persona"),
        (["--persona", "a", "b"], "with --mix SHARE"),
        (["--persona", "a", "b", "c", "--mix", "0.5"], "3 personas"),
        (["--persona", "a", "b", "--style", "c.npz", "--mix", "0.5"], "without --style"),
        (["--persona", "a", "--guidance", "nan"], "--guidance nan"),
        (["--persona", "a", "--guidance", "-1"], "give 0"),
        (["--persona", "a", "--guidance", "1e9"], "to 5"),
        (["--expression", "RUN", "--guidance", "2"], "intensity of a style"),
    ],
)
def test_bad_options_of_a_style_are_told_before_any_work(
    more: list[str], said: str, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert animate.main([str(speech), *more, "--out", str(speech.with_name("a.npz"))]) == 2
    assert said in capsys.readouterr().err


def test_a_feeling_without_a_person_and_a_style_of_a_few_frames_are_refused(
    tiny_run: Path, speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, frames in (("long", 40), ("short", 20)):
        make_clip(name, frames).motion.save(tmp_path / f"{name}.npz")
    command = [str(speech), "--expression", str(tiny_run), "--out", str(tmp_path / "a.npz")]
    long, short = str(tmp_path / "long.npz"), str(tmp_path / "short.npz")
    for more, said in ((["--emotion", long, long], "--persona or --style"), (["--style", short], "lasts 0.80 s")):
        assert animate.main([*command, *more]) == 2
        assert said in capsys.readouterr().err

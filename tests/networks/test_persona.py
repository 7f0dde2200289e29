"""A persona's folder: what is written is read back, whole or not at all, and only on its base."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import networks.persona as persona_module
from networks.expression_adapter import ExpressionAdapter
from networks.persona import Persona, PersonaError, load_persona, load_pose_style, read_record, save_persona
from networks.pose_gpt import PoseGPTSettings
from networks.speech_front_end import LogMelFrontEnd
from networks.weight_adapters import (
    attach,
    base_hash,
    deltas,
    expression_spec,
    people_of,
    remove,
    several_people,
    switch,
)
from personas.pose_half import head_of_persona


def make_net(seed: int = 0) -> ExpressionAdapter:
    torch.manual_seed(seed)
    return ExpressionAdapter(
        LogMelFrontEnd(16), num_identity=4, width=16, blocks=1, num_heads=2, feed_forward=32, kernel_size=3
    ).eval()


def make_persona(net: ExpressionAdapter) -> Persona:
    attach(net, expression_spec(net, "molora", ranks=(2,)), "person")
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "weight_adapters" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    style = net.encode_style(torch.rand(1, 20, 55, generator=torch.Generator().manual_seed(1)))
    return Persona(
        "ada", style, np.arange(4, dtype=np.float32), "procedural", {"seed": 1, "adapter": {"method": "molora"}}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    net = make_net()
    save_persona(tmp_path / "ada", net, make_persona(net), "person")
    return tmp_path / "ada"


def test_what_is_written_is_read_back(folder: Path) -> None:
    wrote, net = make_net(), make_net()
    expected = make_persona(wrote)
    read = load_persona(folder, net)
    assert all(torch.equal(a, b) for a, b in zip(read.style, expected.style, strict=True))
    assert np.array_equal(read.identity, expected.identity) and (read.name, read.identity_space) == (
        "ada",
        "procedural",
    )
    assert read.record["seed"] == 1
    assert read.person == "ada"
    ours, theirs = deltas(net, "ada"), deltas(wrote, "person")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_persona_is_refused_on_another_base_which_stays_as_it_was(folder: Path) -> None:
    other = make_net(seed=5)
    with pytest.raises(PersonaError, match="made on base"):
        load_persona(folder, other)
    assert people_of(other) == []


@pytest.mark.parametrize("name", ["style.safetensors", "identity.npz", "adapter.safetensors", "persona.json"])
@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_damaged_persona_is_refused_and_leaves_the_network_alone(folder: Path, name: str, harm: str) -> None:
    file = folder / name
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:40])
    else:
        file.unlink()
    net = make_net()
    with pytest.raises(PersonaError, match=name):
        load_persona(folder, net)
    assert people_of(net) == []


def test_a_write_that_fails_leaves_nothing_or_the_older_persona(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: Path, content: bytes) -> None:
        raise OSError("no space left on device")

    net = make_net()
    persona = make_persona(net)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(persona_module, "_write", full_disk)
    for target in (folder, tmp_path / "new"):
        with pytest.raises(OSError, match="no space"):
            save_persona(target, net, persona, "person")
    assert [file.name for file in tmp_path.iterdir()] == ["ada"]
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_an_older_persona_is_replaced_and_anything_else_is_not(folder: Path, tmp_path: Path) -> None:
    net = make_net()
    persona = make_persona(net)
    save_persona(folder, net, Persona("bob", *list(vars(persona).values())[1:]), "person")
    assert read_record(folder)["name"] == "bob" and [file.name for file in tmp_path.iterdir()] == ["ada"]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("a")
    with pytest.raises(PersonaError, match="not a persona"):
        save_persona(tmp_path / "notes", net, persona, "person")


def test_a_record_of_another_format_is_refused(folder: Path) -> None:
    record = read_record(folder)
    (folder / "persona.json").write_text(json.dumps(record | {"format": "something else"}))
    with pytest.raises(PersonaError, match="format"):
        load_persona(folder, make_net())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"name": None}, "name is None, expected str"),
        ({"base_hash": 3}, "base_hash is 3, expected str"),
        ({"base": "x"}, "base.run is None, expected str"),
        ({"base": {"run": "r"}}, "base.checkpoint is None, expected str"),
        ({"pose": []}, "pose.base_hash is None, expected str"),
        ({"pose": {"base_hash": "x"}}, "pose.run is None, expected str"),
        ({"pose": {"base_hash": "x", "run": "r"}}, "pose.checkpoint is None, expected str"),
        ({"pose": {"base_hash": "x", "run": "r", "checkpoint": "best"}}, "pose.sampling is None, expected str"),
        ({"adapter": "molora"}, "adapter is 'molora', expected dict"),
    ],
)
def test_a_damaged_record_is_named_field_by_field(folder: Path, damage: dict, said: str) -> None:
    record = json.loads((folder / "persona.json").read_text())
    (folder / "persona.json").write_text(json.dumps(record | damage))
    with pytest.raises(PersonaError, match=said):
        read_record(folder)


def write_person(folder: Path, name: str, seed: int, method: str = "molora") -> None:
    """A persona of `make_net`'s base whose change is random; without a change for the method `none`."""
    net = make_net()
    persona = make_persona(net)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if "weight_adapters" in key:
                parameter.normal_(generator=generator)
    record = {"adapter": {"method": "molora"} if method != "none" else {}}
    written = Persona(name, persona.style, persona.identity, persona.identity_space, record)
    save_persona(folder, net, written, None if method == "none" else "person")


@torch.no_grad()
def test_two_personas_share_one_network_and_one_batch(folder: Path, tmp_path: Path) -> None:
    write_person(tmp_path / "p 12", "p 12", 3)
    net = make_net()
    speech = 0.1 * torch.randn(2, 640 * 20, generator=torch.Generator().manual_seed(0))
    frames, reference = torch.tensor([20, 20]), torch.rand(2, 20, 55, generator=torch.Generator().manual_seed(1))
    plain = net.generate(speech, frames, reference)[0]
    names = [load_persona(path, net).person for path in (folder, tmp_path / "p 12")]
    assert names == ["ada", "p_12"] == people_of(net)
    outputs = []
    for name in names:
        switch(net, name)
        outputs.append(net.generate(speech, frames, reference)[0])
    assert not torch.allclose(*outputs) and not torch.allclose(outputs[0], plain)
    with several_people(net, names):
        together = net.generate(speech, frames, reference)[0]
    torch.testing.assert_close(together, torch.stack([outputs[0][0], outputs[1][1]]), atol=2e-5, rtol=0)


def test_a_second_persona_of_one_name_needs_another(folder: Path) -> None:
    net = make_net()
    load_persona(folder, net)
    with pytest.raises(PersonaError, match=r"called 'ada' in this network, .* another name: person="):
        load_persona(folder, net)
    assert people_of(net) == ["ada"]
    assert load_persona(folder, net, "eve").person == "eve" and people_of(net) == ["ada", "eve"]
    with pytest.raises(PersonaError, match=r"cannot be called 'a\.b'"):
        load_persona(folder, net, "a.b")
    assert people_of(net) == ["ada", "eve"]


@pytest.mark.parametrize("name", ["p 12", "a.b", "Zoë", "keys", "", "ada"])
def test_a_persona_of_any_name_can_be_attached(name: str, tmp_path: Path) -> None:
    write_person(tmp_path / "person", name, 0)
    net = make_net()
    persona = load_persona(tmp_path / "person", net)
    assert persona.name == name and people_of(net) == [persona.person]
    remove(net, persona.person or "")


@torch.no_grad()
def test_a_persona_of_whom_nothing_was_trained_selects_the_base(folder: Path, tmp_path: Path) -> None:
    write_person(tmp_path / "bob", "bob", 0, method="none")
    net = make_net()
    plain = net.fusion.weight.clone()
    load_persona(folder, net)
    assert not torch.equal(net.fusion.weight, plain)
    bob = load_persona(tmp_path / "bob", net)
    assert bob.person is None and people_of(net) == ["ada"] and torch.equal(net.fusion.weight, plain)


def change_style(change):  # type: ignore[no-untyped-def]
    def harm(folder: Path) -> None:
        styles = load_file(folder / "style.safetensors")
        save_file({name: change(value).contiguous() for name, value in styles.items()}, folder / "style.safetensors")

    return harm


def set_identity(**content):  # type: ignore[no-untyped-def]
    return lambda folder: np.savez(folder / "identity.npz", **content)


def change_adapter(change, **metadata):  # type: ignore[no-untyped-def]
    def harm(folder: Path) -> None:
        path = folder / "adapter.safetensors"
        with safe_open(path, "pt") as file:
            old = file.metadata()
        save_file({name: change(value) for name, value in load_file(path).items()}, path, old | metadata)

    return harm


SPACE = np.array("procedural")
FOUR = np.zeros(4, np.float32)
HARMS = {
    "style not finite": (change_style(lambda x: x * torch.nan), "style.safetensors", "not finite, expected"),
    "style too narrow": (change_style(lambda x: x[:, :5]), "style.safetensors", r"\[1, 5\], .* float32 \[1, 16\]"),
    "style of two rows": (change_style(lambda x: x.repeat(2, 1)), "style.safetensors", r"\[2, 16\], expected"),
    "style in double": (change_style(lambda x: x.double()), "style.safetensors", "float64"),
    "style in whole numbers": (change_style(lambda x: x.long()), "style.safetensors", "int64"),
    "no style": (lambda folder: save_file({}, folder / "style.safetensors"), "style.safetensors", "is missing"),
    "empty identity": (lambda folder: (folder / "identity.npz").write_bytes(b""), "identity.npz", "damaged"),
    "no identity space": (set_identity(identity=FOUR), "identity.npz", "identity_space"),
    "identity space of two": (set_identity(identity=FOUR, identity_space=np.array(["a", "b"])), "identity.npz", "text"),
    "identity not finite": (set_identity(identity=FOUR * np.nan, identity_space=SPACE), "identity.npz", "not finite"),
    "identity too long": (set_identity(identity=np.zeros(7, "f4"), identity_space=SPACE), "identity.npz", r"\[7\], .*\[4\]"),
    "identity in double": (set_identity(identity=np.zeros(4), identity_space=SPACE), "identity.npz", "float64"),
    "identity of two axes": (set_identity(identity=FOUR[None], identity_space=SPACE), "identity.npz", r"\[1, 4\]"),
    "identity of objects": (
        set_identity(identity=np.array([None] * 4), identity_space=SPACE), "identity.npz", "damaged"),
    "adapter in bytes": (change_adapter(lambda x: x.to(torch.int8)), "adapter.safetensors", "int8 .* expected float32"),
    "adapter not finite": (change_adapter(lambda x: x * torch.nan), "adapter.safetensors", "not finite"),
    "layers that are numbers": (
        change_adapter(lambda x: x, spec='{"method": "molora", "layers": [1]}'), "adapter.safetensors", "expected a list"),
    "another format": (change_adapter(lambda x: x, format="no"), "adapter.safetensors", "not a person's file"),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_harm_is_one_sentence_that_names_the_file_before_anything_is_attached(folder: Path, harm: str) -> None:
    apply, file, said = HARMS[harm]
    apply(folder)
    net = make_net()
    attach(net, expression_spec(net, "bias"), "eve")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(PersonaError, match=rf"{file}.*{said}") as refusal:
        load_persona(folder, net)
    assert "\n" not in str(refusal.value)
    after = net.state_dict()
    assert people_of(net) == ["eve"] and before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_sampling_that_nobody_knows_is_told_before_a_network_is_loaded(folder: Path) -> None:
    pose = {"base_hash": "x", "run": "/nowhere", "checkpoint": "best", "sampling": "loud"}
    (folder / "persona.json").write_text(json.dumps(read_record(folder) | {"pose": pose}))
    with pytest.raises(PersonaError, match=r"pose\.sampling is 'loud', expected one of greedy"):
        head_of_persona(folder, np.zeros(640, np.float32))


@pytest.mark.parametrize(
    ("styles", "found"),
    [
        ({}, "missing"),
        ({"pose.embedding": torch.zeros(15)}, r"float32 \[15\]"),
        ({"pose.embedding": torch.full((16,), torch.nan)}, "not finite"),
        ({"pose.embedding": torch.zeros(16).double()}, r"float64 \[16\]"),
    ],
)
def test_a_damaged_pose_style_is_one_sentence_that_names_the_file(folder: Path, styles: dict, found: str) -> None:
    pose_net = nn.Module()  # of PoseGPT the width of its styles is all that counts
    pose_net.gpt = nn.Module()
    pose_net.gpt.settings = PoseGPTSettings(style_width=16)
    pose = {"base_hash": base_hash(pose_net), "run": "r", "checkpoint": "best", "sampling": "greedy"}
    (folder / "persona.json").write_text(json.dumps(read_record(folder) | {"pose": pose}))
    save_file(styles, folder / "style.safetensors")
    with pytest.raises(PersonaError, match=rf"style.safetensors is damaged: pose.embedding is {found}, .*\[16\]"):
        load_pose_style(folder, pose_net)

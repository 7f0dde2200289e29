"""A persona's folder: what is written is read back, whole or not at all, and only on its base."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import networks.persona as persona_module
from networks.expression_adapter import ExpressionAdapter
from networks.persona import Persona, PersonaError, load_persona, read_record, save_persona
from networks.speech_front_end import LogMelFrontEnd
from networks.weight_adapters import AdapterError, attach, deltas, expression_spec, people_of


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
    ours, theirs = deltas(net, "person"), deltas(wrote, "person")
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
    with pytest.raises((PersonaError, AdapterError)):
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
    ],
)
def test_a_damaged_record_is_named_field_by_field(folder: Path, damage: dict, said: str) -> None:
    record = json.loads((folder / "persona.json").read_text())
    (folder / "persona.json").write_text(json.dumps(record | damage))
    with pytest.raises(PersonaError, match=said):
        read_record(folder)

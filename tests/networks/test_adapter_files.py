"""A person's file: what comes back, what it says of itself, and what is refused."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from weight_adapter_cases import attach_random, bits, expression_inputs, expression_net, same_bits, scramble

from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import LogMelFrontEnd
from networks.weight_adapters import (
    EXPRESSION_METHODS,
    AdapterError,
    AdapterSpec,
    attach,
    base_hash,
    expression_spec,
    load_person,
    merge,
    people_of,
    person_state,
    read_metadata,
    report,
    save_person,
    switch,
    train_only,
    unmerge,
)

INPUTS = expression_inputs()


@pytest.mark.parametrize("method", EXPRESSION_METHODS)
@torch.no_grad()  # with gradients attention takes another kernel, whose rounding is another
def test_a_saved_person_comes_back_with_the_same_bits(method, tmp_path):
    net = expression_net(released=True)
    attach_random(net, method, "ada")
    expected = net(*INPUTS).final
    save_person(net, "ada", tmp_path / "ada.safetensors")
    other = expression_net(released=True)
    assert load_person(other, tmp_path / "ada.safetensors") == "ada"
    assert torch.equal(other(*INPUTS).final, expected)
    state, again = person_state(net, "ada"), person_state(other, "ada")
    assert state.keys() == again.keys() and all(torch.equal(state[name], again[name]) for name in state)
    assert [path.name for path in tmp_path.iterdir()] == ["ada.safetensors"]


@torch.no_grad()
def test_several_people_load_onto_one_base_under_names_of_choice(tmp_path):
    net = expression_net()
    outputs = {}
    for seed, method in enumerate(("molora", "boft")):
        attach_random(net, method, method, seed)
        outputs[method] = net(*INPUTS).final
        save_person(net, method, tmp_path / f"{method}.safetensors")
    other = expression_net()
    for method in outputs:
        load_person(other, tmp_path / f"{method}.safetensors", f"{method}-again")
    for method, output in outputs.items():
        switch(other, f"{method}-again")
        assert torch.equal(other(*INPUTS).final, output)


def test_a_file_says_what_it_is(tmp_path):
    net = expression_net()
    attach(net, AdapterSpec("molora", ("fusion",), ranks=(2, 4), alphas=(1, 8)), "ada")
    save_person(net, "ada", tmp_path / "ada.safetensors")
    metadata = read_metadata(tmp_path / "ada.safetensors")
    spec = json.loads(metadata["spec"])
    assert (spec["method"], spec["layers"], spec["ranks"], spec["alphas"]) == ("molora", ["fusion"], [2, 4], [1.0, 8.0])
    assert json.loads(metadata["parameters"]) == {"fusion.weight": [16, 48]}
    assert (metadata["person"], metadata["base"]) == ("ada", base_hash(net))
    with safe_open(tmp_path / "ada.safetensors", "pt") as file:
        names = {"fusion.weight.up.0", "fusion.weight.up.1", "fusion.weight.down.0", "fusion.weight.down.1"}
        assert set(file.keys()) == names


def test_the_hash_of_the_base_ignores_people_and_sees_every_bit():
    net = expression_net(released=True)
    plain = base_hash(net)
    attach_random(net, "molora", "ada")
    assert base_hash(net) == plain
    merge(net, "ada")
    assert base_hash(net) == plain
    unmerge(net)
    with torch.no_grad():
        net.decoder.blocks[0].convolution.depthwise_norm.running_mean[3] += 1e-6
    assert base_hash(net) != plain


def test_a_person_of_another_base_is_refused(tmp_path):
    net = expression_net()
    attach_random(net, "molora", "ada")
    save_person(net, "ada", tmp_path / "ada.safetensors")
    other = expression_net()
    scramble([other.fusion.bias])
    attach(other, AdapterSpec("bias", ("head",)), "bob")
    before = bits(other)
    with pytest.raises(AdapterError, match=r"adapted from base .* but this network is .* load the run") as refusal:
        load_person(other, tmp_path / "ada.safetensors")
    assert "\n" not in str(refusal.value)
    assert people_of(other) == ["bob"] and same_bits(bits(other), before)


def rewritten(path, state=None, **metadata):
    with safe_open(path, "pt") as file:
        old = file.metadata()
    save_file(load_file(path) if state is None else state, path, {**old, **metadata})
    return path


def test_damaged_and_foreign_files_are_refused_and_leave_the_network_as_it_was(tmp_path):
    net = expression_net()
    attach_random(net, "molora", "ada")
    save_person(net, "ada", path := tmp_path / "ada.safetensors")
    whole, state = path.read_bytes(), load_file(path)
    other = expression_net()
    attach(other, AdapterSpec("bias", ("head",)), "bob")

    def is_refused(match):
        with pytest.raises(AdapterError, match=match):
            load_person(other, path)
        assert people_of(other) == ["bob"] and not any("ada" in name.split(".") for name in other.state_dict())
        path.write_bytes(whole)

    first = next(iter(state))
    path.write_bytes(whole[: len(whole) // 2])
    is_refused("cannot be read as a person's file")
    rewritten(path, {name: value for name, value in state.items() if name != first})
    is_refused(f"does not fit its own description, first at {first}")
    rewritten(path, state | {first: state[first][:, :1].clone()})
    is_refused(f"does not fit its own description, first at {first}")
    rewritten(path, state | {first: state[first] * torch.nan})
    is_refused(f"not finite in {first}")
    rewritten(path, format="something else")
    is_refused("is not a person's file of this project")
    rewritten(path, spec="{")
    is_refused("description of the adapter cannot be read")
    rewritten(path, spec=json.dumps({"method": "molora", "layers": ["fusion"]}))
    is_refused("changes other layers than its patterns name")
    rewritten(path, parameters="[")
    is_refused("damaged list of parameters")
    rewritten(path, parameters="5")
    is_refused("damaged list of parameters")
    described = json.loads(read_metadata(path)["parameters"])
    rewritten(path, parameters=json.dumps({name: [1] for name in described}))
    is_refused(r"ada.safetensors .* of shape \[1\], expected \[\d+, \d+\]")
    rewritten(path, spec=json.dumps({"method": "molora", "layers": [1]}))
    is_refused(r"ada.safetensors .*layers are \[1\]; expected a list")
    for kind in (torch.int8, torch.float16, torch.float64):
        rewritten(path, {name: value.to(kind) for name, value in state.items()})
        is_refused(f"{str(kind).removeprefix('torch.')} .*, expected float32")
    path.unlink()
    with pytest.raises(AdapterError, match="cannot be read"):
        load_person(other, path)
    path.write_bytes(whole)
    assert load_person(other, path) == "ada"


def test_a_failed_save_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    net = expression_net()
    attach_random(net, "bias", "ada")
    save_person(net, "ada", path := tmp_path / "ada.safetensors")
    whole = path.read_bytes()

    def full_disk(_):
        raise OSError("no space left on device")

    scramble(train_only(net, "ada"), 3)
    monkeypatch.setattr("networks.weight_adapters.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_person(net, "ada", path)
    assert path.read_bytes() == whole and list(tmp_path.iterdir()) == [path]
    with pytest.raises(AdapterError, match="'bob' is not attached"):
        save_person(net, "bob", tmp_path / "bob.safetensors")


@pytest.mark.parametrize("method", ["lora", "molora", "dora", "oft", "boft", "bias", "style_vector"])
def test_a_person_at_released_size_takes_less_than_ten_megabytes(method):
    with torch.device("meta"):
        net = ExpressionAdapter(LogMelFrontEnd(256), "arkit", 100, 256, 3, 4, 2048, 15, released=True)
    attach(net, expression_spec(net, method), "ada")
    table = report(net, "ada")
    assert 19e6 < table.network_values < 21e6
    assert 0 < table.bytes < 10e6


def test_a_refused_person_holds_no_batch_norm_in_evaluation_mode(tmp_path):
    net = expression_net(released=True)
    attach_random(net, "molora", "ada")
    save_person(net, "ada", path := tmp_path / "ada.safetensors")
    rewritten(path, {name: value * torch.nan for name, value in load_file(path).items()})
    other = expression_net(released=True)
    with pytest.raises(AdapterError, match="not finite"):
        load_person(other, path)
    assert all(module.training for module in other.train().modules())

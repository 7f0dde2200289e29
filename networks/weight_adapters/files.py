"""One person's changes as a safetensors file that says what it is and which base it belongs to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from networks.fingerprint import fingerprint_of_tensors
from networks.weight_adapters.adapted_module import CHILD, adapters_of, find_selection
from networks.weight_adapters.attaching import build_changes, register, require_person
from networks.weight_adapters.spec import AdapterError, AdapterSpec, find_parameters

FORMAT = "persona-faces weight adapter 1"


def base_hash(net: nn.Module) -> str:
    """SHA-256 of the base: names, types, shapes and bytes of its state dict without any adapters, whoever is merged."""
    own = {name: value for name, value in net.state_dict().items() if CHILD not in name.split(".")}
    originals = {name: adapter.original for name, (_, adapter) in adapters_of(net).items()}
    return fingerprint_of_tensors(own | {name: value for name, value in originals.items() if value is not None})


def person_state(net: nn.Module, person: str) -> dict[str, Tensor]:
    """A person's tensors by `<parameter>.<tensor of its change>`, detached, on the CPU."""
    require_person(net, person)
    return {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, (_, adapter) in adapters_of(net).items()
        if person in adapter.people
        for key, value in adapter.people[person].state_dict().items()
    }


def save_person(net: nn.Module, person: str, path: str | Path) -> None:
    """Write a person's changes whole or not at all. Metadata: format, person, spec (method, ranks, layers), shapes, base's hash."""
    path, state = Path(path), person_state(net, person)
    selection = find_selection(net)
    assert selection is not None
    parameters = dict(net.named_parameters())
    names = [name for name, (_, adapter) in adapters_of(net).items() if person in adapter.people]
    metadata = {
        "format": FORMAT,
        "person": person,
        "spec": selection.specs[person].to_json(),
        "parameters": json.dumps({name: list(parameters[name].shape) for name in names}),
        "base": base_hash(net),
    }
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(to_safetensors(state, metadata))
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_metadata(path: str | Path) -> dict[str, str]:
    """What a person's file says of itself; raises `AdapterError` where it is no such file."""
    return _read(Path(path))[0]


def load_person(net: nn.Module, path: str | Path, person: str | None = None) -> str:
    """Attach and select the person of a file, under its own name or another; returns the name.

    Raises `AdapterError` for a file of another base, a damaged one, or one whose tensors do not fit; `net` then stays as it was.
    """
    metadata, state = _read(Path(path))
    person = person or metadata["person"]
    ours = base_hash(net)
    if metadata["base"] != ours:
        raise AdapterError(
            f"{path} was adapted from base {metadata['base'][:12]}, but this network is {ours[:12]}; "
            "load the run that it was adapted from"
        )
    try:
        spec = AdapterSpec.from_json(metadata["spec"])
        _check_parameters(net, find_parameters(net, spec), metadata["parameters"])
        changes = build_changes(net, spec, person)
        _fill(changes, state)
    except AdapterError as error:
        raise AdapterError(f"{path} cannot be attached: {error}") from error
    register(net, person, spec, changes)
    return person


def _check_parameters(net: nn.Module, names: list[str], described: str) -> None:
    """The shapes of what is changed, as the file describes them, against those of the network's parameters."""
    try:
        shapes = json.loads(described)
    except json.JSONDecodeError as error:
        raise AdapterError(f"it has a damaged list of parameters ({error}); adapt again") from error
    if not isinstance(shapes, dict):
        raise AdapterError(f"it has a damaged list of parameters ({described}); adapt again")
    if sorted(shapes) != sorted(names):
        raise AdapterError("it changes other layers than its patterns name in this network; adapt again")
    parameters = dict(net.named_parameters())
    for name in names:
        ours = list(parameters[name].shape)
        if shapes[name] != ours:
            raise AdapterError(f"it describes {name} as of shape {shapes[name]}, expected {ours}; adapt again")


def _fill(changes: dict[str, nn.Module], state: dict[str, Tensor]) -> None:
    expected = {
        f"{name}.{key}": value for name, change in changes.items() for key, value in change.state_dict().items()
    }
    if different := sorted(set(state) ^ set(expected)):
        raise AdapterError(f"it does not fit its own description, first at {different[0]}; the file is damaged")
    for name, value in state.items():
        if (value.shape, value.dtype) != (expected[name].shape, expected[name].dtype):
            raise AdapterError(
                f"it does not fit its own description, first at {name}: {describe(value)}, expected {describe(expected[name])}; "
                "the file is damaged"
            )
    infinite = next((name for name, value in state.items() if not torch.isfinite(value).all()), None)
    if infinite:
        raise AdapterError(f"it holds values that are not finite in {infinite}; adapt again")
    for name, change in changes.items():
        change.load_state_dict({key: state[f"{name}.{key}"] for key in change.state_dict()})


def describe(value: Tensor) -> str:
    """Type and shape, as `float32 [1, 16]`."""
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"{path} cannot be read as a person's file: {error}") from error
    missing = {"format", "person", "spec", "parameters", "base"} - set(metadata)
    if missing or metadata["format"] != FORMAT:
        raise AdapterError(
            f"{path} is not a person's file of this project ({FORMAT!r}); it says {metadata.get('format')!r}"
        )
    return metadata, state

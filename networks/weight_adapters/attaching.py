"""Attaching people's changes to one frozen network, training only them, switching, merging, and many people in one batch."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from networks.weight_adapters.adapted_module import (
    CHILD,
    AdaptedParameter,
    Selection,
    adapters_of,
    find_selection,
    set_class,
)
from networks.weight_adapters.butterfly import Butterfly
from networks.weight_adapters.direct import Direct
from networks.weight_adapters.low_rank import DoRA, LowRank
from networks.weight_adapters.spec import (
    LOW_RANK_METHODS,
    ORTHOGONAL_METHODS,
    AdapterError,
    AdapterSpec,
    find_parameters,
    parametrised_layers,
)


def attach(net: nn.Module, spec: AdapterSpec, person: str, seed: int = 0) -> list[str]:
    """Give `person` changes of the parameters named by `spec`, and select that person; nothing changes yet in what `net` computes.

    Returns the dotted names of the changed parameters. Each draw depends on the seed and the parameter's name only.
    Batch norm is held in evaluation mode from here on: a person's clip must not move the base's statistics.
    Warns of layers that a pattern matches among others and that cannot be changed, because their weight is computed from other parameters.
    Raises `AdapterError` and then leaves `net` as it was.
    """
    changes = build_changes(net, spec, person, seed)
    if left_out := parametrised_layers(net, spec):
        warnings.warn(
            f"{spec.method} leaves out {', '.join(left_out)}, whose weight is computed from other parameters (weight norm, "
            "spectral norm); remove the parametrisation to change them",
            stacklevel=2,
        )
    register(net, person, spec, changes)
    return list(changes)


def build_changes(net: nn.Module, spec: AdapterSpec, person: str, seed: int = 0) -> dict[str, nn.Module]:
    """Dotted parameter name -> its change, as `attach` would attach them; `net` is not touched. Raises `AdapterError` as `attach` does."""
    _require_unmerged(net)
    _check_name(net, person)
    names = find_parameters(net, spec)
    _require_unshared(net, names)
    changes: dict[str, nn.Module] = {}
    for name in names:
        owner, leaf = _owner(net, name)
        try:
            changes[name] = build_change(spec, owner, leaf, _generator(seed, name))
        except AdapterError as error:
            raise AdapterError(f"{spec.method} on {name}: {error}") from error
    return changes


def build_change(spec: AdapterSpec, owner: nn.Module, leaf: str, generator: torch.Generator) -> nn.Module:
    """The change of parameter `leaf` of one module, as a module `base -> adapted`; raises `AdapterError` where it does not fit."""
    weight = owner._parameters.get(leaf)
    if weight is None:
        raise AdapterError(f"{leaf} is computed from other parameters; remove the parametrisation")
    groups = getattr(owner, "groups", 1)
    if spec.method in LOW_RANK_METHODS:
        assert spec.ranks is not None and spec.alphas is not None
        kind = DoRA if spec.method == "dora" else LowRank
        return kind(weight.detach(), groups, spec.ranks, spec.alphas, generator)
    if spec.method in ORTHOGONAL_METHODS:
        assert spec.block_size is not None and spec.num_factors is not None
        return Butterfly(weight.detach(), spec.block_size, spec.num_factors)
    return Direct(weight.detach())


def register(net: nn.Module, person: str, spec: AdapterSpec, changes: dict[str, nn.Module]) -> None:
    """Put built changes (dotted parameter name -> module) into the network and select the person."""
    selection = find_selection(net) or Selection()
    for name, change in changes.items():
        owner, leaf = _owner(net, name)
        if CHILD not in owner._modules:
            owner.add_module(CHILD, nn.ModuleDict())
        adapters = owner._modules[CHILD]
        assert isinstance(adapters, nn.ModuleDict)
        if leaf not in adapters:
            adapters[leaf] = AdaptedParameter(name, selection)
        change.train(owner.training)
        adapter = adapters[leaf]
        assert isinstance(adapter, AdaptedParameter)
        adapter.people[person] = change
        set_class(owner, names=frozenset(adapters))
    selection.specs[person] = spec
    selection.people = person
    hold_in_evaluation(net)


def remove(net: nn.Module, person: str) -> None:
    """Take a person's changes off; modules that nobody changes become plain again, except that what was held stays held."""
    _require_unmerged(net)
    require_person(net, person)
    for owner, adapter in adapters_of(net).values():
        if person not in adapter.people:
            continue
        del adapter.people[person]
        adapters = owner._modules[CHILD]
        assert isinstance(adapters, nn.ModuleDict)
        if not adapter.people:
            del adapters[adapter.name.rsplit(".", 1)[-1]]
            set_class(owner, names=frozenset(adapters))
        if not adapters:
            del owner._modules[CHILD]
        selection = adapter.selection
    del selection.specs[person]
    if selection.people == person:
        selection.people = None


def hold_in_evaluation(net: nn.Module, layers: Sequence[str] = ()) -> list[str]:
    """Keep modules whose names match, and every batch norm, in evaluation mode, whatever `train()` is called on later.

    Returns the names of what is held. Raises `AdapterError` for a pattern that matches nothing.
    """
    modules = dict(net.named_modules())
    held = {name for name, module in modules.items() if isinstance(module, _BatchNorm)}
    for pattern in layers:
        matches = fnmatch.filter(modules, pattern)
        if not matches:
            raise AdapterError(f"{pattern!r} matches no module to hold in evaluation mode")
        held.update(matches)
    for name in held:
        set_class(modules[name], is_held=True)
        modules[name].eval()
    return [name for name in modules if name in held]


def train_only(net: nn.Module, *people: str) -> list[nn.Parameter]:
    """Let gradients reach the changes of these people and nothing else; returns those parameters for the optimiser.

    One person is also selected. Several are trained inside `several_people`. The base stays frozen until
    `net.requires_grad_(True)`.
    """
    _require_unmerged(net)
    for person in people:
        require_person(net, person)
    net.requires_grad_(False)
    parameters = []
    for _, adapter in adapters_of(net).values():
        for person in people:
            if person in adapter.people:
                parameters += list(adapter.people[person].requires_grad_(True).parameters())
    if len(people) == 1:
        switch(net, people[0])
    return parameters


def people_of(net: nn.Module) -> list[str]:
    """Names of the people attached, in order."""
    selection = find_selection(net)
    return [] if selection is None else list(selection.specs)


def switch(net: nn.Module, person: str | None) -> None:
    """Compute as `person` from here on, or as the base for None. No weight is touched."""
    _require_unmerged(net)
    if person is not None:
        require_person(net, person)
    selection = find_selection(net)
    if selection is not None:
        selection.people = person


@contextmanager
def several_people(net: nn.Module, people: Sequence[str | None]) -> Iterator[None]:
    """Inside, row i of every batch is computed as `people[i]` (None: the base), with gradients to each person's changes.

    Each adapted layer runs once for each distinct person on that person's rows. Its tensor arguments need the batch as first axis
    (or one row for all). Raises `AdapterError` for a parameter that is read outside its module's forward, and for a batch of another size.
    """
    _require_unmerged(net)
    for person in dict.fromkeys(people):
        if person is not None:
            require_person(net, person)
    selection = find_selection(net) or Selection()
    chosen = tuple(people)
    selection.first_rows = None
    with selection.set_to(chosen if len(set(chosen)) > 1 else chosen[0] if chosen else None):
        try:
            yield
        except RuntimeError as error:
            # One row is what all people may share, so no layer can refuse it; what does not fit shows further on.
            if selection.first_rows != 1 or isinstance(error, torch.OutOfMemoryError):
                raise
            raise AdapterError(
                f"the network is given 1 row, but people are chosen for {len(chosen)}; give one row for each of them"
            ) from error


@torch.no_grad()
def merge(net: nn.Module, person: str) -> None:
    """Write a person's adapted values into the parameters, for inference without extra cost; the base's bits are kept beside."""
    _require_unmerged(net)
    require_person(net, person)
    for name, (owner, adapter) in adapters_of(net).items():
        if person in adapter.people:
            parameter = owner._parameters[name.rsplit(".", 1)[-1]]
            assert parameter is not None
            adapted = adapter.adapted(parameter, person)
            adapter.original = parameter.detach().clone()
            parameter.copy_(adapted)
    selection = find_selection(net)
    assert selection is not None
    selection.people = person


@torch.no_grad()
def unmerge(net: nn.Module) -> None:
    """Put the base's kept bits back; the person stays selected."""
    if not is_merged(net):
        raise AdapterError("nobody is merged into this network; merge a person first")
    for name, (owner, adapter) in adapters_of(net).items():
        if adapter.original is not None:
            parameter = owner._parameters[name.rsplit(".", 1)[-1]]
            assert parameter is not None
            parameter.copy_(adapter.original)
            adapter.original = None


def is_merged(net: nn.Module) -> bool:
    return any(adapter.original is not None for _, adapter in adapters_of(net).values())


def require_person(net: nn.Module, person: str) -> None:
    """Raises `AdapterError` where nobody of that name is attached."""
    people = people_of(net)
    if person not in people:
        raise AdapterError(f"{person!r} is not attached; attached are: {', '.join(people) or 'nobody'}")


def _require_unmerged(net: nn.Module) -> None:
    if is_merged(net):
        raise AdapterError("a person is merged into the weights; call unmerge first")


def _check_name(net: nn.Module, person: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", person) or hasattr(nn.ModuleDict(), person):
        raise AdapterError(
            f"a person cannot be called {person!r}; use letters, digits, _ and -, and no name of a method"
        )
    if person in people_of(net):
        raise AdapterError(f"{person!r} is attached already; remove that first or take another name")


def _require_unshared(net: nn.Module, names: list[str]) -> None:
    places: dict[int, list[str]] = {}
    for name, parameter in net.named_parameters(remove_duplicate=False):
        places.setdefault(id(parameter), []).append(name)
    for shared in places.values():
        if len(shared) > 1 and set(shared) & set(names):
            raise AdapterError(f"one parameter is used as {' and '.join(shared)}; shared parameters cannot be adapted")


def _owner(net: nn.Module, parameter: str) -> tuple[nn.Module, str]:
    path, _, leaf = parameter.rpartition(".")
    return net.get_submodule(path), leaf


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)

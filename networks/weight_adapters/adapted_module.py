"""A module whose parameters read as their adapted values, while the frozen ones stay where they were.

Like `torch.nn.utils.parametrize`, the module's class is replaced by a subclass whose parameter is a property. Unlike there, the frozen
parameter keeps its name, so that every key of the base's state dict keeps its meaning (loading one into an adapted network takes
`strict=False`, for it lacks the changes); and `forward` can run the rows of a batch with the weights of different people, which one
property cannot give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from networks.weight_adapters.spec import AdapterError, AdapterSpec

CHILD = "weight_adapters"


class Selection:
    """Who is computed as: one person's name, None for the base, or a tuple of one of these for each row of the batch.

    `specs` tells how each attached person was made; `first_rows`, how many rows the first adapted module of `several_people` was given.
    One object is shared by all adapted parameters of a network.
    """

    def __init__(self) -> None:
        self.people: str | tuple[str | None, ...] | None = None
        self.specs: dict[str, AdapterSpec] = {}
        self.first_rows: int | None = None

    @contextmanager
    def set_to(self, people: str | tuple[str | None, ...] | None) -> Iterator[None]:
        """Inside, everything is computed as `people`, as the attribute of that name means it; then as before, errors or not."""
        before, self.people = self.people, people
        try:
            yield
        finally:
            self.people = before


class AdaptedParameter(nn.Module):
    """The changes of one parameter by `people`; `original` holds the base's bits while somebody is merged into it."""

    original: Tensor | None

    def __init__(self, name: str, selection: Selection) -> None:
        super().__init__()
        self.name, self.selection = name, selection
        self.people = nn.ModuleDict()
        self.register_buffer("original", None)

    def forward(self, base: Tensor) -> Tensor:
        """The stored parameter to the value that the selected person computes with, of its shape; while somebody is merged, itself.

        Raises `AdapterError` where the rows of the batch need different values.
        """
        person = self.selection.people
        if self.original is not None or person is None:
            return base
        if isinstance(person, tuple):
            if not self.is_mixed():
                return base
            raise AdapterError(
                f"{self.name} is read outside its module's forward, where the rows of several people cannot be told apart; "
                "leave it out of the adapter or pass one person at a time"
            )
        return self.adapted(base, person)

    def adapted(self, base: Tensor, person: str) -> Tensor:
        """The parameter as `person` changes it; the base itself for somebody who does not change it."""
        if person not in self.people:
            return base
        # Small matrices whose product must not be rounded to the precision of activations.
        with torch.autocast(base.device.type, enabled=False):
            return self.people[person](base)

    def is_mixed(self) -> bool:
        """Whether the rows of the batch need different values of this parameter."""
        people = self.selection.people
        return isinstance(people, tuple) and any(person in self.people for person in people if person is not None)

    def base_value(self, parameter: Tensor) -> Tensor:
        """The base's own value of the stored `parameter`, of its shape, whoever is merged into it."""
        return parameter if self.original is None else self.original


class AdaptedModule(nn.Module):
    """Mixed into the class of a module with adapted parameters (`weight_adapters`: parameter name -> `AdaptedParameter`)."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the plain module's; where the rows of the batch are of several people, each person's rows by themselves (`run_by_person`)."""
        for adapter in self._modules[CHILD].values():  # type: ignore[operator,union-attr]
            if adapter.is_mixed():
                return run_by_person(super().forward, adapter, args, kwargs)
        return super().forward(*args, **kwargs)


class HeldModule(nn.Module):
    """Mixed into the class of a module that stays in evaluation mode whatever `train()` is called on."""

    def train(self, mode: bool = True) -> HeldModule:
        return super().train(False)


def run_by_person(forward: Callable, adapter: AdaptedParameter, args: tuple, kwargs: dict) -> Any:
    """`forward` of each person's rows, put together in the batch's order.

    Every tensor among the arguments has one row for each row of the batch, or one row that all share.
    """
    people = adapter.selection.people
    assert isinstance(people, tuple)
    if adapter.selection.first_rows is None:
        tensors = [value for value in pytree.tree_leaves((args, kwargs)) if isinstance(value, Tensor) and value.ndim]
        adapter.selection.first_rows = max((value.shape[0] for value in tensors), default=0)
    rows: dict[str | None, list[int]] = {}
    for row, person in enumerate(people):
        rows.setdefault(person, []).append(row)
    parts = []
    for person, indices in rows.items():

        def take(value: Any, indices: list[int] = indices) -> Any:
            if not isinstance(value, Tensor) or value.ndim == 0 or value.shape[0] == 1:
                return value
            if value.shape[0] != len(people):
                raise AdapterError(
                    f"the module of {adapter.name} is given {value.shape[0]} rows, but people are chosen for {len(people)}"
                )
            return value[torch.tensor(indices, device=value.device)]

        with adapter.selection.set_to(person):
            part = forward(*pytree.tree_map(take, args), **pytree.tree_map(take, kwargs))
        parts.append(pytree.tree_map(partial(_to_rows, len(indices)), part))
    order = torch.tensor([row for indices in rows.values() for row in indices]).argsort()
    return pytree.tree_map(lambda *pieces: _in_order(pieces, order), *parts)


def _in_order(pieces: tuple, order: Tensor) -> Any:
    return torch.cat(pieces)[order.to(pieces[0].device)] if isinstance(pieces[0], Tensor) else pieces[0]


def _to_rows(count: int, value: Any) -> Any:
    """The one row that a result has where all arguments were shared counts for every row."""
    return value.expand(count, *value.shape[1:]) if isinstance(value, Tensor) else value


@cache
def _subclass(plain: type[nn.Module], names: frozenset[str], is_held: bool) -> type[nn.Module]:
    mixed = (*((HeldModule,) if is_held else ()), *((AdaptedModule,) if names else ()), plain)
    namespace: dict[str, Any] = {name: _adapted_property(name) for name in names}
    namespace |= {"_plain_class": plain, "_adapted_names": names, "_is_held": is_held, "__module__": plain.__module__}
    return type(plain.__name__, mixed, namespace) if len(mixed) > 1 else plain


def _adapted_property(name: str) -> property:
    def read(module: nn.Module) -> Tensor:
        return module._modules[CHILD][name](module._parameters[name])  # type: ignore[index]

    return property(read)


def set_class(module: nn.Module, names: frozenset[str] | None = None, is_held: bool | None = None) -> None:
    """Choose which parameters of `module` are adapted and whether it is held in evaluation mode; None leaves as is."""
    kind: Any = type(module)
    names = getattr(kind, "_adapted_names", frozenset()) if names is None else names
    is_held = getattr(kind, "_is_held", False) if is_held is None else is_held
    module.__class__ = _subclass(getattr(kind, "_plain_class", kind), names, bool(is_held))


def adapters_of(net: nn.Module) -> dict[str, tuple[nn.Module, AdaptedParameter]]:
    """Dotted parameter name -> its module and its `AdaptedParameter`, in the order of the network."""
    found = {}
    for prefix, module in net.named_modules():
        if (adapters := module._modules.get(CHILD)) is None:
            continue
        for name, adapter in adapters.items():
            found[f"{prefix}.{name}" if prefix else name] = (module, adapter)
    return found


def find_selection(net: nn.Module) -> Selection | None:
    return next((adapter.selection for _, adapter in adapters_of(net).values()), None)

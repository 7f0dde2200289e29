"""What a person's changes cost and what they look like: a table by layer, and singular values by rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from networks.weight_adapters.adapted_module import AdaptedParameter, adapters_of, find_selection
from networks.weight_adapters.attaching import require_person
from networks.weight_adapters.low_rank import DoRA, LowRank
from networks.weight_adapters.spec import AdapterError


class ReportRow(NamedTuple):
    """One adapted parameter: its `shape`, its own number of `values`, and the `trained` values and `bytes` of the change."""

    parameter: str
    shape: tuple[int, ...]
    values: int
    trained: int
    bytes: int


class Report(NamedTuple):
    """All rows of a person, and how many values the network has; `str()` gives a table."""

    person: str
    method: str
    rows: list[ReportRow]
    network_values: int

    @property
    def trained(self) -> int:
        return sum(row.trained for row in self.rows)

    @property
    def bytes(self) -> int:
        return sum(row.bytes for row in self.rows)

    def __str__(self) -> str:
        width = max([9, *(len(row.parameter) for row in self.rows)])
        lines = [f"{'parameter':{width}} {'shape':>16} {'trained':>11} {'of own':>8} {'bytes':>11}"]
        for row in self.rows:
            shape = "x".join(map(str, row.shape))
            share = row.trained / max(1, row.values)
            lines.append(f"{row.parameter:{width}} {shape:>16} {row.trained:>11,} {share:>8.1%} {row.bytes:>11,}")
        share = self.trained / max(1, self.network_values)
        lines.append(f"{self.method + ' in all':{width}} {'':16} {self.trained:>11,} {share:>8.1%} {self.bytes:>11,}")
        return "\n".join(lines)


def report(net: nn.Module, person: str) -> Report:
    """Parameter table of a person's changes; shares are of the layer's own values, in the last line of the whole network's."""
    rows = []
    for name, adapter, base in _changed_by(net, person):
        tensors = list(adapter.people[person].parameters())
        trained, size = sum(t.numel() for t in tensors), sum(t.numel() * t.element_size() for t in tensors)
        rows.append(ReportRow(name, tuple(base.shape), base.numel(), trained, size))
    changes = {id(p) for _, a in adapters_of(net).values() for p in a.people.parameters()}
    values = sum(p.numel() for p in net.parameters() if id(p) not in changes)
    selection = find_selection(net)
    assert selection is not None
    return Report(person, selection.specs[person].method, rows, values)


@torch.no_grad()
def deltas(net: nn.Module, person: str) -> dict[str, Tensor]:
    """Adapted minus base value of every parameter that a person changes, by dotted name."""
    return {name: adapter.adapted(base, person) - base for name, adapter, base in _changed_by(net, person)}


@torch.no_grad()
def delta_spectra(net: nn.Module, person: str) -> dict[str, dict[str, Tensor]]:
    """Singular values, largest first, of each changed weight's delta as a matrix of neurons `[m, n k]`.

    By parameter, then `"all"` for the whole delta and, for LoRA and MoLoRA, `"rank 4"`, ... for each pair's share (pairs of
    equal rank are numbered). Parameters of fewer than two axes are left out.
    """
    spectra = {}
    for name, adapter, base in _changed_by(net, person):
        if base.ndim < 2:
            continue
        change = adapter.people[person]
        parts = {"all": adapter.adapted(base, person) - base}
        if isinstance(change, LowRank) and not isinstance(change, DoRA):
            for index, rank in enumerate(change.ranks):
                label = f"rank {rank}" if change.ranks.count(rank) == 1 else f"rank {rank} ({index})"
                parts[label] = change.pair_delta(index, base.shape)
        spectra[name] = {label: torch.linalg.svdvals(part.flatten(1).float()) for label, part in parts.items()}
    return spectra


@contextmanager
def only_pairs(net: nn.Module, person: str, pairs: Sequence[int]) -> Iterator[None]:
    """Meanwhile the person's LoRA or MoLoRA consists of these of its pairs (by their place in the spec's ranks), the others count as nothing.

    Raises `AdapterError` where the person's change has no pairs or not that many.
    """
    changes: list[LowRank] = []
    for _, adapter, _ in _changed_by(net, person):
        change = adapter.people[person]
        if not isinstance(change, LowRank) or isinstance(change, DoRA):
            raise AdapterError(f"the change of {person!r} is no sum of low-rank pairs, of which some could be left out")
        if not set(pairs) <= set(range(len(change.ranks))):
            raise AdapterError(f"pairs {list(pairs)} of {person!r}, whose change has {len(change.ranks)}")
        changes.append(change)
    kept = [change.scales for change in changes]
    try:
        for change in changes:
            change.scales = tuple(s if i in pairs else 0.0 for i, s in enumerate(change.scales))
        yield
    finally:
        for change, scales in zip(changes, kept, strict=True):
            change.scales = scales


def _changed_by(net: nn.Module, person: str) -> list[tuple[str, AdaptedParameter, Tensor]]:
    require_person(net, person)
    parameters = dict(net.named_parameters())
    return [
        (name, adapter, adapter.base_value(parameters[name]))
        for name, (_, adapter) in adapters_of(net).items()
        if person in adapter.people
    ]

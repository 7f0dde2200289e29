"""What a pattern of layer names that matches nothing may have been meant to be."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

Correction = tuple[float, tuple[str, ...]]


def nearest_patterns(pattern: str, names: Iterable[str]) -> list[str]:
    """Patterns that name one of the dotted `names` and are nearest to `pattern`, nearest first, each once.

    Compared component by component: one that is misspelt costs what it differs by, a missing or surplus one costs 1, and a `*`
    stands for one or more for nothing, and stays; where there is none for it, it goes.
    """
    wanted, cheapest = tuple(pattern.split(".")), dict[str, float]()
    for name in names:
        cost, components = _correct(wanted, tuple(name.split(".")))
        corrected = ".".join(components)
        cheapest[corrected] = min(cost, cheapest.get(corrected, cost))
    return sorted(cheapest, key=lambda corrected: cheapest[corrected])


@lru_cache(maxsize=4096)
def _correct(pattern: tuple[str, ...], name: tuple[str, ...]) -> Correction:
    """The least cost of making `pattern` match `name`, and what it then is."""
    if not pattern or not name:
        return sum(0.1 if component == "*" else 1.0 for component in pattern + name), name
    (first, *others), rest = pattern, name[1:]
    remaining = tuple(others)
    if first == "*":
        ways = [_before("*", 0.0, _correct(remaining, rest)), _before("", 0.0, _correct(pattern, rest))]
        return min(ways, key=_cost)
    ways = [
        _before(first if _fits(first, name[0]) else name[0], _difference(first, name[0]), _correct(remaining, rest)),
        _before(name[0], 1.0, _correct(pattern, rest)),
        _before("", 1.0, _correct(remaining, name)),
    ]
    return min(ways, key=_cost)


def _before(component: str, cost: float, rest: Correction) -> Correction:
    return cost + rest[0], (component, *rest[1]) if component else rest[1]


def _cost(correction: Correction) -> float:
    return correction[0]


def _fits(pattern: str, component: str) -> bool:
    return fnmatch.fnmatchcase(component, pattern)


@lru_cache(maxsize=4096)
def _difference(pattern: str, component: str) -> float:
    return 0.0 if _fits(pattern, component) else 1 - SequenceMatcher(None, pattern, component).ratio()

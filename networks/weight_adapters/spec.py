"""What is adapted and how: the method with its sizes, and the patterns that name layers."""

from __future__ import annotations

import fnmatch
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from torch import nn

from networks.weight_adapters.near_misses import nearest_patterns

LOW_RANK_METHODS = ("lora", "molora", "dora")
ORTHOGONAL_METHODS = ("oft", "boft")
WEIGHT_METHODS = LOW_RANK_METHODS + ORTHOGONAL_METHODS
DIRECT_METHODS = ("full", "bias")
METHODS = WEIGHT_METHODS + DIRECT_METHODS

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
MIXTURE_RANKS = (4, 8, 16)
# One pair of the mixture's summed rank has as many values as the mixture.
DEFAULT_RANKS = {"lora": (sum(MIXTURE_RANKS),), "dora": (sum(MIXTURE_RANKS),), "molora": MIXTURE_RANKS}
DEFAULT_BLOCK_SIZE = 8
DEFAULT_FACTORS = {"oft": 1, "boft": 2}


class AdapterError(ValueError):
    """A weight adapter that cannot be attached, loaded or used as asked."""


@dataclass(frozen=True)
class AdapterSpec:
    """A method and the layers that it changes.

    `layers`: shell patterns over dotted module names (`*` crosses dots). `lora`, `molora`, `dora`, `oft` and `boft` take the
    weights of the `Linear`, `Conv1d` and `Conv2d` layers among the matches; `full` takes every parameter in the matched
    modules and below them, `bias` every bias there.
    `ranks`: one for `lora`, one or more for `molora` and `dora`; `alphas` scale pair i by alphas[i] / ranks[i], by default by 1.
    `block_size` b and `num_factors` m of BOFT(m, b); `oft` is m = 1. Options that the method does not use are refused.
    `frozen`: patterns of modules that keep their weights, and all below them, whatever `layers` say.
    `left_out`: names of layers that were to be changed and that the method cannot change, as those too small for the sizes; for the record alone.
    Raises `AdapterError`.
    """

    method: str
    layers: Sequence[str]
    ranks: tuple[int, ...] | None = None
    alphas: tuple[float, ...] | None = None
    block_size: int | None = None
    num_factors: int | None = None
    frozen: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise AdapterError(f"unknown method {self.method!r}; expected one of {', '.join(METHODS)}")
        for field in ("layers", "frozen", "left_out"):
            self._set(field, _patterns(field, getattr(self, field)))
        if not self.layers:
            raise AdapterError(f"{self.method} names no layers; give at least one pattern of module names")
        self._check_low_rank()
        self._check_orthogonal()

    def _check_low_rank(self) -> None:
        if self.method not in LOW_RANK_METHODS:
            self._refuse("ranks", "alphas")
            return
        ranks = DEFAULT_RANKS[self.method] if self.ranks is None else _values("ranks", self.ranks)
        if not ranks or not all(_is_whole(rank) and rank >= 1 for rank in ranks):
            raise AdapterError(f"ranks are {list(ranks)}; expected whole numbers from 1")
        if self.method == "lora" and len(ranks) != 1:
            raise AdapterError(f"lora takes one rank, got {list(ranks)}; use molora for several")
        alphas = ranks if self.alphas is None else _values("alphas", self.alphas)
        if len(alphas) != len(ranks):
            raise AdapterError(f"{len(alphas)} alphas for {len(ranks)} ranks; give one for each rank")
        if not all(_is_whole(alpha) or isinstance(alpha, float) for alpha in alphas) or not all(
            math.isfinite(alpha) and alpha > 0 for alpha in alphas
        ):
            raise AdapterError(
                f"alphas are {list(alphas)}; expected numbers above 0: a pair of scale 0 is never trained"
            )
        self._set("ranks", ranks)
        self._set("alphas", tuple(map(float, alphas)))

    def _check_orthogonal(self) -> None:
        if self.method not in ORTHOGONAL_METHODS:
            self._refuse("block_size", "num_factors")
            return
        block_size = DEFAULT_BLOCK_SIZE if self.block_size is None else self.block_size
        factors = DEFAULT_FACTORS[self.method] if self.num_factors is None else self.num_factors
        if not _is_whole(block_size) or not _is_whole(factors):
            raise AdapterError(f"block_size {block_size!r} and num_factors {factors!r}; expected whole numbers")
        if self.method == "oft" and factors != 1:
            raise AdapterError(f"oft has one factor, got num_factors={factors}; use boft for several")
        if factors < 1 or block_size < 2 or (factors > 1 and block_size % 2):
            raise AdapterError(
                f"block_size {block_size} with {factors} factors; expected at least one factor and blocks from 2, "
                "of even size where there are several factors"
            )
        self._set("block_size", block_size)
        self._set("num_factors", factors)

    def _refuse(self, *options: str) -> None:
        given = [option for option in options if getattr(self, option) is not None]
        if given:
            raise AdapterError(f"{self.method} does not use {' or '.join(given)}; remove it")

    def _set(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> AdapterSpec:
        """Raises `AdapterError` where the text is not that of a spec."""
        try:
            fields: dict[str, Any] = json.loads(text)
            return cls(**fields)
        except (TypeError, json.JSONDecodeError) as error:
            raise AdapterError(f"the description of the adapter cannot be read: {error}") from error


def _values(name: str, given: Any) -> tuple:
    if not isinstance(given, list | tuple):
        raise AdapterError(f"{name} are {given!r}; expected a list of numbers, as [{given}]")
    return tuple(given)


def _patterns(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        raise AdapterError(
            f"{name} is the text {given!r}; expected a list of patterns of module names: write [{given!r}]"
        )
    if not isinstance(given, Sequence) or not all(isinstance(pattern, str) for pattern in given):
        raise AdapterError(f"{name} are {given!r}; expected a list of patterns of module names, as ['decoder.*']")
    return tuple(given)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def find_parameters(net: nn.Module, spec: AdapterSpec) -> list[str]:
    """Dotted names of the parameters of `net` that the spec changes, in the order of the network.

    Raises `AdapterError` for a pattern that matches nothing the method can change, with the patterns nearest to it that do.
    """
    modules = _modules(net)
    chosen: set[str] = set()
    for pattern in spec.layers:
        found = _parameters(pattern, modules, spec)
        if not found:
            raise AdapterError(_nothing_matches(pattern, modules, spec))
        chosen.update(found)
    # A shared parameter has to be found under whichever name was meant: attaching refuses it by name.
    return [name for name, _ in net.named_parameters(remove_duplicate=False) if name in chosen]


def parametrised_layers(net: nn.Module, spec: AdapterSpec) -> list[str]:
    """Names of the layers that the patterns match and the method would change, were their weight not computed from other parameters."""
    modules = _modules(net)
    named = {name for pattern in spec.layers for name in _parametrised(pattern, modules, spec)}
    return [name for name in modules if name in named]


def _modules(net: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in net.named_modules() if "weight_adapters" not in name.split(".")}


def _parametrised(pattern: str, modules: dict[str, nn.Module], spec: AdapterSpec) -> list[str]:
    if spec.method not in WEIGHT_METHODS:
        return []
    return [
        name
        for name in _matches(pattern, modules)
        if isinstance(modules[name], LAYERS)
        and not _has_own_weight(modules[name])
        and not _is_frozen(f"{name}.weight", spec)
    ]


def _has_own_weight(layer: nn.Module) -> bool:
    """False where the weight is computed from other parameters, as by weight norm or spectral norm."""
    return layer._parameters.get("weight") is not None


def _parameters(pattern: str, modules: dict[str, nn.Module], spec: AdapterSpec) -> list[str]:
    """Names of the parameters that the method changes in the modules that match and are not frozen."""
    named = (
        parameter
        for name in _matches(pattern, modules)
        for parameter in _parameters_of(name, modules[name], spec.method)
    )
    return [name for name in named if not _is_frozen(name, spec)]


def _matches(pattern: str, modules: dict[str, nn.Module]) -> list[str]:
    return [name for name in modules if fnmatch.fnmatchcase(name, pattern)]


def _is_frozen(parameter: str, spec: AdapterSpec) -> bool:
    return any(fnmatch.fnmatchcase(parameter, f"{pattern}.*") for pattern in spec.frozen)


def _parameters_of(name: str, module: nn.Module, method: str) -> Iterable[str]:
    prefix = f"{name}." if name else ""
    if method in WEIGHT_METHODS:
        return [f"{prefix}weight"] if isinstance(module, LAYERS) and _has_own_weight(module) else []
    own = (parameter for parameter, _ in module.named_parameters() if "weight_adapters" not in parameter.split("."))
    return [prefix + parameter for parameter in own if method == "full" or parameter.split(".")[-1] == "bias"]


def _nothing_matches(pattern: str, modules: dict[str, nn.Module], spec: AdapterSpec) -> str:
    wanted = {"full": "a parameter", "bias": "a bias"}.get(spec.method, "a Linear, Conv1d or Conv2d layer")
    matches = _matches(pattern, modules)
    if not matches:
        near = (
            _with_layers(candidate, modules, spec) for candidate in nearest_patterns(pattern, filter(None, modules))
        )
        suggestions = islice(dict.fromkeys(filter(None, near)), 3)
        return f"{pattern!r} matches no layer; near misses: {', '.join(suggestions) or 'none'}"
    if any(parameter for name in matches for parameter in _parameters_of(name, modules[name], spec.method)):
        return f"{pattern!r} matches only layers that stay frozen, those of {', '.join(spec.frozen)}; name others"
    if parametrised := _parametrised(pattern, modules, spec):
        return (
            f"{pattern!r} matches layers whose weight is computed from other parameters (weight norm, spectral norm), which "
            f"{spec.method} cannot change: {', '.join(parametrised)}; name others or remove the parametrisation"
        )
    kinds = ", ".join(sorted({type(modules[name]).__name__ for name in matches}))
    sentence = f"{pattern!r} matches {len(matches)} modules ({kinds}), none with {wanted} for {spec.method}"
    beneath = _parameters(f"{pattern}.*", modules, spec)
    if not beneath:
        return sentence
    layers = [parameter.rpartition(".")[0] for parameter in beneath]
    return (
        f"{sentence}; {pattern}.* matches what is beneath: {', '.join(layers[:3])}{', ...' if len(layers) > 3 else ''}"
    )


def _with_layers(pattern: str, modules: dict[str, nn.Module], spec: AdapterSpec) -> str | None:
    """The pattern, or that of what is beneath, whichever names something to change."""
    return next((one for one in (pattern, f"{pattern}.*") if _parameters(one, modules, spec)), None)

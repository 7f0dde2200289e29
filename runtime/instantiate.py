"""Build objects from `_target_` nodes, of this project's and the named libraries' classes only, after checking every signature."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from runtime.compose import ConfigError

ALLOWED_ROOTS = (
    "networks.", "losses.", "metrics.", "lightning_modules.", "datamodules.", "callbacks.", "faces.", "speech.", "corpora.",
    "torch.optim.", "torchmetrics.", "pytorch_lightning.callbacks.",
)  # fmt: skip


def build(node: DictConfig, **given: Any) -> Any:
    """Build the object that `node` describes; `given` are built objects and facts that the file cannot know.

    Raises ConfigError before anything is built if a target is not allowed, an argument is unknown, missing or of a wrong type.
    """
    plain: Any = OmegaConf.create(OmegaConf.to_container(node, resolve=True))
    problems = check(plain, given=set(given))
    if problems:
        raise ConfigError("\n".join(problems))
    return _construct(OmegaConf.to_container(plain), given)


def _construct(node: Any, given: dict[str, Any] | None = None) -> Any:
    """Like `hydra.utils.instantiate`, whose wrapping of errors would bury the sentence that a constructor says."""
    if isinstance(node, list):
        return [_construct(item) for item in node]
    if not isinstance(node, dict):
        return node
    arguments = {name: _construct(value) for name, value in node.items() if name not in ("_target_", "_partial_")}
    if "_target_" not in node:
        return arguments
    target = _resolve(node["_target_"])
    if node.get("_partial_", False):
        return functools.partial(target, **arguments, **(given or {}))
    return target(**arguments, **(given or {}))


def accepted(node: DictConfig, offers: dict[str, Any]) -> dict[str, Any]:
    """Those of `offers` that the node's target takes and the node itself does not set."""
    parameters = inspect.signature(_resolve(node["_target_"])).parameters
    return {name: value for name, value in offers.items() if name in parameters and name not in node}


def network_class(config: DictConfig) -> type | None:
    """The class of a run's network, without building it; None where the configuration names none, as that of an adaptation does."""
    target = str((config.get("net") or {}).get("_target_", ""))
    return cast(type, _resolve(target)) if target.startswith("networks.") else None


def check(node: Any, given: set[str] | None = None, path: str = "") -> list[str]:
    """All problems of the `_target_` nodes in `node`, each with its dotted path."""
    problems: list[str] = []
    for where, target_node in _target_nodes(node, path):
        problems += _check_target(where, target_node, given if where == path else None)
    return problems


def _target_nodes(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if OmegaConf.is_dict(node):
        if "_target_" in node:
            yield path, node
        for name in node:
            yield from _target_nodes(node[name], f"{path}.{name}" if path else str(name))
    elif OmegaConf.is_list(node):
        for position, item in enumerate(node):
            yield from _target_nodes(item, f"{path}[{position}]")


def _check_target(path: str, node: Any, given: set[str] | None) -> list[str]:
    target = str(node["_target_"])
    where = path or target
    if not target.startswith(ALLOWED_ROOTS):
        return [
            f"{where}: {target!r} may not be built from a configuration; allowed are {', '.join(r + '*' for r in ALLOWED_ROOTS)}"
        ]
    try:
        built = _resolve(target)
        signature, hints = inspect.signature(built), _hints(built)
    except (ImportError, AttributeError) as error:
        return [f"{where}: cannot find {target!r}: {error}"]
    arguments = {str(n): node[n] for n in node if n not in ("_target_", "_partial_")}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    problems = []
    for name, value in arguments.items():
        if name not in signature.parameters and not takes_any:
            close = difflib.get_close_matches(name, list(signature.parameters), n=1)
            problems.append(
                f"{where}.{name}: {target} has no such parameter" + (f" (did you mean {close[0]!r}?)" if close else "")
            )
        elif not _fits(value, hints.get(name, Any)):
            problems.append(f"{where}.{name}={value!r}: expected {_readable(hints[name])}")
    if not node.get("_partial_", False) and given is not None:
        missing = [
            p.name
            for p in signature.parameters.values()
            if p.default is p.empty
            and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
            and p.name not in arguments | dict.fromkeys(given)
        ]
        problems += [f"{where}.{name} is missing: {target} needs it" for name in missing]
    return problems


def _resolve(target: str) -> Callable[..., Any]:
    module_name, _, attribute = target.rpartition(".")
    return getattr(importlib.import_module(module_name), attribute)


def _hints(built: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(built.__init__ if inspect.isclass(built) else built)
    except (NameError, TypeError):
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain configuration value fits a type hint; what is not a plain type is left to the constructor."""
    if OmegaConf.is_dict(value) and "_target_" in value:
        return True
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    container = origin or hint
    if container in (dict, Mapping):
        return OmegaConf.is_dict(value)
    if container in (list, tuple, Sequence):
        return OmegaConf.is_list(value)
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
    return True


def _readable(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint).replace("typing.", "")

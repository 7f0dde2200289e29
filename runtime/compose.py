"""From an experiment's name and `key=value` overrides to one checked configuration, before torch is imported.

The YAML tree is the schema: an override may only name a key that exists there, with a value of the same type. Every mistake of
a command is reported in one message. This file alone knows Hydra, and only its compose API: `@hydra.main` fights DDP launchers
and puts requeued jobs into new folders.
"""

from __future__ import annotations

import copy
import difflib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where PyYAML was built with it
NOT_A_GROUP = "sweeps"  # a folder of the tree that holds files for sweep.py, not options


class ConfigError(ValueError):
    """The configuration cannot be used; the message lists every problem."""


def experiment_names(root: Path = EXPERIMENTS) -> list[str]:
    """Names of the experiments a person can train: the YAML files at the top of the tree except the shared base."""
    return sorted(p.stem for p in root.glob("*.yaml") if p.stem != "base")


def question_of(experiment: str, root: Path = EXPERIMENTS) -> str:
    """The comment at the top of an experiment's file: the question it answers."""
    lines = (root / f"{experiment}.yaml").read_text().splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(part for part in comment if "@package" not in part)


def compose(experiment: str, overrides: Sequence[str] = (), root: Path = EXPERIMENTS) -> DictConfig:
    """Compose and check one experiment; raises ConfigError with all problems at once.

    `overrides` are `group=option` (a folder of the tree) or `a.b=value`. The result is fully resolved and read-only.
    """
    if experiment not in experiment_names(root):
        raise ConfigError(
            f"no experiment {experiment!r}{_nearest(experiment, experiment_names(root))}; there are: {_listed(experiment_names(root))}"
        )
    problems: list[str] = []
    parsed = [p for text in overrides if (p := _parse(text, problems)) is not None]
    groups = [p for p in parsed if _is_group(p, root)]
    values = [p for p in parsed if not _is_group(p, root)]
    good_groups = [p for p in groups if _check_group(p, root, problems)]
    config = _run_hydra(experiment, [str(p.input_line) for p in good_groups], root)
    good_values = [p for p in values if _check_value(p, config, problems)]
    if problems:
        raise ConfigError("\n".join(problems))
    for value in good_values:  # as Hydra itself would, without composing a second time
        OmegaConf.update(config, value.key_or_group, value.value(), merge=True)
    _require_no_missing(config)
    OmegaConf.resolve(config)
    OmegaConf.set_readonly(config, True)
    return config


def from_file(path: Path) -> DictConfig:
    """Read a resolved configuration that a run wrote (`config.yaml`)."""
    try:
        values = yaml.load(path.read_text(), Loader=_LOADER)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the run's configuration {path}: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a run's configuration: expected a mapping, found {type(values).__name__}")
    config = OmegaConf.create(values)
    assert isinstance(config, DictConfig)
    OmegaConf.set_readonly(config, True)
    return config


def _run_hydra(experiment: str, overrides: list[str], root: Path) -> DictConfig:
    """The tree with these groups chosen; a copy of what was composed before, as long as no file of the tree changes."""
    found = ((file, file.stat()) for file in sorted(root.rglob("*.yaml")))
    state = tuple((str(file), about.st_mtime_ns, about.st_size) for file, about in found)
    return copy.deepcopy(_composed(experiment, tuple(overrides), root.resolve(), state))


@functools.lru_cache(maxsize=64)
def _composed(experiment: str, overrides: tuple[str, ...], root: Path, state: tuple) -> DictConfig:
    """`state` is that of the tree's files: another one is composed anew."""
    with initialize_config_dir(config_dir=str(root), version_base="1.3"):
        try:
            config = hydra_compose(config_name=experiment, overrides=list(overrides), return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"experiment {experiment!r} cannot be composed: {error}") from error
    chosen = {g: o for g, o in config.hydra.runtime.choices.items() if "/" not in g and g != "logger"}
    with open_dict(config):
        del config["hydra"]
        if OmegaConf.select(config, "logger.choices") is not None:
            config.logger.choices = chosen  # the resolved configuration does not tell `net=small` otherwise
    return config


def _parse(text: str, problems: list[str]) -> Override | None:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        problems.append(f"{text!r} is not an override; expected key=value, for example trainer.max_steps=2000")
        return None
    if override.is_delete() or override.is_add() or override.is_force_add() or override.is_sweep_override():
        problems.append(f"{text!r}: keys can be set, not added, deleted or swept over here; give key=value")
        return None
    return override


def _is_group(override: Override, root: Path) -> bool:
    key = override.key_or_group
    return "." not in key and key != NOT_A_GROUP and (root / key).is_dir()


def _check_group(override: Override, root: Path, problems: list[str]) -> bool:
    options = sorted(p.stem for p in (root / override.key_or_group).glob("[!_]*.yaml"))
    value = str(override.value())
    if value in options:
        return True
    problems.append(
        f"{override.key_or_group}={value}: no such option{_nearest(value, options)}; expected one of {_listed(options)}"
    )
    return False


def _check_value(override: Override, base: DictConfig, problems: list[str]) -> bool:
    key = override.key_or_group
    known = _leaf_keys(base)
    if key not in known:
        problems.append(f"unknown key {key!r}{_nearest(key, known)}")
        return False
    default, value = OmegaConf.select(base, key), override.value()
    if _same_type(default, value):
        return True
    problems.append(f"{key}={value!r} is {_type_name(value)}; expected {_type_name(default)} (default: {default!r})")
    return False


def _leaf_keys(config: DictConfig) -> list[str]:
    keys: list[str] = []

    def walk(node: Any, prefix: str) -> None:
        for name in node:
            key = f"{prefix}{name}"
            child = node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_interpolation() and not child._is_none():
                walk(child, key + ".")
            keys.append(key)

    walk(config, "")
    return keys


def _same_type(default: Any, value: Any) -> bool:
    if default is None:
        return True  # YAML cannot say what an optional key holds; the signature check after torch's import can
    if value is None:
        return False
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, int):
        return isinstance(value, int)
    if isinstance(default, str):
        return not isinstance(value, list | dict)  # numbers and quoted strings may stand for text: run.label=7
    return (OmegaConf.is_list(default) and isinstance(value, list)) or (
        OmegaConf.is_dict(default) and isinstance(value, dict)
    )


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if OmegaConf.is_dict(value) or isinstance(value, dict):
        return "a mapping"
    if OmegaConf.is_list(value) or isinstance(value, list):
        return "a list"
    names: dict[type, str] = {bool: "true/false", int: "a whole number", float: "a number"}
    return names.get(type(value), "text")


def _require_no_missing(config: DictConfig) -> None:
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError("\n".join(f"{key} has no default; give {key}=..." for key in missing))


def _nearest(word: str, options: Sequence[str]) -> str:
    by_leaf = {o.rsplit(".", 1)[-1]: o for o in options}
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if not close:
        close = [by_leaf[m] for m in difflib.get_close_matches(word.rsplit(".", 1)[-1], list(by_leaf), n=1, cutoff=0.7)]
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)

"""A run's folder and identity: `runs/<experiment>-<hash>`, so that the same command again *is* the resume.

config.yaml        resolved configuration, authoritative on resume
data.json          facts of the corpus it was trained on (space, sizes, fingerprint)
environment.json   versions, commit, hardware, command of every start
checkpoints/       step-<8 digits>.ckpt, each beside its manifest
metrics.jsonl      the record; W&B is a view of it
metrics.json       what the validation's numbers mean: unit, vertices, averaging, direction, source
wandb/  media/
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from omegaconf import DictConfig, OmegaConf

from runtime.code_version import source_hash
from runtime.compose import ConfigError, from_file

# What may change between two starts of one run without making it another experiment.
VOLATILE = (
    "run.root", "run.folder", "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.shard_encoder",
    "trainer.log_every_steps", "trainer.val_every_steps", "trainer.time_limit_s", "trainer.grace_s", "trainer.collective_timeout_s", "data.root", "data.workers", "data.worker_start", "data.cache_mb", "data.eval_batch",
    "data.shard_cache", "data.shard_cache_gb", "data.prefetch_shards", "data.fetch_retries", "data.fetch_stall_seconds", "checkpoint", "logger", "callbacks", "face.path",
    "speech.run", "speech.weights", "net.front_end.run", "net.front_end.weights",  # the weights themselves count, by the fingerprint
)  # fmt: skip
# An adaptation is known by its base's weights, which count by the fingerprint, wherever they lie and whatever names them.
PLACE_OF_BASE = ("base.run", "base.checkpoint")
# What is volatile elsewhere, but chooses the result of an adaptation: when it stops and which step is kept.
CHOOSES_ADAPTATION = ("trainer.val_every_steps", "checkpoint.monitor", "callbacks.early_stopping")

LOCK_WAIT_S = 30.0


class RunError(ValueError):
    """A run folder cannot be used; the message says which, why and what to do."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run. Made by `open_run` (training) or `existing_run` (everything after)."""

    path: Path
    config: DictConfig

    @property
    def run_id(self) -> str:
        return f"{self.config.run.name}-{json.loads((self.path / 'data.json').read_text())['run_hash']}"

    @property
    def data(self) -> dict[str, Any]:
        return json.loads((self.path / "data.json").read_text())["facts"]

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def media(self) -> Path:
        return self.path / "media"


def identity(config: DictConfig, data_fingerprint: str) -> str:
    """Eight hex digits of what makes this run a different experiment: the configuration without what is volatile, and the data."""
    text = json.dumps([_kept(config), data_fingerprint], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def flatten(config: DictConfig | dict[str, Any]) -> dict[str, Any]:
    """`{"a.b": value}` for every leaf; lists are leaves."""
    plain = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    flat: dict[str, Any] = {}

    def walk(node: Any, prefix: str) -> None:
        if isinstance(node, dict) and node:
            for name, child in node.items():
                walk(child, f"{prefix}.{name}" if prefix else str(name))
        else:
            flat[prefix] = node

    walk(plain, "")
    return flat


def open_run(config: DictConfig, facts: dict[str, Any], fresh: bool = False) -> RunFolder:
    """Create the folder of this run or return the one that the same command made before.

    `facts` describe the corpus and hold its `fingerprint`. A folder that holds another experiment is refused with the
    difference; `fresh` moves an existing folder aside (`<folder>.old-<n>`) and starts again.
    """
    run_hash = identity(config, str(facts["fingerprint"]))
    path = _path_of(config, run_hash)
    if fresh and path.exists():
        lock(RunFolder(path, config)).close()
        _archive(path)
    if path.exists() and any(path.iterdir()):
        _require_same(path, config, run_hash)
    path.mkdir(parents=True, exist_ok=True)
    for name in ("checkpoints", "media"):
        (path / name).mkdir(exist_ok=True)
    if not (path / "config.yaml").exists():
        write_atomically(path / "data.json", json.dumps({"run_hash": run_hash, "facts": facts}, indent=2))
        write_atomically(path / "config.yaml", OmegaConf.to_yaml(_with_absolute_base(config), resolve=True))
    return RunFolder(path, config)


def same_run(config: DictConfig, facts: dict[str, Any]) -> RunFolder | None:
    """The folder that `open_run` would return for these `facts`, where it is there already. Raises RunError where it holds another run."""
    run_hash = identity(config, str(facts["fingerprint"]))
    path = _path_of(config, run_hash)
    if not path.exists():
        return None
    _require_same(path, config, run_hash)
    return RunFolder(path, config)


def lock(run: RunFolder) -> TextIO:
    """Hold the folder for this process until the returned file is closed; a second trainer of one run would destroy both.

    Waits LOCK_WAIT_S for a holder that is about to end (a preempted job's last ranks), then raises RunError naming it.
    """
    file = (run.path / "lock").open("a+")
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: loader workers would inherit it
            break
        except OSError:
            if time.monotonic() > until:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                file.close()
                raise RunError(
                    f"{run.path} is being trained by another process ({holder}); wait for it or stop it"
                ) from None
            time.sleep(0.2)
    file.truncate(0)
    file.write(f"host {platform.node()}, process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    file.flush()
    return file


def existing_run(path: Path | str) -> RunFolder:
    """A finished or running run's folder, its configuration read from disk. Raises RunError if it is none."""
    path = Path(path)
    if not (path / "config.yaml").is_file() or not (path / "data.json").is_file():
        raise RunError(
            f"{path} is not a run folder (no config.yaml and data.json); give the folder that train.py printed as `run:`"
        )
    return RunFolder(path, from_file(path / "config.yaml"))


def record_environment(run: RunFolder) -> None:
    """Append this start to `environment.json`: command, commit, versions, hardware."""
    file = run.path / "environment.json"
    starts = json.loads(file.read_text()) if file.exists() else []
    starts.append(
        {
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "command": sys.argv,
            "commit": _git("rev-parse", "HEAD"),
            "source_hash": source_hash(),
            "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpu_count": os.cpu_count(),
            "ranks": int(os.environ.get("WORLD_SIZE", "1")),
            "packages": {
                name: _version(name)
                for name in ("torch", "pytorch-lightning", "webdataset", "wandb", "numpy", "hydra-core")
            },
        }
    )
    write_atomically(file, json.dumps(starts, indent=2))


def write_atomically(path: Path, text: str) -> None:
    """Write beside the destination and rename, so that a reader sees the old file or the new one, never half of one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # ranks of one run may write the same file at once
    try:
        with temporary.open("w") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _path_of(config: DictConfig, run_hash: str) -> Path:
    return Path(config.run.folder or Path(config.run.root) / f"{config.run.name}-{run_hash}")


def _kept(config: DictConfig) -> dict[str, Any]:
    """What of a configuration makes it another experiment, by its flat key."""
    counted, left_out = (CHOOSES_ADAPTATION, VOLATILE + PLACE_OF_BASE) if "base" in config else ((), VOLATILE)
    flat = flatten(config)
    return {key: flat[key] for key in flat if _is_of(key, counted) or not _is_of(key, left_out)}


def _is_of(key: str, sections: tuple[str, ...]) -> bool:
    return any(key == section or key.startswith(section + ".") for section in sections)


def _with_absolute_base(config: DictConfig) -> DictConfig:
    """The folder of an adaptation's base is found from every working directory."""
    if not OmegaConf.select(config, "base.run"):
        return config
    merged = OmegaConf.merge(config, {"base": {"run": str(Path(config.base.run).resolve())}})
    assert isinstance(merged, DictConfig)
    return merged


def _require_same(path: Path, config: DictConfig, run_hash: str) -> None:
    if not (path / "config.yaml").is_file():
        raise RunError(f"{path} exists and is not a run folder; choose another run.root or run.folder, or remove it")
    try:
        old_hash = json.loads((path / "data.json").read_text())["run_hash"]
        old = _kept(from_file(path / "config.yaml"))
    except (OSError, KeyError, json.JSONDecodeError, ConfigError) as error:
        raise RunError(
            f"{path} holds a run whose record is damaged ({error}); move it aside or start with --fresh"
        ) from error
    if old_hash == run_hash:
        return
    new = _kept(config)
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    lines = [f"  {key}: {old.get(key)!r} -> {new.get(key)!r}" for key in changed] or [
        "  (the data at data.root changed, or the weights of a run that this one is built on)"
    ]
    raise RunError(
        f"{path} already holds another run; choose another run.folder or run.label, or start with --fresh. What differs:\n"
        + "\n".join(lines)
    )


def _archive(path: Path) -> Path:
    number = 1
    while (target := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    return path.rename(target)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"

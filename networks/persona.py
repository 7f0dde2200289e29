"""A persona: one person's changes of a base network, style and identity as a folder that loads without pickle and only on its base.

adapter.safetensors   the trained change of the base's weights (absent where nothing was trained)
style.safetensors     the style that the network computes of the person's recording
identity.npz          shape coefficients of the person's face and the space they are of, "" where unknown
persona.json          format, name, SHA-256 of the base, and what `adapt.py` knows of the making
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import nn

from networks.style_encoder import Style
from networks.weight_adapters import base_hash, load_person, save_person

FORMAT = "persona-faces persona 1"
ADAPTER, STYLE, IDENTITY, RECORD = "adapter.safetensors", "style.safetensors", "identity.npz", "persona.json"
STYLE_PREFIX = "expression."


class PersonaError(ValueError):
    """A persona cannot be written or used; the message says which, why and what to do."""


@dataclass(frozen=True, eq=False)
class Persona:
    """`style` `[1, width]` (embedding) and `[1, E + 3]` of the adapted network; `identity` `[I]` of `identity_space`, "" where unknown.
    `record` is plain JSON: whatever is worth knowing of the making.
    """

    name: str
    style: Style
    identity: np.ndarray
    identity_space: str
    record: dict[str, Any] = field(default_factory=dict)


def save_persona(folder: Path, net: nn.Module, persona: Persona, person: str | None) -> None:
    """Write the whole folder or nothing. `person` is the name under which the change is attached to `net`, None where nothing was trained.

    An older persona at `folder` is replaced; anything else there is refused with `PersonaError`.
    """
    record = persona.record | {"format": FORMAT, "name": persona.name, "base_hash": base_hash(net)}
    with _new_folder(folder) as new:
        if person is not None:
            save_person(net, person, new / ADAPTER)
        style = {
            STYLE_PREFIX + name: value.detach().cpu().contiguous() for name, value in persona.style._asdict().items()
        }
        _write(new / STYLE, to_safetensors(style))
        with (new / IDENTITY).open("wb") as handle:
            np.savez(
                handle, identity=persona.identity.astype(np.float32), identity_space=np.array(persona.identity_space)
            )
        _write(new / RECORD, json.dumps(record, indent=1).encode())


def require_free(folder: Path) -> None:
    """Raises `PersonaError` where a persona cannot be written to `folder`."""
    if not folder.parent.is_dir():
        raise PersonaError(f"cannot write {folder}: the folder {folder.parent} does not exist")
    if folder.exists() and not (folder / RECORD).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise PersonaError(f"{folder} exists and is not a persona (no {RECORD}); choose another --out")


def read_record(folder: Path) -> dict[str, Any]:
    """`persona.json`; raises `PersonaError` where `folder` holds no persona."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError) as error:
        raise PersonaError(f"{folder} is not a persona ({error}); give a folder that adapt.py wrote") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise PersonaError(f"{folder / RECORD} is not of the format {FORMAT!r}; adapt again")
    return record


def load_persona(folder: Path, net: nn.Module) -> Persona:
    """Attach and select a persona's change and read the rest.

    Raises `PersonaError` or `AdapterError` for another base, a missing or damaged file; `net` then stays as it was.
    """
    record = read_record(folder)
    ours = base_hash(net)
    if record["base_hash"] != ours:
        raise PersonaError(
            f"{folder} was made on base {record['base_hash'][:12]}, but this network is {ours[:12]}; give the run and the checkpoint it was adapted from"
        )
    try:
        tensors = from_safetensors((folder / STYLE).read_bytes())
        style = Style(*(tensors[STYLE_PREFIX + name] for name in Style._fields))
        with np.load(folder / IDENTITY, allow_pickle=False) as file:
            identity, space = file["identity"], str(file["identity_space"])
    except (OSError, SafetensorError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise PersonaError(f"{folder} is damaged ({error}); adapt again") from error
    if record.get("adapter") and not (folder / ADAPTER).is_file():
        raise PersonaError(f"{folder} is damaged ({ADAPTER} is missing); adapt again")
    if (folder / ADAPTER).is_file():
        load_person(net, folder / ADAPTER)
    return Persona(record["name"], style, identity, space, record)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its place in the end, or vanishes."""
    require_free(folder)
    new = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())

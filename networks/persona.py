"""A persona: one person's changes of a base network, styles and identity as a folder that loads without pickle and only on its base.

adapter.safetensors   the trained change of the base's weights (absent where nothing was trained)
style.safetensors     the styles of the person's recording: of expression, of pose, or both
identity.npz          shape coefficients of the person's face and the space they are of, "" where unknown
persona.json          format, name, SHA-256 of the bases, and what `adapt.py` knows of the making

The expression half belongs to an expression network, the pose half to a PoseGPT; a persona may have either alone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from networks.expression_adapter import ExpressionAdapter
from networks.pose_adapter import PoseAdapter
from networks.style_encoder import Style
from networks.weight_adapters import AdapterError, base_hash, load_person, people_of, save_person, switch
from networks.weight_adapters.files import describe

FORMAT = "persona-faces persona 1"
ADAPTER, STYLE, IDENTITY, RECORD = "adapter.safetensors", "style.safetensors", "identity.npz", "persona.json"
# The name of the change inside a network that is being adapted; the persona knows the person's own.
PERSON = "person"
STYLE_PREFIX, POSE_STYLE = "expression.", "pose.embedding"
# What a record says, but for the name only where it has the first of these keys: a persona may have either half alone.
RECORD_KINDS: dict[tuple[str, ...], type] = {
    ("name",): str,
    ("base_hash",): str,
    ("base", "run"): str,
    ("base", "checkpoint"): str,
    ("adapter",): dict,
    ("pose", "base_hash"): str,
    ("pose", "run"): str,
    ("pose", "checkpoint"): str,
    ("pose", "sampling"): str,
}


class PersonaError(ValueError):
    """A persona cannot be written or used; the message says which, why and what to do."""


@dataclass(frozen=True, eq=False)
class Persona:
    """`style` `[1, width]` (embedding) and `[1, E + 3]` of the adapted network; `identity` `[I]` of `identity_space`, "" where unknown;
    `pose_style` `[style_width]` of a PoseGPT. A style is None where the persona lacks that half.
    `record` is plain JSON: whatever is worth knowing of the making; that of the pose half lies in `record["pose"]`.
    `person` is the name under which `load_persona` attached the change, None where nothing was trained or nothing is loaded.
    """

    name: str
    style: Style | None
    identity: np.ndarray
    identity_space: str
    record: dict[str, Any] = field(default_factory=dict)
    pose_style: Tensor | None = None
    person: str | None = None


def save_persona(
    folder: Path, net: nn.Module | None, persona: Persona, person: str | None, pose_net: nn.Module | None = None
) -> None:
    """Write the whole folder or nothing. `net` is the expression network, `pose_net` the PoseAdapter, None for a half that the persona
    lacks. `person` is the name under which the change is attached to `net`, None where nothing was trained.

    An older persona at `folder` is replaced; anything else there is refused with `PersonaError`.
    """
    record = persona.record | {"format": FORMAT, "name": persona.name}
    styles: dict[str, Tensor] = {}
    if net is not None and persona.style is not None:
        record["base_hash"] = base_hash(net)
        styles |= {STYLE_PREFIX + name: value for name, value in persona.style._asdict().items()}
    if pose_net is not None and persona.pose_style is not None:
        record["pose"] = persona.record.get("pose", {}) | {"base_hash": base_hash(pose_net)}
        styles[POSE_STYLE] = persona.pose_style
    if not styles:
        raise PersonaError(f"a persona needs a style and the network it is of; {persona.name} has none")
    with _new_folder(folder) as new:
        if net is not None and person is not None:
            save_person(net, person, new / ADAPTER)
        _write(new / STYLE, to_safetensors({name: value.detach().cpu().contiguous() for name, value in styles.items()}))
        with (new / IDENTITY).open("wb") as handle:
            np.savez(
                handle, identity=persona.identity.astype(np.float32), identity_space=np.array(persona.identity_space)
            )
        _write(new / RECORD, json.dumps(record, indent=1).encode())


def require_free(folder: Path) -> None:
    """Raises `PersonaError` where a persona cannot be written to `folder`; folders above it need not exist yet."""
    if folder.name in ("", "..") or folder.resolve() == Path.cwd():
        raise PersonaError(f"{folder} is no name of a persona; give a folder of its own, for example people/ada")
    above = next(path for path in folder.absolute().parents if path.exists())
    try:
        Path(tempfile.mkdtemp(prefix=".persona-", dir=above)).rmdir()
    except OSError as error:
        raise PersonaError(
            f"cannot write {folder}: no folder can be made in {above} ({error.strerror}); choose another --out"
        ) from error
    if folder.exists() and not (folder / RECORD).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise PersonaError(f"{folder} exists and is not a persona (no {RECORD}); choose another --out")


def read_record(folder: Path) -> dict[str, Any]:
    """`persona.json`; raises `PersonaError` where `folder` holds no persona."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError) as error:
        raise PersonaError(
            f"{folder} is not a persona ({RECORD}: {error}); give a folder that adapt.py wrote"
        ) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise PersonaError(f"{folder / RECORD} is not of the format {FORMAT!r}; adapt again")
    for path, kind in RECORD_KINDS.items():
        value: Any = record
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, kind) and (path == ("name",) or path[0] in record):
            raise PersonaError(
                f"{folder / RECORD} is damaged: {'.'.join(path)} is {value!r}, expected {kind.__name__}; adapt again"
            )
    return record


def load_persona(folder: Path, net: ExpressionAdapter, person: str | None = None) -> Persona:
    """Attach and select a persona's change and read the rest of its expression half.

    The change is called `person` in the network, by default as the persona is (`name_in_network`), so that several personas share one
    network: `switch(net, persona.person)`. Where nothing was trained the base is selected.
    Raises `PersonaError` for another base, a persona of pose alone, a missing or damaged file, and a name that is taken; `net` then stays as it was.
    """
    record = read_record(folder)
    if "base_hash" not in record:
        raise PersonaError(f"{folder} holds a pose style alone; adapt with --expression RUN for the face")
    _require_base(folder, record["base_hash"], net)
    widths = (net.style_encoder.output.out_features, net.num_channels, net.num_channels)
    expected = {STYLE_PREFIX + name: (1, width) for name, width in zip(Style._fields, widths, strict=True)}
    styles = _read_styles(folder, expected)
    style = Style(*(styles[name] for name in expected))
    identity, space = _read_identity(folder, net.num_identity)
    if (folder / ADAPTER).is_file():
        person = _attach(folder, net, person or name_in_network(record["name"]))
    elif record.get("adapter"):
        raise PersonaError(f"{folder} is damaged ({ADAPTER} is missing); adapt again")
    else:
        person = None
        switch(net, None)
    return Persona(record["name"], style, identity, space, record, styles.get(POSE_STYLE), person)


def name_in_network(name: str) -> str:
    """What a persona's change is called in a network that knows letters, digits, _ and - alone: `p 12` is `p_12`."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name) or "_"
    return f"{plain}_" if hasattr(nn.ModuleDict(), plain) else plain


def _attach(folder: Path, net: nn.Module, person: str) -> str:
    if person in people_of(net):
        raise PersonaError(
            f"{folder} would be called {person!r} in this network, where somebody of that name is already; "
            "give load_persona another name: person=..."
        )
    try:
        return load_person(net, folder / ADAPTER, person)
    except AdapterError as error:
        raise PersonaError(str(error)) from error


def load_pose_style(folder: Path, pose_net: PoseAdapter) -> Tensor:
    """The style vector `[style_width]` of a persona's pose half; raises `PersonaError` where it has none or was made for another network."""
    record = read_record(folder)
    if "pose" not in record:
        raise PersonaError(f"{folder} has no pose style; adapt with --pose RUN, or choose another --head")
    _require_base(folder, record["pose"]["base_hash"], pose_net)
    return _read_styles(folder, {POSE_STYLE: (pose_net.gpt.settings.style_width,)})[POSE_STYLE]


def _require_base(folder: Path, expected: str, net: nn.Module) -> None:
    ours = base_hash(net)
    if expected != ours:
        raise PersonaError(
            f"{folder} was made on base {expected[:12]}, but this network is {ours[:12]}; give the run and the checkpoint it was adapted from"
        )


def _read_styles(folder: Path, expected: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """All styles of the folder, those of `expected` of these shapes."""
    try:
        styles = from_safetensors((folder / STYLE).read_bytes())
    except (OSError, SafetensorError) as error:
        raise PersonaError(f"{folder / STYLE} is damaged ({error}); adapt again") from error
    for name, shape in expected.items():
        value = styles.get(name)
        found = "missing" if value is None else _fault(value, shape)
        if found:
            raise PersonaError(f"{folder / STYLE} is damaged: {name} is {found}, {_wanted(shape)}; adapt again")
    return styles


def _read_identity(folder: Path, length: int) -> tuple[np.ndarray, str]:
    path = folder / IDENTITY
    try:
        with np.load(path, allow_pickle=False) as file:
            identity, space = file["identity"], file["identity_space"]
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise PersonaError(f"{path} is damaged ({error}); adapt again") from error
    shown = f"{identity.dtype} {list(identity.shape)}"
    found = _fault(torch.from_numpy(identity), (length,)) if identity.dtype == np.float32 else shown
    if found:
        raise PersonaError(f"{path} is damaged: identity is {found}, {_wanted((length,))}; adapt again")
    if space.ndim or space.dtype.kind != "U":
        raise PersonaError(f"{path} is damaged: identity_space is {space!r}, expected one text; adapt again")
    return identity, str(space)


def _fault(value: Tensor, shape: tuple[int, ...]) -> str:
    """What is wrong with a tensor that ought to be of `shape`; empty where nothing is."""
    if value.shape != shape or value.dtype != torch.float32:
        return describe(value)
    return "" if torch.isfinite(value).all() else "not finite"


def _wanted(shape: tuple[int, ...]) -> str:
    return f"expected finite float32 {list(shape)}"


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its place in the end, or vanishes."""
    require_free(folder)
    new = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
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

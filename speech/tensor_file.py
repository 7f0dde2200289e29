"""Artefacts as safetensors files: whole or absent, with strings beside the tensors that say what they belong to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save


def save_tensor_file(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write tensors and strings; the file appears whole, by a rename after it reached the disk, or not at all."""
    path = Path(path)
    data = save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, dict(metadata))
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_tensor_file(
    path: str | os.PathLike[str], expected_format: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and strings of a file whose string `format` is the expected one. Raises ValueError for any other file,
    OSError for none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}); make it again") from error
    found = metadata.get("format", "none")
    if found != expected_format:
        raise ValueError(f"{path} has format {found!r}; expected {expected_format!r}")
    return tensors, metadata

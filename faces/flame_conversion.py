"""Conversion of FLAME's own pickles into the one npz that `faces.flame_face.FlameFace` reads, without running what a pickle may hold.

python -m faces.flame_conversion generic_model.pkl flame.npz --masks FLAME_masks.pkl
"""

from __future__ import annotations

import argparse
import io
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

from faces.face_model import FaceModelError
from faces.flame_face import JAW, check_flame

ARRAYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f")
# What FLAME's pickles are made of, and nothing that runs code.
_ALLOWED = {
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("_codecs", "encode"),
}
_SPARSE = {"csc_matrix", "csr_matrix", "coo_matrix"}
# Of the masks' own parts, which make up each region; the jaw is taken from its joint.
_REGIONS = {
    "lips": ("lips",),
    "mouth": ("lips",),
    "upper_face": ("forehead", "eye_region"),
    "eyes": ("eye_region", "left_eyeball", "right_eyeball"),
    "brows": ("forehead",),
    "neck": ("neck",),
}


class _Stored:
    """Stands for a chumpy array or a SciPy sparse matrix: only what was stored of it is kept."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("chumpy.") or (module.startswith("scipy.sparse") and name in _SPARSE):
            return type(name, (_Stored,), {})
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which no FLAME file needs")


def convert_flame(model: Path, masks: Path, out: Path) -> None:
    """Write `out` (npz, metres), whole or not at all, from FLAME's `model` and vertex `masks` (pickle, or npz of the same names).

    Raises FaceModelError for a file that is absent, damaged, of another layout, or that holds what no FLAME file needs.
    """
    raw = _unpickled(model)
    missing = [name for name in ARRAYS if name not in raw]
    if missing:
        raise FaceModelError(f"{model}: {missing} are missing; expected FLAME's generic_model.pkl")
    data = {name: _array(raw[name]) for name in ARRAYS}
    data = {name: values.astype(np.int32 if name == "f" else np.float32) for name, values in data.items()}
    parts = _masks(masks)
    for region, names in _REGIONS.items():
        ids = [parts[name] for name in names if name in parts]
        data[f"region_{region}"] = np.unique(np.concatenate(ids)) if ids else np.zeros(0, np.int64)
    data["region_jaw"] = np.flatnonzero(data["weights"][:, JAW] > 0.5) if data["weights"].ndim == 2 else np.zeros(0)
    check_flame(data, str(model))
    highest = max(int(ids.max()) for name, ids in data.items() if name.startswith("region_"))
    if highest >= len(data["v_template"]):
        raise FaceModelError(f"{masks} names vertex {highest}; the model has {len(data['v_template'])}")
    partial = out.with_name(out.name + ".tmp")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **data)  # type: ignore[arg-type]
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _unpickled(path: Path) -> dict[str, Any]:
    try:
        # FLAME's pickles were written by Python 2.
        found = _RestrictedUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except FileNotFoundError:
        raise FaceModelError(f"{path}: no such file; it comes from FLAME's authors, under their licence") from None
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise FaceModelError(f"{path} cannot be read as a FLAME pickle: {error}") from error
    if not isinstance(found, dict):
        raise FaceModelError(f"{path} holds a {type(found).__name__}; expected a dictionary of arrays")
    return found


def _masks(path: Path) -> dict[str, np.ndarray]:
    if path.suffix != ".npz":
        return {name: np.asarray(ids, np.int64) for name, ids in _unpickled(path).items()}
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].astype(np.int64) for name in file.files}
    except (OSError, ValueError) as error:
        raise FaceModelError(f"{path} cannot be read ({error}); expected FLAME_masks as pickle or npz") from error


def _array(value: Any) -> np.ndarray:
    """A plain array, the values of a chumpy array, or a sparse matrix made dense."""
    if not isinstance(value, _Stored):
        return np.asarray(value)
    state = value.state
    if "x" in state:
        return np.asarray(state["x"])
    shape = tuple(state.get("_shape", state.get("shape", ())))
    if len(shape) != 2 or not {"data", "indices", "indptr"} <= set(state):
        raise FaceModelError(f"a sparse matrix of FLAME's file has {sorted(state)}; expected data, indices and indptr")
    from scipy.sparse import csc_matrix, csr_matrix

    # Of both layouts the pointers are one more than what they go over: columns or rows.
    by_column = len(state["indptr"]) == shape[1] + 1
    matrix = (csc_matrix if by_column else csr_matrix)((state["data"], state["indices"], state["indptr"]), shape=shape)
    return matrix.toarray()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faces.flame_conversion", description=__doc__)
    parser.add_argument("model", type=Path, help="FLAME's generic_model.pkl")
    parser.add_argument("out", type=Path, help="npz to write")
    parser.add_argument("--masks", type=Path, required=True, help="FLAME_masks.pkl, or an npz of the same names")
    options = parser.parse_args(arguments)
    try:
        convert_flame(options.model, options.masks, options.out)
    except (FaceModelError, OSError) as error:
        print(f"flame_conversion: {error}", file=sys.stderr)
        return 2
    print(f"written: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

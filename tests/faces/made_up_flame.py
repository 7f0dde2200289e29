"""A file of FLAME's layout with made-up numbers: five joints up a column, few vertices."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix

VERTICES, MODES = 40, 400
# Rows of vertices that one joint alone moves.
BUST, RIGID_HEAD, JAW = range(0, 10), range(20, 30), range(30, 36)


def flame_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    template = rng.normal(0, 0.05, (VERTICES, 3))
    template[:, 1] += np.linspace(-0.2, 0.1, VERTICES)
    weights = np.zeros((VERTICES, 5))
    weights[list(BUST), 0] = 1
    weights[10:20, 0] = weights[10:20, 1] = 0.5
    weights[20:30, 1] = 1
    weights[30:36, 2] = 1
    weights[36:38, 3] = weights[38:40, 4] = 1
    regressor = rng.uniform(0, 1, (5, VERTICES))
    posedirs = rng.normal(0, 1e-3, (VERTICES, 3, 36))
    # Correctives bend what lies between the joints; bust, head and jaw stay rigid here, so that properties are exact.
    posedirs[list(BUST)] = posedirs[20:36] = 0
    return {
        "v_template": template,
        "shapedirs": rng.normal(0, 1e-3, (VERTICES, 3, MODES)),
        "posedirs": posedirs,
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights,
        "f": rng.integers(0, VERTICES, (30, 3)),
    }


def flame_masks() -> dict[str, np.ndarray]:
    return {
        "lips": np.arange(30, 33), "forehead": np.arange(24, 28), "eye_region": np.arange(22, 25),
        "left_eyeball": np.array([36, 37]), "right_eyeball": np.array([38, 39]), "neck": np.arange(10, 20),
    }  # fmt: skip


def write_pickles(folder: Path, arrays: dict[str, np.ndarray] | None = None) -> tuple[Path, Path]:
    """generic_model.pkl as FLAME's authors store it, with chumpy arrays and a sparse regressor, and FLAME_masks.pkl."""
    module = types.ModuleType("chumpy.ch")
    chumpy_array: Any = type("Ch", (), {"__module__": "chumpy.ch"})
    module.Ch = chumpy_array  # type: ignore[attr-defined]
    stored: dict[str, Any] = dict(arrays or flame_arrays())
    for name in ("shapedirs", "v_template"):
        wrapped = chumpy_array()
        wrapped.x = stored[name]
        stored[name] = wrapped
    stored["J_regressor"] = csc_matrix(stored["J_regressor"])
    stored["kintree_table"] = np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]])
    model, masks = folder / "generic_model.pkl", folder / "FLAME_masks.pkl"
    sys.modules["chumpy"], sys.modules["chumpy.ch"] = types.ModuleType("chumpy"), module
    try:
        model.write_bytes(pickle.dumps(stored, protocol=2))
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    masks.write_bytes(pickle.dumps(flame_masks(), protocol=2))
    return model, masks

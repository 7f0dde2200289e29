"""FLAME (Li et al., "Learning a model of facial shape and expression from 4D scans", 2017): head, neck and shoulders, from the user's own file.

    python -m faces.flame_conversion generic_model.pkl flame.npz --masks FLAME_masks.pkl

makes the file that `FlameFace` reads; the model is to be had from its authors under their licence, and nothing of it is in this project.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from faces.face_model import REGION_NAMES, FaceModel, FaceModelError, Material
from faces.rotations import axis_angle_to_matrix

PATH_VARIABLE = "FLAME_NPZ"
NUM_IDENTITY, NUM_EXPRESSION = 100, 50
# Shape modes of the model's file before its expression modes.
SHAPE_MODES = 300
ROOT, NECK, JAW = 0, 1, 2
PARENTS = (-1, 0, 1, 1, 1)
_SOURCE = (
    "get generic_model.pkl and FLAME_masks.pkl from FLAME's authors (registration, their licence), run "
    "`python -m faces.flame_conversion generic_model.pkl flame.npz --masks FLAME_masks.pkl`, and give the file as `path` or in "
    f"${PATH_VARIABLE}; the procedural face needs no file"
)


class FlameFace(FaceModel):
    """FLAME in the `flame` space: 100 identity and 50 expression coefficients, the jaw as a joint, metres.

    `head` turns the neck joint, `torso` the whole; eyes stay at rest. Vertices are those of linear blend skinning with FLAME's pose correctives.
    `path` defaults to `$FLAME_NPZ`. Raises `FaceModelError` saying where to get the file if it is absent, damaged or of another kind.
    """

    template: Tensor
    shape_basis: Tensor
    expression_basis: Tensor
    pose_basis: Tensor
    joint_regressor: Tensor
    skin_weights: Tensor
    torso_pivot: Tensor

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        data = _read(_path(path))
        vertices = len(data["v_template"])
        self.name = self.space = "flame"
        self.num_identity, self.num_expression, self.num_vertices = NUM_IDENTITY, NUM_EXPRESSION, vertices
        self.materials = [Material("skin", (0.80, 0.75, 0.70))]
        self.regions = {name: torch.from_numpy(data[f"region_{name}"].astype(np.int64)) for name in REGION_NAMES}
        modes = torch.from_numpy(data["shapedirs"]).float().permute(2, 0, 1)
        parts = {
            "template": torch.from_numpy(data["v_template"]).float(),
            "shape_basis": modes[:NUM_IDENTITY],
            "expression_basis": modes[SHAPE_MODES : SHAPE_MODES + NUM_EXPRESSION],
            "pose_basis": torch.from_numpy(data["posedirs"]).float().permute(2, 0, 1),
            "joint_regressor": torch.from_numpy(data["J_regressor"]).float(),
            "skin_weights": torch.from_numpy(data["weights"]).float(),
            "triangles": torch.from_numpy(data["f"].astype(np.int64)),
            "triangle_material": torch.zeros(len(data["f"]), dtype=torch.int64),
        }
        # The root joint of the mean face.
        parts["torso_pivot"] = (parts["joint_regressor"] @ parts["template"])[ROOT]
        for name, values in parts.items():
            self.register_buffer(name, values, persistent=False)

    def forward(
        self,
        identity: Tensor | None,
        expression: Tensor,
        jaw: Tensor | None = None,
        head: Tensor | None = None,
        vertex_ids: Tensor | None = None,
    ) -> Tensor:
        """See `FaceModel.forward`; raises `FaceModelError` where a last dimension does not fit."""
        self._check("expression", expression, NUM_EXPRESSION)
        shaped = self.template + torch.tensordot(expression, self.expression_basis, 1)
        if identity is not None:
            self._check("identity", identity, NUM_IDENTITY)
            shaped = shaped + torch.tensordot(identity, self.shape_basis, 1)
        still = expression.new_zeros(3)
        neck, jaw_turn = (still if turn is None else turn for turn in (head, jaw))
        for name, turn in (("head", neck), ("jaw", jaw_turn)):
            self._check(name, turn, 3)
        leading = torch.broadcast_shapes(shaped.shape[:-2], neck.shape[:-1], jaw_turn.shape[:-1])
        turns = expression.new_zeros(*leading, len(PARENTS), 3)
        turns[..., NECK, :], turns[..., JAW, :] = neck, jaw_turn
        vertices = self._skinned(shaped.expand(*leading, -1, -1), axis_angle_to_matrix(turns))
        return vertices if vertex_ids is None else vertices[..., vertex_ids, :]

    def _skinned(self, shaped: Tensor, rotations: Tensor) -> Tensor:
        """Linear blend skinning of `[..., V, 3]` by joint rotations `[..., 5, 3, 3]` relative to their parents."""
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        corrective = (rotations[..., 1:, :, :] - identity).flatten(-3)
        joints = self.joint_regressor @ shaped
        posed = shaped + torch.tensordot(corrective, self.pose_basis, 1)
        turned, moved = [rotations[..., ROOT, :, :]], [joints[..., ROOT, :]]
        for joint in range(1, len(PARENTS)):
            parent = PARENTS[joint]
            turned.append(turned[parent] @ rotations[..., joint, :, :])
            bone = joints[..., joint, :] - joints[..., parent, :]
            moved.append(moved[parent] + (turned[parent] @ bone.unsqueeze(-1)).squeeze(-1))
        # Of each joint: v -> R (v - joint at rest) + joint now.
        matrices = torch.stack(turned, -3)
        offsets = torch.stack(moved, -2) - (matrices @ joints.unsqueeze(-1)).squeeze(-1)
        blended = torch.einsum("vj,...jab->...vab", self.skin_weights, matrices)
        return (blended @ posed.unsqueeze(-1)).squeeze(-1) + self.skin_weights @ offsets

    def _check(self, field: str, values: Tensor, expected: int) -> None:
        if values.shape[-1] != expected:
            raise FaceModelError(f"{field} has shape {tuple(values.shape)}; the flame face takes [..., {expected}]")


def _path(given: str | os.PathLike[str] | None) -> Path:
    value = given or os.environ.get(PATH_VARIABLE)
    if not value:
        raise FaceModelError(f"the flame face needs a model file and none was named: {_SOURCE}")
    if not Path(value).is_file():
        raise FaceModelError(f"{value}: no such file; the flame face needs it: {_SOURCE}")
    return Path(value)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise FaceModelError(f"{path} cannot be read as a FLAME npz ({error}): {_SOURCE}") from error
    check_flame(data, str(path))
    return data


def check_flame(data: dict[str, np.ndarray], source: str) -> None:
    """Raises FaceModelError where arrays of FLAME's layout are missing, of another shape or not finite, or regions are missing or empty."""
    vertices, joints = len(data.get("v_template", ())), len(PARENTS)
    modes = data["shapedirs"].shape[-1] if "shapedirs" in data and data["shapedirs"].ndim == 3 else 0
    expected = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, max(modes, SHAPE_MODES + NUM_EXPRESSION)),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "f": (len(data.get("f", ())), 3),
    }
    for name, shape in expected.items():
        found = data[name].shape if name in data else None
        if found != shape:
            raise FaceModelError(f"{source}: {name} is {found or 'missing'}; FLAME has {list(shape)}. {_SOURCE}")
        if not np.isfinite(data[name]).all():
            raise FaceModelError(f"{source}: {name} holds values that are not finite; convert the model again")
    missing = [name for name in REGION_NAMES if not len(data.get(f"region_{name}", ()))]
    if missing:
        raise FaceModelError(f"{source}: regions {missing} are missing or empty; convert with --masks. {_SOURCE}")

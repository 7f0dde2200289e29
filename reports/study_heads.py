"""A pose run among the methods of a user study: the heads that score.py scores as its `model`, on the face of the recorded motion."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faces import load_face_model
from networks.code_sampling import NUCLEUS
from networks.pose_adapter import PoseAdapter
from networks.pose_baselines import HeadRegression
from networks.pose_methods import generated_heads
from networks.pose_style_files import PoseStyles, open_pose_styles
from reports.errors import ReportError
from reports.pose_methods import PoseSplit, chosen_styles, read_split, regressed_heads, vqvae_heads
from reports.scoring import Predicted
from reports.subjects import Subject, data_like
from runtime.assemble import load_module
from runtime.checkpoint_io import manifest_of
from runtime.run_folder import existing_run


class HeadSubject(Subject):
    """A method that moves the head and predicts no face."""


def pose_subject(folder: Path, split: str, face: Any = None) -> HeadSubject:
    """A pose run's best checkpoint on its own data, drawn on `face` or the face of its data's space. The style bank of a PoseGPT is built where there is
    none, as score.py does. Raises RunError where there is no checkpoint.
    """
    run = existing_run(folder)
    data = data_like(run)
    module, path = load_module(run, "best")
    manifest = json.loads(manifest_of(path).read_text())

    @cache
    def all_clips() -> tuple[PoseSplit, PoseStyles | None]:
        is_gpt = isinstance(module.net, PoseAdapter)
        styles = open_pose_styles(run.path / "pose_styles", module.net, lambda: data) if is_gpt else None
        # No units: the style is retrieved by how the head moves.
        return read_split(data, split), styles

    return HeadSubject(
        run.run_id,
        data,
        face or load_face_model("flame" if data.space == "flame" else "procedural"),
        {"model": heads_on_recorded_faces(module.net, all_clips)},
        gives_head=True,
        facts={"checkpoint": path.name, "checkpoint_sha256": manifest["sha256"], "checkpoint_step": manifest["step"]},
    )


def heads_on_recorded_faces(
    net: Any, all_clips: Callable[[], tuple[PoseSplit, PoseStyles | None]]
) -> Callable[[Any], Predicted]:
    """Predictions for a batch of one clip of the split that `all_clips` gives: its true face with the head of the network."""

    @torch.no_grad()
    def predicted(batch: Any) -> Predicted:
        split, styles = all_clips()
        number = next((i for i, clip in enumerate(split.clips) if clip.key == batch.keys[0]), None)
        if number is None:
            raise ReportError(
                f"the clip {batch.keys[0]} is not in this split of the pose run; give runs that hold out the same clips"
            )
        return Predicted(batch.expression, batch.jaw, _head(net, _alone(split, number), styles)[None])

    return predicted


def _head(net: Any, clip: PoseSplit, styles: PoseStyles | None) -> Tensor:
    """`[T, 3]` as `reports.pose_scoring` has them under `model`: it depends on neither the other clips nor the draws before."""
    if styles is not None:
        return generated_heads(net, clip.clips, chosen_styles(net, styles, clip, "retrieved"), NUCLEUS)[0]
    return (regressed_heads if isinstance(net, HeadRegression) else vqvae_heads)(net, clip)["model"][0]


def _alone(split: PoseSplit, number: int) -> PoseSplit:
    fields = ("clips", "metas", "units", "references", "own_reference")
    return replace(split, **{name: getattr(split, name)[number : number + 1] for name in fields})

"""A persona from a finished adaptation run, from a pose style, or from both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from callbacks.adaptation_scores import REFERENCE, SCORES
from faces.motion import FaceMotion
from networks.animation import manner_of
from networks.persona import PERSON, Persona, save_persona
from networks.weight_adapters import attach
from personas.pose_half import PoseHalf
from runtime.assemble import adaptable_network, expression_base, load_module
from runtime.instantiate import build
from runtime.run_folder import RunFolder, existing_run
from speech.audio import MOTION_FPS


def check_adapter(config: DictConfig) -> None:
    """Attach the change of an adaptation once on trial: what does not fit is told before a video is tracked. Raises ValueError."""
    net = adaptable_network(expression_base(config.base.run), str(config.base.checkpoint))
    if config.adapter.spec:
        attach(net, build(config.adapter.spec)(net), "trial")
        build(config.task.optimizer)([{"params": [torch.zeros(1, requires_grad=True)]}])


def write_persona(folder: Path, run: RunFolder, command: str, pose: PoseHalf | None = None) -> dict[str, Any]:
    """Write the persona of a finished adaptation `run`, with the pose half where there is one; returns its record."""
    module, _ = load_module(run, "best")
    config, facts = run.config, run.data
    base = existing_run(config.base.run)
    identity_space = base.data["identity_space"] if module.identity_fits else ""
    manner = manner_of(module.net, FaceMotion.load(run.path / REFERENCE), identity_space)
    assert manner.style is not None
    record = {
        "base": {"run": str(base.path.resolve()), "run_id": base.run_id, "checkpoint": str(config.base.checkpoint)},
        "reference": {
            name: facts[name] for name in ("person", "corpus", "synthetic", "reference_keys", "seconds", "frames")
        },
        "adapter": _method(config) | (module.trained() if module.is_adapted else {}),
        "run_id": run.run_id,
        "seed": config.run.seed,
        "command": command,
        **json.loads((run.path / SCORES).read_text()),
    }
    name, style = folder.resolve().name, None
    if pose is not None:
        record["pose"], style = pose.record, pose.style
    persona = Persona(name, manner.style, manner.identity, manner.identity_space, record, style)
    save_persona(folder, module.net, persona, PERSON if module.is_adapted else None, pose.net if pose else None)
    return record


def write_pose_persona(folder: Path, pose: PoseHalf, command: str) -> None:
    """Write a persona of pose alone."""
    reference, motion = pose.reference, pose.reference.motion
    meta = reference.pieces[0].clip.meta
    record = {
        "reference": {
            "person": reference.person,
            "corpus": meta.corpus,
            "synthetic": meta.synthetic,
            "reference_keys": [piece.clip.key for piece in reference.pieces],
            "seconds": reference.num_frames / MOTION_FPS,
        },
        "command": command,
        "pose": pose.record,
    }
    persona = Persona(folder.resolve().name, None, motion.identity, motion.identity_space, record, pose.style)
    save_persona(folder, None, persona, None, pose.net)


def _method(config: DictConfig) -> dict[str, Any]:
    """The change as the configuration names it; empty where nothing was trained."""
    values: Any = OmegaConf.to_container(config.adapter.spec)
    return {name: value for name, value in values.items() if not name.startswith("_")}

"""The pose half of a persona: the style of head motion that is chosen for a recording, and the heads that it generates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.adaptation import WholePieces
from datamodules.collate import collate
from datamodules.person_reference import PersonReference
from networks.code_sampling import SAMPLINGS
from networks.persona import PersonaError, load_pose_style, read_record
from networks.pose_adapter import PoseAdapter
from networks.pose_generation import generate_head
from networks.pose_style_choice import Method, choose_style
from networks.pose_style_files import open_pose_styles, require_pose_adapter, style_clips
from networks.style_bank import Metric
from runtime.assemble import load_module
from runtime.instantiate import build
from runtime.run_folder import existing_run
from speech.audio import MOTION_FPS, SAMPLES_PER_FRAME, SILENCE_DBFS, num_motion_frames


class PoseHalf(NamedTuple):
    """PoseGPT, the style `[style_width]` chosen for the person of `reference`, and what is recorded of it as plain JSON values."""

    net: PoseAdapter
    style: Tensor
    record: dict[str, Any]
    reference: PersonReference


def is_silent(reference: PersonReference) -> bool:
    return reference.level_dbfs < SILENCE_DBFS


def choose_pose_half(
    pose_run: Path,
    checkpoint: str,
    reference: PersonReference,
    method: Method = "retrieved",
    distance: Metric = "statistics",
    sampling: str = "nucleus",
    seed: int = 0,
) -> PoseHalf:
    """The style by `method` from the bank beside the run `pose_run`, which the first call builds; of a silent reference by its motion alone.

    Raises RunError and StyleBankError for runs and banks that do not fit.
    """
    run = existing_run(pose_run)
    net = require_pose_adapter(load_module(run, checkpoint)[0].net, str(run.path))
    silent = is_silent(reference)
    bank, units = open_pose_styles(run.path / "pose_styles", net, lambda: build(run.config.data))
    pieces = WholePieces(reference.pieces, reference.motion)
    batch = collate([pieces[i] for i in range(len(pieces))])
    clips = style_clips(batch, net.style_by, None if silent else units)
    known = None if any(clip.units is None for clip in clips) else units.fingerprint
    chosen = choose_style(method, net, bank, clips, known, seed, distance)
    record = {
        "run": str(run.path.resolve()),
        "run_id": run.run_id,
        "checkpoint": checkpoint,
        "vqvae": net.vqvae.fingerprint(),
        "units": units.fingerprint,
        "method": chosen.method,
        "distance": distance if chosen.nearest.from_speech else "statistics",
        "nearest": {"name": chosen.nearest.source, "distance": round(chosen.nearest.distance, 4)},
        "between_known": round(bank.typical_distance(), 4),
        "known_styles": len(bank),
        "silent": silent,
        "seconds": reference.num_frames / MOTION_FPS,
        "sampling": sampling,
    }
    return PoseHalf(net, chosen.embedding, record, reference)


def head_of_persona(
    folder: Path, audio: np.ndarray, sampling: str | None = None, seed: int = 0, pose_run: Path | None = None
) -> np.ndarray:
    """Head rotation `[T, 3]` (axis-angle, radians, 25 frames/s) by a persona's pose style, exactly as long as the speech `[N]` (16 kHz).

    `sampling` is by default the persona's; `pose_run` is where its PoseGPT lies, if not where it was. Raises PersonaError for a persona without
    a pose style, or of another PoseGPT.
    """
    record = read_record(folder)
    if "pose" not in record:
        raise PersonaError(f"{folder} has no pose style; adapt with --pose RUN, or give another --head")
    pose = record["pose"]
    run = existing_run(pose_run or pose["run"])
    net = require_pose_adapter(load_module(run, pose["checkpoint"])[0].net, str(run.path))
    style = load_pose_style(folder, net)
    frames = num_motion_frames(len(audio))
    sound = torch.from_numpy(audio[: frames * SAMPLES_PER_FRAME].copy())[None]
    drawn = SAMPLINGS[sampling or pose["sampling"]]
    return generate_head(net.gpt, net.vqvae, sound, torch.tensor([frames]), style[None], drawn, seed)[0].numpy()

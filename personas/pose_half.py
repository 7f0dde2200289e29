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
from networks.pose_style_choice import ChosenStyle, Method, choose_style
from networks.pose_style_files import PoseStyles, open_pose_styles, require_pose_adapter, style_clips
from networks.pose_style_units import missing_units
from networks.style_bank import Metric
from runtime.assemble import load_module
from runtime.instantiate import build
from runtime.run_folder import RunFolder, existing_run
from speech.audio import MOTION_FPS, SAMPLES_PER_FRAME, SILENCE_DBFS, num_motion_frames


class PoseHalf(NamedTuple):
    """PoseGPT, the style `[style_width]` chosen for the person of `reference`, and what is recorded of it as plain JSON values."""

    net: PoseAdapter
    style: Tensor
    record: dict[str, Any]
    reference: PersonReference


class TrainedPoseGPT(NamedTuple):
    """A PoseGPT with the `run` and the `checkpoint` that it was loaded from."""

    run: RunFolder
    checkpoint: str
    net: PoseAdapter


def is_silent(reference: PersonReference) -> bool:
    return reference.level_dbfs < SILENCE_DBFS


def load_pose_gpt(pose_run: Path, checkpoint: str) -> TrainedPoseGPT:
    """The network of a run. Raises RunError for no run, StyleBankError for one of another kind."""
    run = existing_run(pose_run)
    return TrainedPoseGPT(run, checkpoint, require_pose_adapter(load_module(run, checkpoint)[0].net, str(run.path)))


def choose_pose_half(
    trained: TrainedPoseGPT,
    reference: PersonReference,
    method: Method = "retrieved",
    distance: Metric = "statistics",
    sampling: str = "nucleus",
    seed: int = 0,
) -> PoseHalf:
    """The style by `method` from the bank beside the run, which the first call builds; of a silent reference by its motion alone.

    Raises StyleBankError for a bank that does not fit, and where the speech cannot be read that `distance` or `method` asks for.
    """
    run, net = trained.run, trained.net
    styles = open_pose_styles(run.path / "pose_styles", net, lambda: build(run.config.data))
    chosen = style_of_person(net, styles, reference, method, distance, seed)
    by_speech = chosen.nearest.from_speech
    record = {
        "run": str(run.path.resolve()),
        "run_id": run.run_id,
        "checkpoint": trained.checkpoint,
        "vqvae": net.vqvae.fingerprint(),
        "units": styles.units.fingerprint,
        "method": chosen.method,
        "distance": distance if by_speech else "statistics",
        "nearest": {"name": chosen.nearest.source, "distance": round(chosen.nearest.distance, 4)},
        # Of distances between style matrices nothing is known that they could be held against.
        "between_known": None if by_speech else round(styles.bank.typical_distance(), 4),
        "known_styles": len(styles.bank),
        "silent": is_silent(reference),
        "seconds": reference.num_frames / MOTION_FPS,
        "sampling": sampling,
    }
    return PoseHalf(net, chosen.embedding, record, reference)


def style_of_person(
    net: PoseAdapter, styles: PoseStyles, reference: PersonReference, method: Method, distance: Metric, seed: int = 0
) -> ChosenStyle:
    """The style chosen for a reference; its speech is read where `method` or `distance` need it and there is any."""
    pieces = WholePieces(reference.pieces, reference.motion)
    batch = collate([pieces[i] for i in range(len(pieces))])
    wanted = (distance != "statistics" or method == "predicted_from_s") and not is_silent(reference)
    clips = style_clips(batch, net.style_by, styles.units if wanted else None, net.front_end)
    if wanted and any(clip.units is None for clip in clips):
        raise missing_units(batch, styles.units, net.front_end)
    return choose_style(method, net, styles.bank, clips, styles.units.fingerprint if wanted else None, seed, distance)


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
    if pose["sampling"] not in SAMPLINGS:
        raise PersonaError(
            f"{folder} is damaged: pose.sampling is {pose['sampling']!r}, expected one of {', '.join(SAMPLINGS)}; adapt again"
        )
    net = load_pose_gpt(pose_run or pose["run"], pose["checkpoint"]).net
    style = load_pose_style(folder, net)
    frames = num_motion_frames(len(audio))
    sound = torch.from_numpy(audio[: frames * SAMPLES_PER_FRAME].copy())[None]
    drawn = SAMPLINGS[sampling or pose["sampling"]]
    return generate_head(net.gpt, net.vqvae, sound, torch.tensor([frames]), style[None], drawn, seed)[0].numpy()

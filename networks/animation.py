"""From speech and a style clip to a face motion, with a trained expression adapter."""

from __future__ import annotations

import numpy as np
import torch

from faces.motion import FaceMotion
from networks.expression_adapter import ExpressionAdapter
from speech.audio import SAMPLES_PER_FRAME, num_motion_frames


def animate_speech(
    net: ExpressionAdapter,
    audio: np.ndarray,
    style: FaceMotion | None = None,
    identity_space: str = "",
    guidance: float = 1.0,
) -> FaceMotion:
    """Motion of `num_motion_frames(len(audio))` frames for audio [N] (16 kHz), with a still head.

    `style` is a motion of the person in the network's space, at 25 frames/s; None speaks in the learned neutral style. Its identity is used
    where it is of `identity_space`, the space that the network was trained with. `guidance`: see `ExpressionAdapter.generate`.
    Raises ValueError for a style of another space or frame rate.
    """
    frames = num_motion_frames(len(audio))
    identity = np.zeros(net.identity_encoder.num_identity, np.float32)
    known, reference = False, None
    if style is not None:
        if style.space != net.space:
            raise ValueError(
                f"the style clip is in the {style.space} space, the network speaks {net.space}; give a clip of that space"
            )
        style = style.resample(25.0)
        known = bool(identity_space) and style.identity_space == identity_space and len(style.identity) == len(identity)
        identity = style.identity if known else identity
        reference = torch.from_numpy(np.concatenate([style.expression, style.jaw], axis=1))[None]
    expression, jaw = net.generate(
        torch.from_numpy(np.ascontiguousarray(audio[: frames * SAMPLES_PER_FRAME]))[None],
        torch.tensor([frames]),
        reference,
        identity=torch.from_numpy(identity)[None],
        identity_known=torch.tensor([known]),
        guidance=guidance,
    )
    return FaceMotion(
        expression=expression[0].numpy(),
        jaw=jaw[0].numpy(),
        head=np.zeros((frames, 3), np.float32),
        identity=identity,
        identity_space=identity_space if known else "",
        space=net.space,
    )


def head_there_and_back(style: FaceMotion, frames: int) -> np.ndarray:
    """The style clip's own head rotation [frames, 3], played forward and backward until the speech ends, without a jump."""
    loop = np.concatenate([style.head, style.head[-2:0:-1]]) if len(style) > 2 else style.head
    return np.resize(loop, (frames, 3))

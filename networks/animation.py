"""From speech and a style clip to a face motion, with a trained expression adapter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from faces.motion import FaceMotion
from networks.expression_adapter import ExpressionAdapter
from networks.style_encoder import Style
from speech.audio import SAMPLES_PER_FRAME, num_motion_frames


class Manner(NamedTuple):
    """How to speak: `style` `[1, ...]` (None: the neutral one), `identity` `[I]` of `identity_space` ("" where unknown), and a
    clip whose head motion can be played.
    """

    style: Style | None
    identity: np.ndarray
    identity_space: str = ""
    clip: FaceMotion | None = None


def manner_of(net: ExpressionAdapter, clip: FaceMotion | None, identity_space: str = "") -> Manner:
    """The manner of a style clip in the network's space; None is the neutral manner.

    The clip's identity is used where it is of `identity_space`, the space that the network was trained with. Raises ValueError for a clip
    of another space.
    """
    nobody = np.zeros(net.num_identity, np.float32)
    if clip is None:
        return Manner(None, nobody)
    if clip.space != net.space:
        raise ValueError(
            f"the style clip is in the {clip.space} space, the network speaks {net.space}; give a clip of that space"
        )
    clip = clip.resample(25.0)
    reference = torch.from_numpy(np.concatenate([clip.expression, clip.jaw], axis=1))[None]
    style = net.encode_style(reference)
    known = bool(identity_space) and clip.identity_space == identity_space and len(clip.identity) == len(nobody)
    return Manner(style, clip.identity if known else nobody, identity_space if known else "", clip)


def mix_manners(first: Manner, second: Manner, share: float) -> Manner:
    """`1 - share` of the first style and `share` of the second (0 to 1); identity and head motion are those of the nearer one.

    Raises ValueError for a share outside 0 to 1 or a neutral manner, which has no style of a clip.
    """
    if not 0 <= share <= 1 or first.style is None or second.style is None:
        raise ValueError(f"mixing takes two styles and a share from 0 (the first) to 1 (the second), got {share:g}")
    nearer = second if share > 0.5 else first
    mixed = (torch.lerp(a, b, share) for a, b in zip(first.style, second.style, strict=True))
    return nearer._replace(style=Style(*mixed))


def add_feeling(manner: Manner, felt: Manner, neutral: Manner) -> Manner:
    """`manner` with what the style `felt` has over `neutral`, two clips of one other person: the feeling is carried over, the person is not.

    Embedding and resting face are moved by their differences, and so is the spread, which stays at least 0. Identity and head motion are those of
    `manner`. Raises ValueError where one has no style of a clip.
    """
    if manner.style is None or felt.style is None or neutral.style is None:
        raise ValueError(
            "a feeling is added to a style: name a persona or a style clip, and two clips of one other person"
        )
    moved = Style(*(own + (a - b) for own, a, b in zip(manner.style, felt.style, neutral.style, strict=True)))
    return manner._replace(style=moved._replace(spread=moved.spread.clamp(min=0)))


def mix_motions(first: FaceMotion, second: FaceMotion, share: float) -> FaceMotion:
    """`1 - share` of the first face and `share` of the second (0 to 1), two people's answers to the same speech; the head is the nearer one's.

    The identity is mixed where both are of one space, else it is the nearer one's. Raises ValueError for other lengths or spaces, or a share outside 0 to 1.
    """
    if not 0 <= share <= 1 or len(first) != len(second) or first.space != second.space:
        raise ValueError(
            f"cannot mix {len(first)} frames ({first.space}) and {len(second)} ({second.space}) by {share:g}; expected the same length and space, and 0 to 1"
        )
    nearer = second if share > 0.5 else first
    mixed = {name: (1 - share) * getattr(first, name) + share * getattr(second, name) for name in ("expression", "jaw")}
    if first.identity_space == second.identity_space and len(first.identity) == len(second.identity):
        mixed["identity"] = (1 - share) * first.identity + share * second.identity
    return nearer.replace(**mixed)


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
    Raises ValueError for a style of another space.
    """
    return speak(net, audio, manner_of(net, style, identity_space), guidance)


def speak(net: ExpressionAdapter, audio: np.ndarray, manner: Manner, guidance: float = 1.0) -> FaceMotion:
    """Motion of `num_motion_frames(len(audio))` frames for audio [N] (16 kHz), with a still head. `guidance`: see `ExpressionAdapter.generate`."""
    frames = num_motion_frames(len(audio))
    expression, jaw = net.generate(
        torch.from_numpy(np.ascontiguousarray(audio[: frames * SAMPLES_PER_FRAME]))[None],
        torch.tensor([frames]),
        identity=torch.from_numpy(manner.identity)[None],
        identity_known=torch.tensor([bool(manner.identity_space)]),
        guidance=guidance,
        style=manner.style,
    )
    return FaceMotion(
        expression=expression[0].numpy(),
        jaw=jaw[0].numpy(),
        head=np.zeros((frames, 3), np.float32),
        identity=manner.identity,
        identity_space=manner.identity_space,
        space=net.space,
    )


def head_there_and_back(style: FaceMotion, frames: int) -> np.ndarray:
    """The style clip's own head rotation [frames, 3], played forward and backward until the speech ends, without a jump."""
    loop = np.concatenate([style.head, style.head[-2:0:-1]]) if len(style) > 2 else style.head
    return np.resize(loop, (frames, 3))

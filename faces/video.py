"""Motions to pictures: an mp4 with sound, one still, or a contact sheet of a clip."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from faces.appearance import BACKGROUND_RGB
from faces.face_model import FaceModel
from faces.motion import FaceMotion
from faces.neck_split import TORSO_SHARE, pose_face
from faces.rendering import make_renderer
from faces.video_encoding import VideoError, write_video

__all__ = ["VideoError", "caption_strip", "contact_sheet", "render_motion", "render_still", "write_video"]

_FRAMES_AT_A_TIME = 16
_TEXT_RGB = (40, 44, 52)

Progress = Callable[[int, int], None]


def render_motion(
    motions: FaceMotion | Sequence[tuple[str, FaceMotion]],
    face_model: FaceModel,
    out_path: str | os.PathLike[str],
    audio: np.ndarray | None = None,
    size: int = 512,
    identity: np.ndarray | None = None,
    backend: str = "pyvista",
    progress: Progress | None = None,
    torso_share: float = TORSO_SHARE,
) -> None:
    """Write an mp4 (see `write_video`) of one motion, or of several side by side, each under its caption.

    `audio` float32 [N], mono, 16 kHz. `size`: pixels of a panel's side, even. `identity` [I] shapes every panel; without it, each motion's own
    identity if it is of this face model's space, else the mean face. Shorter motions hold their last frame until the longest ends.
    Head rotation is drawn; translation is not, so that the head stays in the frame. `torso_share`: what a bust takes of it
    (`faces.neck_split`). `progress(done, total)` counts frames.
    Raises `VideoError` for motions without frames, of different rates or another space than the model's, and where writing fails.
    """
    panels = [("", motions)] if isinstance(motions, FaceMotion) else [(str(c), m) for c, m in motions]
    if not panels:
        raise VideoError("no motion was given; expected at least one")
    rates = sorted({motion.fps for _, motion in panels})
    if len(rates) > 1:
        raise VideoError(f"the motions have rates of {rates} frames/s; resample them to one (motion.resample)")
    if size % 2:
        raise VideoError(f"the size is {size} pixels; a video needs an even number")
    total = max(len(motion) for _, motion in panels)
    # Made here, so that bad input is reported before a file is opened.
    identities = [_identity(motion, face_model, identity) for _, motion in panels]
    strip = caption_strip([caption for caption, _ in panels], size) if any(c for c, _ in panels) else None

    with make_renderer(face_model, size, backend) as renderer:
        streams = [
            chain.from_iterable(
                renderer.render(vertices) for vertices in _vertex_chunks(motion, face_model, shape, total, torso_share)
            )
            for (_, motion), shape in zip(panels, identities, strict=True)
        ]

        def pictures() -> Iterator[np.ndarray]:
            for done, images in enumerate(zip(*streams, strict=True), start=1):
                row = np.hstack(images)
                yield row if strip is None else np.vstack([strip, row])
                if progress is not None:
                    progress(done, total)

        write_video(out_path, pictures(), rates[0], audio)


def render_still(
    motion: FaceMotion,
    frame: int,
    face_model: FaceModel,
    path: str | os.PathLike[str],
    size: int = 512,
    identity: np.ndarray | None = None,
    backend: str = "pyvista",
) -> None:
    """Write frame `frame` of `motion` as a PNG. Raises `VideoError` if there is no such frame."""
    if not 0 <= frame < len(motion):
        raise VideoError(f"frame {frame} does not exist; the motion has frames 0 to {len(motion) - 1}")
    _save_png(path, _pictures_of(motion, [frame], face_model, size, identity, backend)[0])


def contact_sheet(
    motion: FaceMotion,
    face_model: FaceModel,
    path: str | os.PathLike[str],
    frames: int = 8,
    size: int = 256,
    identity: np.ndarray | None = None,
    backend: str = "pyvista",
) -> None:
    """Write a PNG with `frames` moments spread evenly over `motion`, each under its time, at most four in a row."""
    if frames < 1:
        raise VideoError(f"a contact sheet of {frames} frames was asked for; expected at least 1")
    if not len(motion):
        raise VideoError("the motion has no frames")
    moments = np.linspace(0, len(motion) - 1, min(frames, len(motion))).round().astype(int).tolist()
    pictures = _pictures_of(motion, moments, face_model, size, identity, backend)
    columns = min(4, len(pictures))
    rows = []
    for start in range(0, len(pictures), columns):
        row = pictures[start : start + columns]
        captions = [f"{moment / motion.fps:.2f} s" for moment in moments[start : start + columns]]
        row += [np.broadcast_to(_background(), row[0].shape)] * (columns - len(row))
        captions += [""] * (columns - len(captions))
        rows += [caption_strip(captions, size), np.hstack(row)]
    _save_png(path, np.vstack(rows))


def caption_strip(captions: Sequence[str], width: int) -> np.ndarray:
    """uint8 [h, len(captions) * width, 3]: each caption centred over its panel, shortened where too long; h is even."""
    height = max(20, width // 12 // 2 * 2)
    strip = Image.new("RGB", (width * len(captions), height), tuple(_background().tolist()))
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(round(height * 0.6))
    for index, caption in enumerate(captions):
        text = caption
        while text and draw.textlength(text, font=font) > 0.95 * width:
            text = text.removesuffix("...")[:-1] + "..." if len(text) > 4 else ""
        draw.text(((index + 0.5) * width, height / 2), text, fill=_TEXT_RGB, font=font, anchor="mm")
    return np.asarray(strip)


def _identity(motion: FaceMotion, face_model: FaceModel, given: np.ndarray | None) -> torch.Tensor | None:
    """Shape coefficients [I] to draw `motion` with, None for the mean face; checks that the motion fits the model."""
    if not len(motion):
        raise VideoError("the motion has no frames")
    if motion.space != face_model.space or motion.expression.shape[1] != face_model.num_expression:
        raise VideoError(
            f"the motion is in the {motion.space!r} space with {motion.expression.shape[1]} coefficients; the "
            f"{face_model.name} face shows {face_model.space!r} with {face_model.num_expression}"
        )
    if given is not None:
        values = np.asarray(given, np.float32)
        if values.shape != (face_model.num_identity,):
            raise VideoError(
                f"identity has shape {values.shape}; the {face_model.name} face takes [{face_model.num_identity}]"
            )
    elif motion.identity_space == face_model.name and len(motion.identity) == face_model.num_identity:
        values = motion.identity
    else:
        return None
    return torch.from_numpy(values).to(face_model.triangles.device)


def _vertex_chunks(
    motion: FaceMotion, face_model: FaceModel, identity: torch.Tensor | None, total: int, torso_share: float
) -> Iterator[torch.Tensor]:
    """Vertices [n,V,3] of frames 0 to `total`, a few at a time; the last frame repeats after the motion's end."""
    for start in range(0, total, _FRAMES_AT_A_TIME):
        moments = np.minimum(np.arange(start, min(start + _FRAMES_AT_A_TIME, total)), len(motion) - 1)
        yield _vertices(motion, moments, face_model, identity, torso_share)


def _vertices(
    motion: FaceMotion,
    moments: np.ndarray,
    face_model: FaceModel,
    identity: torch.Tensor | None,
    torso_share: float = TORSO_SHARE,
) -> torch.Tensor:
    device = face_model.triangles.device
    expression, jaw, head = (
        torch.from_numpy(x[moments]).to(device) for x in (motion.expression, motion.jaw, motion.head)
    )
    with torch.no_grad():
        return pose_face(face_model, identity, expression, jaw, head, torso_share)


def _pictures_of(
    motion: FaceMotion,
    moments: list[int],
    face_model: FaceModel,
    size: int,
    identity: np.ndarray | None,
    backend: str,
) -> list[np.ndarray]:
    shape = _identity(motion, face_model, identity)
    with make_renderer(face_model, size, backend) as renderer:
        return list(renderer.render(_vertices(motion, np.array(moments), face_model, shape)))


def _background() -> np.ndarray:
    return np.round(np.array(BACKGROUND_RGB) * 255).astype(np.uint8)


def _save_png(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    path = Path(path)
    partial = path.with_name(path.name + ".tmp")
    try:
        Image.fromarray(picture).save(partial, format="PNG")
        partial.replace(path)
    except OSError as error:
        raise VideoError(f"cannot write {path}: {error}; nothing was kept") from error
    finally:
        partial.unlink(missing_ok=True)

"""Pictures of a pose validation: curves of the head, which codes are used, whose style a clip would be given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from callbacks.background_rendering import BackgroundRendering
from callbacks.generated_heads import heads_from_heard
from speech.audio import MOTION_FPS

SAVED = "pose.npz"
PICTURES = ("pose_curves", "code_histogram", "retrieval_confusion")


class PoseMedia(pl.Callback):
    """Every `every_steps` steps saves what the pictures need into `<folder>/step-<n>/pose/` and starts one niced process that draws them; finished
    pictures are logged to W&B as `media/<name>`.

    * `pose_curves`: pitch, yaw and roll of the first `num_clips` clips, truth and, where the prediction has a `head` `[B, T, 3]`, reconstruction, or,
      where it has what was `heard` and the `style` (PoseGPT), a head generated from these alone up to `max_seconds`, drawn from the likeliest nine tenths of the codes:
      the other ranks wait for it;
    * `code_histogram`: how often each code of the first codebook occurs, beside the likeliest codes where the prediction has them;
    * `retrieval_confusion`: rows are people, columns whose style reference lies nearest to a clip of theirs, by statistics of head motion.

    For modules whose network is, or has as `vqvae`, a pose VQ-VAE, and whose prediction has `codes`. Of several ranks, the first one's clips. `every_steps: 0`
    turns it off.
    """

    def __init__(self, folder: str, every_steps: int = 1000, num_clips: int = 2, max_seconds: float = 8.0) -> None:
        if max_seconds * MOTION_FPS < 1:
            raise ValueError(
                f"received {max_seconds:g} s of each clip to generate a head for; expected a frame or more"
            )
        self.folder, self.every_steps, self.num_clips = Path(folder).resolve(), every_steps, num_clips
        self.max_seconds = max_seconds
        self._rendering = BackgroundRendering(_log_pictures)
        self._wanted, self._last_step = False, 0
        self._clips: list[dict[str, Any]] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rendering.collect(trainer)
        due = self.every_steps > 0 and trainer.global_step - self._last_step >= self.every_steps
        self._wanted = due and trainer.is_global_zero and not trainer.sanity_checking
        self._clips = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not self._wanted:
            return
        clips = [_clip(batch, outputs.prediction, row) for row in range(len(batch.keys))]
        to_show = min(self.num_clips - len(self._clips), len(clips))
        if to_show > 0 and hasattr(outputs.prediction, "heard"):
            net: Any = pl_module.net
            prediction = outputs.prediction
            frames = batch.num_frames[:to_show].clamp(max=int(self.max_seconds * MOTION_FPS))
            heard = prediction.heard[:to_show, : int(net.vqvae.num_steps(frames).max())]
            heads = heads_from_heard(net, heard, prediction.style[:to_show], frames, batch.keys[:to_show])
            for clip, head, length in zip(clips, heads, frames.tolist(), strict=False):
                clip["predicted_head"] = _array(head[:length])
        self._clips += clips

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._wanted or not self._clips:
            return
        self._last_step = trainer.global_step
        folder = self.folder / f"step-{trainer.global_step:08d}" / "pose"
        folder.mkdir(parents=True, exist_ok=True)
        net: Any = pl_module.net
        vqvae = getattr(net, "vqvae", net)
        facts = {"num_codes": vqvae.quantizer.num_codes, "centre": vqvae.representation.centre.cpu().numpy()}
        save_clips(folder / SAVED, self._clips, **facts)
        self._clips = []
        self._rendering.start("callbacks.draw_pose_media", folder, trainer.global_step, "--clips", str(self.num_clips))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rendering.finish(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self._last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._last_step = state_dict["last_step"]


def _clip(batch: Any, prediction: Any, row: int) -> dict[str, Any]:
    mask = getattr(prediction, "code_mask", None)
    valid = prediction.mask[row] if mask is None else mask[row]
    codes = prediction.codes[row]
    clip = {
        "key": batch.keys[row],
        "speaker": batch.speakers[row],
        "reference_key": batch.metas[row]["reference_key"],
        "head": _array(batch.head[row, : int(batch.num_frames[row])]),
        "reference_head": _array(batch.reference_head[row, : int(batch.reference_num_frames[row])]),
        "codes": _array((codes if codes.ndim == 1 else codes[:, 0])[valid]),
    }
    if hasattr(prediction, "head"):
        clip["predicted_head"] = _array(prediction.head[row, : int(batch.num_frames[row])])
    if hasattr(prediction, "likeliest"):
        clip["likeliest"] = _array(prediction.likeliest[row][valid])
    return clip


def save_clips(path: Path, clips: list[dict[str, Any]], **facts: Any) -> None:
    """Clips as one npz: arrays are put end to end, `<name>_lengths` cuts them again. What only the first clips have is stored of these."""
    stored: dict[str, Any] = dict(facts)
    for name in clips[0]:
        values = [clip[name] for clip in clips if name in clip]
        if isinstance(values[0], str):
            stored[name] = np.array(values)
        else:
            stored[name], stored[f"{name}_lengths"] = np.concatenate(values), np.array([len(value) for value in values])
    partial = path.with_name(path.name + ".tmp")
    with partial.open("wb") as file:
        np.savez(file, **stored)
    partial.replace(path)


def _array(values: Tensor) -> np.ndarray:
    return values.detach().to("cpu", torch.float32 if values.is_floating_point() else None).numpy()


def _log_pictures(trainer: pl.Trainer, folder: Path, step: int) -> None:
    for logger in trainer.loggers:
        log_image = getattr(logger, "log_image", None)
        for name in PICTURES:
            picture = folder / f"{name}.png"
            if log_image is not None and picture.exists():
                log_image(f"media/{name}", picture, step, caption=f"step {step}")

"""Validation videos, prediction beside truth, rendered outside the training process so that no rank waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from callbacks.background_rendering import BackgroundRendering
from faces.motion import FaceMotion
from speech.audio import SAMPLES_PER_FRAME, write_wav

PREDICTION, TRUTH, SOUND, VIDEO = "prediction.npz", "truth.npz", "speech.wav", "prediction_beside_truth.mp4"


class Media(pl.Callback):
    """Saves the prediction and the truth of the first `num_clips` validation clips every `every_steps` steps into
    `<folder>/step-<n>/<key>/` and starts one niced process that renders them at `size` pixels; a finished video is logged to W&B.

    `every_steps: 0` turns it off. `face` are the arguments of `faces.load_face_model`: the renderer loads its own copy.
    """

    def __init__(
        self,
        folder: str,
        face: dict[str, str],
        every_steps: int = 1000,
        num_clips: int = 1,
        size: int = 256,
        max_seconds: float = 6.0,
    ) -> None:
        # Absolute: the rendering process has another working directory than the person who trains.
        self.folder, self.face = Path(folder).resolve(), face
        self.every_steps, self.num_clips, self.size, self.max_seconds = every_steps, num_clips, size, max_seconds
        self._wanted = False
        self._rendering = BackgroundRendering(_log_video)
        self._last_step = 0

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rendering.collect(trainer)
        due = self.every_steps > 0 and trainer.global_step - self._last_step >= self.every_steps
        self._wanted = due and trainer.is_global_zero and not trainer.sanity_checking
        self._saved: list[Path] = []

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
        module: Any = pl_module
        for row in range(min(len(batch), self.num_clips - len(self._saved))):
            folder = self.folder / f"step-{trainer.global_step:08d}" / batch.keys[row]
            self._saved.append(
                _save_pair(
                    folder, batch, outputs.prediction, row, module.net.space, self.face["name"], self.max_seconds
                )
            )

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._wanted or not self._saved:
            return
        self._last_step = trainer.global_step
        for folder in self._saved:
            path = self.face.get("path", "")
            face = ["--face", self.face["name"], "--face-path", str(Path(path).resolve()) if path else ""]
            self._rendering.start(
                "callbacks.render_media", folder, trainer.global_step, "--size", str(self.size), *face
            )

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rendering.finish(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self._last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._last_step = state_dict["last_step"]


def _save_pair(
    folder: Path, batch: Any, prediction: Any, row: int, space: str, face_name: str, max_seconds: float
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    frames = min(int(batch.num_frames[row]), int(max_seconds * 25))
    head = batch.head[row, :frames].cpu().numpy()
    known = bool(batch.identity_known[row])
    for name, (expression, jaw) in {
        PREDICTION: (prediction.expression, prediction.jaw),
        TRUTH: (batch.expression, batch.jaw),
    }.items():
        FaceMotion(
            expression=expression[row, :frames].float().cpu().numpy(),
            jaw=jaw[row, :frames].float().cpu().numpy(),
            head=head,
            identity=batch.identity[row].cpu().numpy(),
            identity_space=face_name if known else "",
            space=space,
        ).save(folder / name)
    write_wav(folder / SOUND, np.asarray(batch.audio[row, : frames * SAMPLES_PER_FRAME].cpu(), dtype=np.float32))
    return folder


def _log_video(trainer: pl.Trainer, folder: Path, step: int) -> None:
    video = folder / VIDEO
    for logger in trainer.loggers:
        log_video = getattr(logger, "log_video", None)
        if log_video is not None and video.exists():
            log_video("media/prediction_beside_truth", video, step, caption=f"{folder.name}, step {step}")

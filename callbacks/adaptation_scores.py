"""What an adaptation changed: the best checkpoint beside the base and the reference's mean face, on frames it was not trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from faces.face_model import FaceModel
from metrics.motion_pair import MotionPair
from metrics.registry import METRICS
from networks.controls import reference_mean_face
from runtime.checkpoint_io import BEST, load_checkpoint
from runtime.run_folder import write_atomically

SCORES, REFERENCE = "adaptation.json", "reference.npz"
SCORED = ("lip_vertex_error_mm", "upper_face_vertex_error_mm")
METHODS = ("without_style", "before", "after", "reference_mean_face")
# Where the scores come from, and under which prefix they are logged.
PARTS = {"held_out_tail": ("val", "tail"), "other_clips": ("test", "test")}


class AdaptationScores(pl.Callback):
    """After training: loads `best.ckpt` and writes `<run>/adaptation.json`: step of the best checkpoint, and for the held-out tail and the person's
    other clips (where there are any) `without_style` (the base with the null style: it knows nobody), `before` (the base with the reference's style),
    `after` and `reference_mean_face`, each the mean over clips of `SCORED` (mm on `face`, head still, mean identity) and, of the two that are
    trained or validated so, of the loss. Logs `tail/<metric>` and `test/<metric>`, and the base's as `..._before` and `..._without_style`.
    The motion that the style was taken from goes to `<run>/reference.npz`.
    """

    def __init__(self, run_folder: str, checkpoint_folder: str, face: FaceModel) -> None:
        self.folder, self.best, self.face = Path(run_folder), Path(checkpoint_folder) / BEST, face

    # Before the last checkpoint, which callbacks of that kind write after all others: a run whose last step is there has its scores.
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        last = {name: value.clone() for name, value in pl_module.state_dict().items()}
        checkpoint = load_checkpoint(self.best)
        pl_module.load_state_dict(checkpoint["state_dict"])
        try:
            self._write_scores(trainer, pl_module, int(checkpoint["global_step"]))
        finally:
            pl_module.load_state_dict(last)

    def _write_scores(self, trainer: pl.Trainer, pl_module: pl.LightningModule, best_step: int) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        scores = {}
        for part, (split, prefix) in PARTS.items():
            if split == "test" and not data.has_rest:
                continue
            scores[part] = self._score(pl_module, data.evaluation_dataloader(split))
            values = {f"{prefix}/{name}": value for name, value in scores[part]["after"].items()}
            for base in ("before", "without_style"):
                values |= {f"{prefix}/{name}_{base}": value for name, value in scores[part][base].items()}
            for logger in trainer.loggers:
                logger.log_metrics(values, trainer.global_step)
        if not trainer.is_global_zero:
            return
        record = {"best_step": best_step, "last_step": trainer.global_step, "scores": scores}
        data.style_motion.save(self.folder / REFERENCE)
        write_atomically(self.folder / SCORES, json.dumps(record, indent=1))

    @torch.no_grad()
    def _score(self, module: Any, batches: Any) -> dict[str, Any]:
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
        frames = 0
        for loaded in batches:
            batch = loaded.to(module.device)
            frames += int(batch.num_frames.sum())
            with module.unadapted():
                before = module.evaluate(batch)
                rows["without_style"] += self._values(batch, *module.predict(batch, guidance=0.0))
            after = module.evaluate(batch)
            weight = float(module.loss.weight(batch.mask)) / len(batch)
            for name, step in {"before": before, "after": after}.items():
                values = self._values(batch, step.prediction.expression, step.prediction.jaw)
                rows[name] += [row | {"loss": float(step.loss) * weight} for row in values]
            rows["reference_mean_face"] += self._values(batch, *reference_mean_face(batch))
        means = {
            name: {key: sum(row[key] for row in found) / len(found) for key in found[0]} for name, found in rows.items()
        }
        return {"clips": len(rows["after"]), "frames": frames, **means}

    def _values(self, batch: Any, expression: Tensor, jaw: Tensor) -> list[dict[str, float]]:
        self.face.to(expression.device)
        pair = MotionPair(self.face, expression, jaw, batch.expression, batch.jaw, batch.mask, keys=batch.keys)
        columns = {name: METRICS[name].clip_values(pair).tolist() for name in SCORED}
        return [{name: column[row] for name, column in columns.items()} for row in range(len(batch))]

"""Validation lip vertex error, and beside it the error of the training corpus' mean face: a model above that line learned nothing."""

from __future__ import annotations

from typing import Any

import torch

from callbacks.validation_metric import ValidationMetric, meaning_of
from faces.face_model import FaceModel
from metrics.lip_vertex_error import LipVertexError, lip_vertices


class LipVertexErrorCallback(ValidationMetric):
    """Logs `val/lip_vertex_error_mm` and `val/lip_vertex_error_mean_face_mm` on the lips of `face` (millimetres, head still,
    mean identity, every valid frame weighs the same)."""

    def __init__(self, face: FaceModel) -> None:
        super().__init__({"lip_vertex_error_mm": LipVertexError(), "lip_vertex_error_mean_face_mm": LipVertexError()})
        self.face = face

    def meaning(self, name: str) -> dict[str, str]:
        of = "training corpus' mean face" if "mean_face" in name else "prediction"
        return meaning_of("lip_vertex_error_mm", of, face=self.face.name)

    def update(self, batch: Any, prediction: Any, module: Any) -> None:
        self.face.to(batch.expression.device)
        truth = lip_vertices(self.face, batch.expression, batch.jaw)
        predicted = lip_vertices(self.face, prediction.expression, prediction.jaw)
        expression, jaw = module.net.denormalise(torch.zeros_like(module.net.mean))
        mean_face = lip_vertices(self.face, expression.expand_as(batch.expression), jaw.expand_as(batch.jaw))
        self.metrics["lip_vertex_error_mm"].update(predicted, truth, batch.mask, keys=batch.keys)
        self.metrics["lip_vertex_error_mean_face_mm"].update(mean_face, truth, batch.mask, keys=batch.keys)

"""Any metric of the registry on every validation, beside what the model must beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from callbacks.validation_metric import ValidationMetric, meaning_of
from faces.face_model import FaceModel
from metrics.checks import MetricError
from metrics.frechet_distance import FrechetMotionDistance
from metrics.motion_pair import MotionPair
from metrics.registry import MetricInfo, find_face_metric
from networks.controls import predict, reference_mean_face, time_shuffled
from networks.speech_front_end import speech_of

Coefficients = tuple[Tensor, Tensor]


def _shuffled_speech(batch: Any, module: Any) -> Coefficients:
    speech = time_shuffled(speech_of(module.net.front_end, batch), batch.num_frames, batch.keys)
    return predict(module.net, batch, speech)


CONTROLS: dict[str, Callable[[Any, Any], Coefficients]] = {
    "shuffled_speech": _shuffled_speech,
    "reference_mean_face": lambda batch, module: reference_mean_face(batch),
    "truth": lambda batch, module: (batch.expression, batch.jaw),
}
# What a validation batch has, or what can be made of it; metrics of heads and codes have callbacks of their own.
READABLE = frozenset(
    (
        *(
            "lips",
            "true_lips",
            "upper_face",
            "true_upper_face",
            "vertices",
            "true_vertices",
            "mask",
            "opening",
            "true_opening",
        ),
        *(
            "upper_face_displacement",
            "true_upper_face_displacement",
            "pair_distances",
            "true_pair_distances",
            "bilabial",
        ),
        *("normalised", "true_normalised", "reference_normalised", "reference_mask"),
    )
)

NEEDS_EMBEDDER = frozenset({"style_embedding_distance"})


class FaceMetrics(ValidationMetric):
    """Logs `val/<metric>` for each of `metrics` (names of metrics/README.md) and `val/<metric>_<control>` for each of `controls`: `shuffled_speech`
    (the same network, blocks of 0.2 s in another order; a forward pass more), `reference_mean_face` (all that the model is told of the person) and
    `truth` (against itself). On `face`, head still, mean identity. Coefficients are z-scored by the network. Raises MetricError for a metric that an
    expression network cannot have or that needs a trained embedder, or an unknown control.
    """

    def __init__(self, face: FaceModel, metrics: Sequence[str], controls: Sequence[str] = ()) -> None:
        self.face = face
        self.infos = [find_face_metric(name) for name in metrics]
        for info in self.infos:
            if not set(info.inputs) <= READABLE:
                missing = ", ".join(sorted(set(info.inputs) - READABLE))
                raise MetricError(
                    f"{info.name} cannot be logged here: it reads {missing}, which an expression network does not predict"
                )
            if info.name in NEEDS_EMBEDDER:
                raise MetricError(
                    f"{info.name} cannot be logged here: it needs a trained embedder, which a run does not have; leave it out"
                )
        unknown = sorted(set(controls) - set(CONTROLS))
        if unknown:
            raise MetricError(f"unknown control {unknown[0]!r}; expected some of {', '.join(CONTROLS)}")
        self.controls = list(controls)
        super().__init__(
            {
                _logged(info.name, who): info.make(**self._options(info))
                for info in self.infos
                for who in ("", *self.controls)
            }
        )

    def meaning(self, name: str) -> dict[str, str]:
        who = {_logged(info.name, who): (info.name, who) for info in self.infos for who in ("", *self.controls)}
        metric, of = who[name]
        return meaning_of(metric, of.replace("_", " ") or "prediction", face=self.face.name)

    def _options(self, info: MetricInfo) -> dict[str, Any]:
        """What the accumulator must be told: a Frechet distance the number of its curves, expression and jaw of the face's space."""
        return {"channels": self.face.num_expression + 3} if info.twin is FrechetMotionDistance else {}

    def update(self, batch: Any, prediction: Any, module: Any) -> None:
        self.face.to(batch.expression.device)
        ours = self._pair(batch, module, (prediction.expression, prediction.jaw))
        pairs = {"": ours}
        for who in self.controls:
            pairs[who] = self._pair(batch, module, CONTROLS[who](batch, module))
        for who, pair in pairs.items():
            for info in self.infos:
                info.update(self.metrics[_logged(info.name, who)], pair)  # type: ignore[arg-type]
            if pair is ours:
                for other in pairs.values():
                    other.take_truth_from(ours)

    def _pair(self, batch: Any, module: Any, coefficients: Coefficients) -> MotionPair:
        return MotionPair(
            self.face,
            *coefficients,
            batch.expression,
            batch.jaw,
            batch.mask,
            keys=batch.keys,
            normalise=module.net.normalise,
            reference_expression=batch.reference_expression,
            reference_jaw=batch.reference_jaw,
            reference_mask=batch.reference_mask,
            phonemes=[meta.get("extra", {}).get("phonemes", []) for meta in batch.metas],
        )


def _logged(metric: str, control: str) -> str:
    return f"{metric}_{control}" if control else metric

"""Known perturbations of a made-up truth must move exactly the metrics that they should: `python -m metrics.sanity` prints the matrix.

The truth is drawn, not recorded: jaw and lips open between bilabials, the head turns at syllable onsets, every clip starts and ends at rest, so
that a delay loses no frame. Computed in float64, so that what should not move is still to 1e-12.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from faces import load_face_model
from faces.arkit import ARKIT_INDEX, NUM_ARKIT
from faces.face_model import FaceModel
from metrics.motion_pair import MotionPair
from metrics.motion_statistics import MotionStatistics
from metrics.registry import METRICS, MetricInfo

NUM_CLIPS, FRAMES, REST = 3, 110, 10
DELAY = 3
_OPTIONS: dict[str, dict[str, Any]] = {
    "style_embedding_distance": {"embedder": MotionStatistics()},
    "frechet_expression": {"channels": NUM_ARKIT},
    "frechet_pose": {"channels": 3},
}
_NOT_OF_A_PAIR = {"codes", "head_samples", "vertex_samples", "lip_samples", "work_s"}


@dataclass(frozen=True)
class MadeUpTruth:
    """Expression `[B, T, 52]`, head `[B, T, 3]`, speech energy `[B, T]`, bilabial frames `[B, T]` bool."""

    expression: Tensor
    head: Tensor
    energy: Tensor
    bilabial: Tensor

    def normalise(self, expression: Tensor, jaw: Tensor) -> Tensor:
        """Z-scores by the truth's own statistics; coefficients that never move stay 0."""
        mean, deviation = self.expression.mean((0, 1)), self.expression.std((0, 1))
        return (expression - mean) / torch.where(deviation > 0, deviation, 1.0)


def made_up_truth(num_clips: int = NUM_CLIPS, frames: int = FRAMES, seed: int = 0) -> MadeUpTruth:
    generator = torch.Generator().manual_seed(seed)
    clips = [_made_up_clip(frames, generator) for _ in range(num_clips)]
    return MadeUpTruth(*(torch.stack(parts) for parts in zip(*clips, strict=True)))


def _made_up_clip(frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    gaps = 5 + (4 * draw(frames)).long()
    onsets = gaps.cumsum(0) + REST
    onsets = onsets[onsets < frames - REST - 8]
    time = torch.arange(frames, dtype=torch.float64)
    since = time[None] - onsets[:, None]
    # A syllable opens the mouth for some 160 ms after its onset; about every third starts with a bilabial, and only there the lips meet.
    openings = (0.2 + 0.5 * draw(len(onsets)))[:, None] * torch.exp(-((since - 3) / 1.3).square())
    is_bilabial = draw(len(onsets)) < 0.35
    closing = (torch.exp(-(since / 1.2).square()) * is_bilabial[:, None]).amax(0)
    jaw_open = (0.25 + openings.sum(0)) * (1 - closing)
    bilabial = ((since >= -1) & (since < 1) & is_bilabial[:, None]).any(0)
    energy = 0.01 + (torch.exp(-since / 2) * (since >= 0)).amax(0) * 0.3
    fade = ((time - REST) / 4).clamp(0, 1) * ((frames - 1 - REST - time) / 4).clamp(0, 1)
    expression = torch.zeros(frames, NUM_ARKIT, dtype=torch.float64)
    for name in (
        "mouthSmileLeft",
        "mouthSmileRight",
        "browInnerUp",
        "browDownLeft",
        "browDownRight",
        "eyeBlinkLeft",
        "eyeBlinkRight",
    ):
        expression[:, ARKIT_INDEX[name]] = 0.4 * _wave(time, draw(3, 2)) * fade
    expression[:, ARKIT_INDEX["jawOpen"]] = jaw_open * fade
    # Half a cosine between onsets: the nod stands still at each of them.
    nods = torch.cat([torch.tensor([float(REST)]), onsets.double(), torch.tensor([float(frames - REST)])])
    segment = torch.bucketize(time, nods, right=True).clamp(1, len(nods) - 1)
    phase = ((time - nods[segment - 1]) / (nods[segment] - nods[segment - 1])).clamp(0, 1) + segment - 1
    head = torch.stack(
        [0.04 * torch.cos(torch.pi * phase), 0.2 * _wave(time, draw(3, 2)), 0.1 * _wave(time, draw(3, 2))], -1
    )
    return expression, head * torch.tensor([1.0, 0.2, 0.2]) * fade[:, None], energy, bilabial


def _wave(time: Tensor, drawn: Tensor) -> Tensor:
    """A slow curve between 0 and 1 from three drawn speeds and phases."""
    angles = 2 * torch.pi * ((0.3 + drawn[:, :1]) * time / 25 + drawn[:, 1:])
    return 0.5 + angles.sin().mean(0) / 2


def _pair(face: FaceModel, truth: MadeUpTruth, expression: Tensor, head: Tensor) -> MotionPair:
    jaw = torch.zeros_like(truth.head)
    mask = torch.ones(truth.head.shape[:2], dtype=torch.bool)
    pair = MotionPair(
        face, expression, jaw, truth.expression, jaw, mask,
        head=head, true_head=truth.head, keys=[f"clip-{i}" for i in range(len(mask))], normalise=truth.normalise,
        reference_expression=truth.expression, reference_jaw=jaw, reference_mask=mask,
    )  # fmt: skip
    pair.bilabial, pair.energy = truth.bilabial, truth.energy
    return pair


def _lip_offset(face: FaceModel, truth: MadeUpTruth) -> MotionPair:
    pair = _pair(face, truth, truth.expression, truth.head)
    millimetre = torch.tensor([0.001, 0.0, 0.0], dtype=torch.float64)
    pair.lips = pair.true_lips + millimetre
    pair.vertices = pair.true_vertices.clone()
    pair.vertices[:, :, face.regions["lips"]] += millimetre
    return pair


def _delay(face: FaceModel, truth: MadeUpTruth) -> MotionPair:
    late = (torch.arange(truth.head.shape[1]) - DELAY).clamp(min=0)
    return _pair(face, truth, truth.expression[:, late], truth.head[:, late])


def _jitter(face: FaceModel, truth: MadeUpTruth) -> MotionPair:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(truth.expression.shape, generator=generator, dtype=torch.float64) * (
        truth.expression.std((0, 1)) > 0
    )
    shake = torch.randn(truth.head.shape, generator=generator, dtype=torch.float64)
    return _pair(face, truth, truth.expression + 0.02 * noise, truth.head + 0.005 * shake)


PERTURBATIONS: dict[str, Callable[[FaceModel, MadeUpTruth], MotionPair]] = {
    "truth": lambda face, truth: _pair(face, truth, truth.expression, truth.head),
    "lips 1 mm aside": _lip_offset,
    "3 frames late": _delay,
    "frozen head": lambda face, truth: _pair(
        face, truth, truth.expression, truth.head.mean(1, True).expand_as(truth.head)
    ),
    "doubled expression": lambda face, truth: _pair(face, truth, 2 * truth.expression, truth.head),
    "swapped clips": lambda face, truth: _pair(face, truth, truth.expression.roll(1, 0), truth.head.roll(1, 0)),
    "jitter": _jitter,
}


def rows() -> list[MetricInfo]:
    """The metrics that a prediction beside its truth has."""
    return [info for info in METRICS.values() if not _NOT_OF_A_PAIR & set(info.inputs)]


def sanity_matrix() -> dict[str, dict[str, float]]:
    """Value of each metric (rows) under each perturbation (columns)."""
    face, truth = load_face_model("procedural").double(), made_up_truth()
    matrix: dict[str, dict[str, float]] = {info.name: {} for info in rows()}
    same: dict[str, Tensor] = {}
    for column, perturb in PERTURBATIONS.items():
        pair = perturb(face, truth)
        for name in ("true_lips", "true_upper_face", "true_vertices"):
            setattr(pair, name, same.setdefault(name, pair.read(name)))
        for info in rows():
            metric = info.make(**_OPTIONS.get(info.name, {}))
            info.update(metric, pair)
            matrix[info.name][column] = float(metric.compute())
    return matrix


def has_moved(row: dict[str, float], column: str) -> bool:
    """Whether a perturbation changed a metric (or left it without a value) by more than a millionth of its largest value in the row."""
    return not abs(row[column] - row["truth"]) <= 1e-6 * _scale(row)


def _scale(row: dict[str, float]) -> float:
    return max(abs(value) for value in row.values() if math.isfinite(value))


def as_markdown(matrix: dict[str, dict[str, float]]) -> str:
    """A table; values that moved are bold."""
    lines = [f"| | {' | '.join(PERTURBATIONS)} |", f"| --- |{' ---: |' * len(PERTURBATIONS)}"]
    for name, row in matrix.items():
        zero = max(1e-9, 1e-6 * _scale(row))
        texts = {column: "0" if abs(value) < zero else f"{value:.3g}" for column, value in row.items()}
        cells = [f"**{text}**" if has_moved(row, column) else text for column, text in texts.items()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_markdown(sanity_matrix()))

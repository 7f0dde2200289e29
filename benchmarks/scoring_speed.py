"""How long it takes to score an hour of motion on the procedural head by the default metrics: `reports.scoring.score_clips` over made-up clips of ten seconds."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import torch

from faces import load_face_model
from reports.metric_choice import FACE_METRICS, choose_metrics
from reports.scoring import Predicted, score_clips

FRAMES, REFERENCE_FRAMES, CLIPS = 250, 100, 24
HOUR = 90_000
WORKERS = 2


def make_clip(number: int) -> Any:
    """Coefficients and heads that wander, bilabials every two seconds."""
    generator = torch.Generator().manual_seed(number)

    def wandering(frames: int, width: int, step: float) -> torch.Tensor:
        return (step * torch.randn(1, frames, width, generator=generator)).cumsum(1)

    return SimpleNamespace(
        keys=[f"clip{number:03d}"],
        speakers=[f"speaker{number % 4}"],
        metas=[{"reference_key": "other", "extra": {"phonemes": [["p", t + 0.5, t + 0.6] for t in range(0, 10, 2)]}}],
        num_frames=torch.tensor([FRAMES]),
        expression=wandering(FRAMES, 52, 0.02).sigmoid(),
        jaw=torch.zeros(1, FRAMES, 3),
        head=wandering(FRAMES, 3, 0.01),
        mask=torch.ones(1, FRAMES, dtype=torch.bool),
        audio=0.1 * torch.randn(1, 640 * FRAMES, generator=generator),
        reference_expression=wandering(REFERENCE_FRAMES, 52, 0.02).sigmoid(),
        reference_jaw=torch.zeros(1, REFERENCE_FRAMES, 3),
        reference_mask=torch.ones(1, REFERENCE_FRAMES, dtype=torch.bool),
    )


def seconds_per_hour(methods: int, workers: int, clips: int = CLIPS) -> tuple[float, float]:
    """Wall and processor seconds that `methods` methods and the truth take for an hour of motion, from `clips` clips of ten seconds."""
    face = load_face_model("procedural")
    made = [make_clip(number) for number in range(clips)]
    late = {f"late{n}": lambda clip, n=n: Predicted(clip.expression.roll(n + 1, 1), clip.jaw) for n in range(methods)}

    def run(batches: list[Any]) -> None:
        score_clips(batches, late, face, choose_metrics(None, False), lambda e, j: torch.cat([e, j], -1) - 0.5, workers)

    run(made[:1])  # pays for what is done once a process
    start = time.perf_counter(), time.process_time()
    run(made)
    share = HOUR / (clips * FRAMES)
    return (time.perf_counter() - start[0]) * share, (time.process_time() - start[1]) * share


def rows() -> list[dict]:
    found = []
    for methods, what in ((1, "one method"), (5, "a model and its four controls")):
        wall, processor = seconds_per_hour(methods, WORKERS)
        name = f"scoring an hour, {what} and the truth, {len(FACE_METRICS)} metrics, {WORKERS} threads"
        found += [
            {"name": name, "value": wall, "unit": "s"},
            {"name": "  processor time", "value": processor, "unit": "s"},
        ]
    return found


if __name__ == "__main__":
    from benchmarks.table import print_rows

    print_rows(rows())

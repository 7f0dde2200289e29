"""How long it takes to score an hour of motion on the procedural head: faces made once, then each metric over ten-second clips."""

from __future__ import annotations

import time

import torch

from faces import load_face_model
from metrics.motion_pair import MotionPair
from metrics.registry import METRICS

_FRAMES, _CLIPS_AT_ONCE, _MEASURED_BATCHES = 250, 1, 60
_HOUR = 90_000
VERTEX_METRICS = (
    *("lip_vertex_error_mm", "lve_squared_m2", "mean_vertex_error_mm", "upper_face_vertex_error_mm"),
    *("fdd_signed_m2", "fdd_absolute_m2", "mouth_opening_deviation_mm", "lip_dtw_mm", "lip_speed_error_mm_per_s"),
)


def seconds_per_hour(batches: int = _MEASURED_BATCHES) -> tuple[float, float]:
    """Wall and processor seconds that the vertex metrics take for an hour of motion, from `batches` batches of made-up motion."""
    face, generator = load_face_model("procedural"), torch.Generator().manual_seed(0)
    metrics = {name: METRICS[name].make() for name in VERTEX_METRICS}
    shape = (_CLIPS_AT_ONCE, _FRAMES, 52)
    jaw, mask = torch.zeros(*shape[:2], 3), torch.ones(shape[:2], dtype=torch.bool)
    wall = processor = 0.0
    for batch in range(batches + 1):
        expression, truth = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
        start = time.perf_counter(), time.process_time()
        pair = MotionPair(face, expression, jaw, truth, jaw, mask)
        for name, metric in metrics.items():
            METRICS[name].update(metric, pair)
        # The first batch pays for what is done once a process.
        if batch:
            wall += time.perf_counter() - start[0]
            processor += time.process_time() - start[1]
    share = _HOUR / (batches * _CLIPS_AT_ONCE * _FRAMES)
    return wall * share, processor * share


def rows() -> list[dict]:
    name = f"scoring an hour of motion by {len(VERTEX_METRICS)} vertex metrics, procedural head"
    wall, processor = seconds_per_hour()
    return [
        {"name": name, "value": wall, "unit": "s"},
        {"name": "the same, processor time of all threads", "value": processor, "unit": "s"},
    ]


if __name__ == "__main__":
    from benchmarks.table import print_rows

    print_rows(rows())

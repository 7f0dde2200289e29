"""Frames a second of rendering each head and of tracking a recording.

    python -m benchmarks.video_speed

The ICT head and the recording are taken from ../shared where it is there, else left out and said so.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from faces import load_face_model
from faces.motion import FaceMotion
from faces.video import render_motion

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FRAMES, SIZE = 100, 512


def rows() -> list[dict]:
    """Measurements as `{"name", "value", "unit"}`; a missing file gives the value None and the reason as unit."""
    return [*_rendering(), *_tracking()]


def _rendering() -> list[dict]:
    rng = np.random.default_rng(0)
    expression = np.repeat(rng.random((FRAMES // 5, 52)) * 0.4, 5, axis=0)
    motion = FaceMotion(expression=expression, head=rng.normal(0, 0.03, (FRAMES, 3)))
    found = []
    for name, path in (("procedural", None), ("ict", SHARED / "models" / "ict_facekit.npz")):
        label = f"rendering {name} head to mp4, {SIZE} px"
        if path is not None and not path.exists():
            found.append({"name": label, "value": None, "unit": "../shared is absent"})
            continue
        face = load_face_model(name, str(path) if path else None)
        with tempfile.TemporaryDirectory() as folder:
            render_motion(motion[:5], face, Path(folder) / "warm.mp4", size=SIZE)
            begin = time.perf_counter()
            render_motion(motion, face, Path(folder) / "timed.mp4", size=SIZE)
            found.append({"name": label, "value": FRAMES / (time.perf_counter() - begin), "unit": "frames/s"})
    return found


def _tracking() -> list[dict]:
    video, model = SHARED / "videos" / "bob_menendez_1.mp4", SHARED / "models" / "face_landmarker.task"
    label = "tracking one face, one process"
    if not video.exists():
        return [{"name": label, "value": None, "unit": "../shared is absent"}]
    from corpora.tracker import track_video

    begin = time.perf_counter()
    track = track_video(video, model)
    return [{"name": label, "value": len(track) / (time.perf_counter() - begin), "unit": "frames/s"}]


if __name__ == "__main__":
    from benchmarks.table import print_rows

    print_rows(rows())

"""Run folders as train.py and score.py leave them, with drawn numbers: a method has an `error`, its clips scatter around it."""

from __future__ import annotations

import copy
import functools
import json
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics.registry import METRICS
from reports.score_files import FORMAT, write_scores
from reports.score_summary import AVERAGING, headline, summarise
from reports.scoring import Scored

NAMES = ("lip_vertex_error_mm", "lip_closure_f1", "expression_richness_ratio", "fdd_signed_m2", "pose_range_deg")


def make_run(
    folder: Path,
    error: float,
    *,
    seed: int = 1,
    width: int = 64,
    name: str = "expression_pretraining",
    steps: int = 30,
    **changes: Any,
) -> Path:
    """`changes` go to the scores: `face`, `face_sha256`, `synthetic`, `split`, `speakers`, `clips_each`, `corpus`, `statistics`, `bad`."""
    folder.mkdir(parents=True)
    config = {
        "run": {"name": name, "seed": seed, "label": ""},
        "net": {"width": width},
        "data": {"root": "x", "seed": seed},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    (folder / "data.json").write_text(json.dumps({"run_hash": f"{zlib.crc32(folder.name.encode()):08x}", "facts": {}}))
    start = {
        "command": ["train.py", name, f"net.width={width}"],
        "commit": "0123456789abcdef",
        "uncommitted_changes": True,
    }
    (folder / "environment.json").write_text(json.dumps([start | {"ranks": 2, "packages": {"torch": "2.13.0"}}]))
    rows = [{"step": s, "time": 1.0 * s, "train/loss": error + 1 / (s + 1)} for s in range(steps)]
    rows += [{"step": s, "time": 1.0 * s, "val/lip_vertex_error_mm": error + 2 / (s + 1)} for s in range(0, steps, 5)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_scores(make_scores(folder.name, error, **changes), folder / f"scores-{changes.get('split', 'test')}.json")
    return folder


def make_motions(folder: Path, error: float, **changes: Any) -> Path:
    """A scored folder of motion files, of which nobody knows how they were made; `changes` as for `make_run`."""
    folder.mkdir(parents=True)
    write_scores(make_scores(folder.name, error, **changes), folder / "scores-test.json")
    return folder


def add_metric(
    folder: Path, name: str, best: str, per_clip: bool = True, methods: Sequence[str] = ("model",), value: float = 0.5
) -> None:
    """Score the made-up run or motions in one more metric, of every clip `value` and a little noise for all of `methods`."""
    file = folder / "scores-test.json"
    scores = json.loads(file.read_text())
    facts = {"unit": "nats", "vertices": "-", "average": "clips", "best": best, "source": "own", "per_clip": per_clip}
    scores["metrics"][name] = facts
    for method in methods:
        scores["scores"].setdefault(method, {})[name] = {"value": value}
        for number, row in enumerate(scores["clips"] if per_clip else ()):
            row["scores"].setdefault(method, {})[name] = value + number / 1000
    file.write_text(json.dumps(scores))


def make_scores(run: str, error: float, **changes: Any) -> dict[str, Any]:
    return copy.deepcopy(_drawn_scores(run, error, **changes))


@functools.cache
def _drawn_scores(run: str, error: float, **changes: Any) -> dict[str, Any]:
    speakers, each = changes.get("speakers", 8), changes.get("clips_each", 3)
    bad = changes.get("bad", "")
    clips = []
    for number in range(speakers * each):
        clip = np.random.default_rng(number)
        hardness, rng = clip.normal(0, 1), np.random.default_rng([number, zlib.crc32(run.encode())])
        values = {
            "lip_vertex_error_mm": error + hardness + rng.normal(0, 0.1),
            "lip_closure_f1": 1 / (1 + error),
            "expression_richness_ratio": 1 + error / 10,
            "fdd_signed_m2": -error * 1e-6,
            "pose_range_deg": 2 + error,
        }
        key = f"{changes.get('corpus', 'made-up')}_{number:03d}"
        if key == bad:
            values["lip_vertex_error_mm"] = math.nan
        truth = {
            "lip_vertex_error_mm": 0.0,
            "lip_closure_f1": 1.0,
            "expression_richness_ratio": 1.0,
            "fdd_signed_m2": 0.0,
            "pose_range_deg": 3.0,
        }
        ridge = {**values, "lip_vertex_error_mm": 9.0 + hardness}
        clips.append(
            {
                "key": key,
                "speaker": f"s{number // each}",
                "frames": 50,
                "reference": key,
                "truth": {"face": f"{number:012x}", "head": f"{number:012x}"},
            }
            | {"scores": {"truth": truth, "model": values, "ridge": ridge}}
        )
    methods = ("truth", "model", "ridge")
    average = {m: {n: float(np.mean([c["scores"][m][n] for c in clips])) for n in NAMES} for m in methods}
    scored = Scored(
        clips, average, {m: {"lip_vertex_error_mm": [bad]} if bad and m == "model" else {} for m in methods}
    )
    scores = summarise(scored, [METRICS[name] for name in NAMES])
    return {
        "format": FORMAT, "run": run, "checkpoint": "best.ckpt", "checkpoint_sha256": "ab" * 32, "split": changes.get("split", "test"),
        "metric": NAMES[0], "face": changes.get("face", "procedural"), "synthetic": changes.get("synthetic", True), "averaging": AVERAGING,
        **({"face_sha256": changes["face_sha256"]} if "face_sha256" in changes else {}),
        "data": {"corpus": changes.get("corpus", "made-up"), "fingerprint": "f", "normalised_by": changes.get("statistics", "n")},
        "command": f"python score.py {run}", "source_hash": "c0de", "left_out": {},
        "metrics": {name: METRICS[name].metadata | {"per_clip": True} for name in NAMES},
        "summary": headline(scored, scores), "scores": scores, "clips": clips,
    }  # fmt: skip

"""Scores of a pose run: `score.py RUN` where the run learned head motion (pose_vqvae, pose_gpt, pose_regression)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from networks.pose_adapter import PoseAdapter
from networks.pose_baselines import HeadRegression
from networks.pose_methods import code_likelihoods, codes_of
from networks.pose_style_choice import Method
from networks.pose_style_files import PoseStyles, open_pose_styles
from networks.pose_vqvae import PoseVQVAE
from reports.errors import ReportError
from reports.pose_meaning import gesture_meaning, has_words, unit_information
from reports.pose_measures import TRUTH, is_finite, measure_heads, metadata, summarise_heads
from reports.pose_methods import (
    PoseSplit,
    chosen_styles,
    controls,
    generated_by,
    read_split,
    regressed_heads,
    vqvae_heads,
)
from reports.pose_recognition import recognition
from reports.pose_table import print_pose_table
from reports.score_files import FORMAT, scores_file, write_scores
from reports.scoring import HEAD, truth_hash
from reports.subjects import data_like
from runtime.assemble import load_module
from runtime.checkpoint_io import manifest_of
from runtime.code_version import source_hash
from runtime.run_folder import existing_run

POSE_NETWORKS = (PoseVQVAE, PoseAdapter, HeadRegression)
HEADLINE = "beat_consistency"
AVERAGING = (
    "clips of a speaker, then speakers; of frechet_pose and pose_diversity_adamesh all clips together; "
    "`value` is the metric's own average over all clips"
)

# Ways of choosing the style whose heads are scored; of all ways: networks/pose_style_choice.py.
STYLES: tuple[Method, ...] = ("retrieved", "random", "unknown")


def is_pose_run(folder: Path) -> bool:
    """Whether the run in `folder` learned head motion."""
    target = str(existing_run(folder).config.get("net", {}).get("_target_", ""))
    return target in {f"{kind.__module__}.{kind.__qualname__}" for kind in POSE_NETWORKS}


def score_pose_run(
    folder: Path,
    split: str = "test",
    checkpoint: str = "best",
    data_root: str = "",
    out: Path | None = None,
    command: Sequence[str] = (),
) -> dict[str, Any]:
    """Scores of one pose run; the returned dictionary is also written to `out` (default: scores-<split>.json in the run's folder).

    Raises ReportError for a run of another kind, and what loading raises.
    """
    run = existing_run(folder)
    module, path = load_module(run, checkpoint)
    if not isinstance(module.net, POSE_NETWORKS):
        raise ReportError(f"{folder} is a run of {run.config.run.name}, which learns no head motion")
    data = data_like(run, data_root)
    data.indices(split)  # an empty split is told before anything is read
    with torch.no_grad():
        found = score_pose(module, data, split, run.path / "pose_styles")
    manifest = json.loads(manifest_of(path).read_text())
    result = {
        "format": FORMAT,
        "run": run.run_id,
        "checkpoint": path.name,
        "checkpoint_sha256": manifest["sha256"],
        "checkpoint_step": manifest["step"],
        "split": split,
        "metric": HEADLINE,
        "face": "no (head motion only)",
        "synthetic": bool(data.synthetic),
        "averaging": AVERAGING,
        "data": {
            "corpus": data.index.manifest.corpus,
            "fingerprint": data.index.fingerprint,
            "normalised_by": "",
        },
        "command": shlex.join(["python", *command]) if command else "",
        "source_hash": source_hash(),
        "left_out": {},
        **found,
    }
    write_scores(result, out or scores_file(folder, split))
    print_pose_table(result)
    return result


def score_pose(module: Any, data: Any, split: str, styles_folder: Path) -> dict[str, Any]:
    """`scores`, `clips`, `metrics` and `summary` as score files have them, and for PoseGPT `meaning`, `information` and `recognition`.

    The style bank of a PoseGPT is kept in `styles_folder`.
    """
    net = module.net
    is_gpt = isinstance(net, PoseAdapter)
    styles = open_pose_styles(styles_folder, net, lambda: data) if is_gpt else None
    clips = read_split(data, split, styles.units if styles else None, net.front_end if is_gpt else None)
    known = [torch.from_numpy(data.index.read_motion(i).head) for i in data.indices("train")]
    draws: dict[str, list] = {}
    likelihoods: dict[str, dict[str, list[float]]] = {}
    if styles is not None:
        vectors: dict[str, Tensor] = {way: chosen_styles(net, styles, clips, way) for way in STYLES}
        heads, draws = generated_by(net, clips, vectors)
        names = {"model": "retrieved", "random_style": "random", "unknown_style": "unknown"}
        likelihoods = {
            method: code_likelihoods(net, clips.clips, vectors[way], module.code_counts)
            for method, way in names.items()
        }
    elif isinstance(net, HeadRegression):
        heads = regressed_heads(net, clips)
    else:
        heads = vqvae_heads(net, clips)
    heads |= controls(clips, known)
    vqvae = net.vqvae if is_gpt else net if isinstance(net, PoseVQVAE) else None
    everyone = {TRUTH: clips.heads, **heads}
    codes = {method: codes_of(vqvae, of) for method, of in everyone.items()} if vqvae is not None else {}
    keys = [clip.key for clip in clips.clips]
    measured = measure_heads(heads, clips.heads, [clip.audio for clip in clips.clips], keys, codes)
    for method, repeated in draws.items():
        measured.add_samples(method, repeated)
    for method, of in likelihoods.items():
        for name, values in of.items():
            measured.add(method, name, values)
    scores = summarise_heads(measured, clips.speakers)
    found: dict[str, Any] = {
        "metrics": metadata(list(dict.fromkeys(name for of in scores.values() for name in of))),
        "scores": scores,
        "summary": _summary(scores, clips),
        "clips": _table(clips, measured.rows),
    }
    # What counts gestures and codes would take a head that is not finite for a still one.
    whole = {method: of for method, of in everyone.items() if all(map(is_finite, of))}
    if has_words(clips.metas):
        found["meaning"] = gesture_meaning(whole, clips.metas, clips.speakers)
    if styles is not None:
        codes = {method: of for method, of in codes.items() if method in whole}
        found |= _only_of_posegpt(net, styles, data, clips, codes)
    return found


def _only_of_posegpt(
    net: PoseAdapter, styles: PoseStyles, data: Any, clips: PoseSplit, codes: dict[str, list]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    units = [of.numpy() for of in clips.units if of is not None]
    if len(units) == len(clips.units) and net.vqvae.stride == 1:
        shown = [way for way in (TRUTH, "model", "greedy", "shuffled_speech") if way in codes]
        found["information"] = unit_information(units, {way: [c.numpy() for c in codes[way]] for way in shown})
    return found | {"recognition": recognition(net, styles, read_split(data, "train"))}


def _summary(scores: dict[str, dict[str, dict[str, Any]]], clips: PoseSplit) -> dict[str, Any]:
    return {method: of[HEADLINE] for method, of in scores.items() if HEADLINE in of} | {
        "num_clips": len(clips.clips),
        "num_speakers": len(set(clips.speakers)),
        "own_reference": sum(clips.own_reference),
    }


def _table(clips: PoseSplit, rows: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    return [
        {
            "key": clip.key,
            "speaker": clip.speaker,
            "frames": len(clip.head),
            "reference": "own" if clips.own_reference[number] else "others",
            "truth": {HEAD: truth_hash(clip.head)},
            "scores": {method: of[number] for method, of in rows.items()},
        }
        for number, clip in enumerate(clips.clips)
    ]

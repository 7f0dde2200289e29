"""Draws what callbacks/pose_media.py saved: `python -m callbacks.draw_pose_media FOLDER`. A process of its own, at low priority."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure

from callbacks.pose_media import PICTURES, SAVED
from faces.rotations import axis_angle_to_euler_numpy
from networks.pose_representation import HeadRepresentation
from networks.pose_statistics import pose_statistics, telling_apart

FPS = 25
ANGLES = ("pitch", "yaw", "roll")
TRUTH_COLOUR, PREDICTION_COLOUR = "#7f7f7f", "#0072b2"
MOST_NAMES = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=2)
    arguments = parser.parse_args()
    os.nice(10)
    torch.set_num_threads(1)
    clips = load_clips(arguments.folder / SAVED)
    figures = (
        pose_curves(clips, arguments.clips),
        code_histogram(clips),
        retrieval_confusion(*confusion(clips)),
    )
    for name, figure in zip(PICTURES, figures, strict=True):
        partial = arguments.folder / f"{name}.tmp"
        figure.savefig(partial, format="png", dpi=110)
        partial.replace(arguments.folder / f"{name}.png")


def load_clips(path: Path) -> dict[str, Any]:
    """What `save_clips` wrote, a list of arrays for every name that has lengths."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for name in [name for name in arrays if f"{name}_lengths" in arrays]:
        arrays[name] = np.split(arrays[name], np.cumsum(arrays[f"{name}_lengths"])[:-1])
    return arrays


def pose_curves(clips: dict[str, Any], count: int) -> Figure:
    """Degrees over seconds, a row a clip."""
    shown = min(count, len(clips["key"]))
    figure = Figure(figsize=(10, 2.2 * shown), layout="constrained")
    axes = figure.subplots(shown, 3, squeeze=False, sharex="row")
    for row in range(shown):
        lines = [("truth", clips["head"][row], TRUTH_COLOUR)]
        if row < len(clips.get("predicted_head", ())):
            lines.append(("prediction", clips["predicted_head"][row], PREDICTION_COLOUR))
        for column, name in enumerate(ANGLES):
            for label, head, colour in lines:
                degrees = np.degrees(axis_angle_to_euler_numpy(head))[:, column]
                axes[row, column].plot(np.arange(len(head)) / FPS, degrees, color=colour, label=label, linewidth=1)
            axes[row, column].set_title(f"{clips['key'][row]}: {name}, deg", fontsize=8)
    axes[0, 0].legend(fontsize=7)
    return figure


def code_histogram(clips: dict[str, Any]) -> Figure:
    """Share of each code, most frequent first, so that collapse is a cliff at the left; a dashed line: all codes alike."""
    number = int(clips["num_codes"])
    figure = Figure(figsize=(7, 3), layout="constrained")
    axis = figure.subplots()
    for name, colour in (("codes", TRUTH_COLOUR), ("likeliest", PREDICTION_COLOUR)):
        if name in clips:
            counts = np.bincount(np.concatenate(clips[name]), minlength=number)
            share = np.sort(counts / max(1, counts.sum()))[::-1]
            axis.step(
                np.arange(1, number + 1),
                share,
                where="mid",
                color=colour,
                label=f"{name}: {(counts > 0).mean():.0%} in use",
            )
    axis.axhline(1 / number, color="black", linestyle="--", linewidth=0.7)
    axis.set(xlabel="codes, most frequent first", ylabel="share", xscale="log")
    axis.legend(fontsize=8)
    return figure


def confusion(clips: dict[str, Any]) -> tuple[np.ndarray, list[str]]:
    """Counts `[speakers, speakers]` (row: whose clip, column: whose reference lies nearest) and the speakers' names.

    By `networks.pose_statistics`, weighed by how well they tell these references apart. A reference that is the clip itself is passed over.
    """
    representation = HeadRepresentation()
    representation.centre.copy_(torch.from_numpy(clips["centre"]))
    speakers = sorted(set(clips["speaker"].tolist()))
    of_clips, of_references = (
        torch.stack([pose_statistics(torch.from_numpy(head), representation) for head in clips[name]])
        for name in ("head", "reference_head")
    )
    weights = telling_apart([of_references[torch.from_numpy(clips["speaker"] == who)] for who in speakers])
    distances = torch.cdist(of_clips @ weights, of_references @ weights)
    itself = torch.from_numpy(clips["reference_key"][None] == clips["key"][:, None])
    distances = distances.masked_fill(itself, torch.inf)
    counts = np.zeros((len(speakers), len(speakers)), int)
    for row, nearest in enumerate(distances.argmin(1).tolist()):
        if torch.isfinite(distances[row, nearest]):
            counts[speakers.index(clips["speaker"][row]), speakers.index(clips["speaker"][nearest])] += 1
    return counts, speakers


def retrieval_confusion(counts: np.ndarray, speakers: list[str]) -> Figure:
    """Share of a person's clips; the title says how many find their own person, and how many would by chance."""
    figure = Figure(figsize=(6, 5.5), layout="constrained")
    axis = figure.subplots()
    share = counts / np.maximum(1, counts.sum(1, keepdims=True))
    picture = axis.imshow(share, vmin=0, vmax=1, cmap=mpl.colormaps["cividis"])
    figure.colorbar(picture, ax=axis, shrink=0.7)
    found = np.trace(counts) / max(1, counts.sum())
    axis.set(
        title=f"{found:.0%} of {counts.sum()} clips find their own person (chance {1 / len(speakers):.0%})",
        xlabel="whose reference is nearest",
        ylabel="whose clip",
    )
    if len(speakers) <= MOST_NAMES:
        axis.set_xticks(range(len(speakers)), speakers, rotation=90, fontsize=6)
        axis.set_yticks(range(len(speakers)), speakers, fontsize=6)
    return figure


if __name__ == "__main__":
    main()

"""Whether heads move with what is said: gestures near the words that call for them, and what the speech's units tell about the pose codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metrics.gesture_meaning import (
    NOD_WINDOW,
    SHAKE_WINDOW,
    WordWindow,
    gesture_counts,
    gesture_rates,
    inner_frames,
    near_words,
    nods,
    shakes,
)
from metrics.mutual_information import information_about

# Words of a tag, the gesture that belongs to them, and how far around them it is looked for. An affirmation is two nods.
GESTURES = {
    "nods_on_stress": ("stressed", nods, NOD_WINDOW),
    "nods_on_affirmation": ("affirmation", nods, WordWindow(0.1, 0.5)),
    "shakes_on_negation": ("negation", shakes, SHAKE_WINDOW),
}


def has_words(metas: Sequence[dict[str, Any]]) -> bool:
    """Whether the clips' metadata say when words were spoken and which of them are tagged, as the synthetic corpus does."""
    return any("start_s" in word and word.get("tags") for meta in metas for word in _words(meta))


def gesture_meaning(
    heads: Mapping[str, Sequence[Tensor]], metas: Sequence[dict[str, Any]], speakers: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """`{method: {gesture: {near, elsewhere, ratio, low, high}}}`: gestures a second near the words they belong to and near words that no gesture belongs
    to, within the same window of time about both; neither pauses nor the first and last third of a second of a clip (`inner_frames`) count.
    """
    return {method: _rates_of(of, metas, speakers) for method, of in heads.items()}


def _rates_of(
    heads: Sequence[Tensor], metas: Sequence[dict[str, Any]], speakers: Sequence[str]
) -> dict[str, dict[str, float]]:
    counts: dict[str, list[Tensor]] = {name: [] for name in GESTURES}
    for head, meta in zip(heads, metas, strict=True):
        mask = torch.ones(1, len(head), dtype=torch.bool)
        inner = inner_frames(mask)
        near, elsewhere = _near_and_elsewhere(meta, len(head))
        for name, (_, find, _) in GESTURES.items():
            counts[name].append(gesture_counts(find(head[None], mask), near[name][None], elsewhere[name][None], inner))
    return {name: gesture_rates(torch.cat(of), speakers)._asdict() for name, of in counts.items()}


def _near_and_elsewhere(meta: dict[str, Any], frames: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Of each gesture the frames [T] near its words, and those near words without a tag that are near no word with one."""
    near = {name: near_words(_spans(meta, tag), frames, window) for name, (tag, _, window) in GESTURES.items()}
    others, tagged = _spans(meta, None), torch.stack(list(near.values())).any(0)
    return near, {name: near_words(others, frames, window) & ~tagged for name, (_, _, window) in GESTURES.items()}


def unit_information(
    units: Sequence[np.ndarray], codes: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, dict[str, float]]:
    """`{method: ...}` of `metrics.mutual_information.Information` between the speech's units [T] and each method's pose codes [T] of the same frames."""
    return {method: information_about(units, of)._asdict() for method, of in codes.items()}


def _words(meta: dict[str, Any]) -> list[dict[str, Any]]:
    return meta.get("extra", {}).get("words", [])


def _spans(meta: dict[str, Any], tag: str | None) -> list[tuple[float, float]]:
    """Start and end, seconds, of the words with a tag; None: of those with none that a gesture belongs to."""
    gestured = {tag for tag, _, _ in GESTURES.values()}
    return [
        (word["start_s"], word["end_s"])
        for word in _words(meta)
        if "start_s" in word and (tag in word.get("tags", []) if tag else not gestured & set(word.get("tags", [])))
    ]

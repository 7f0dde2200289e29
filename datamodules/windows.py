"""Which frames of a clip are the target and which frames of which clip are the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from datamodules.manifest import SampleEntry


class Frames(NamedTuple):
    """Frames `start : stop` of clip number `clip`."""

    clip: int
    start: int
    stop: int


@dataclass(frozen=True)
class WindowRule:
    """Lengths in motion frames (25 a second) and how often the reference is another clip.

    The target is `window_frames` long, or the whole clip where that is shorter. The reference length is drawn
    from `reference_frames = (shortest, longest)`.
    """

    window_frames: int = 100
    reference_frames: tuple[int, int] = (100, 250)
    other_clip_probability: float = 0.5


class ClipNeighbours:
    """The clips of each speaker among the chosen samples, in the order of their keys."""

    def __init__(self, entries: Sequence[SampleEntry], chosen: Sequence[int]) -> None:
        self._entries = entries
        self._of_speaker: dict[str, list[int]] = {}
        for index in sorted(chosen, key=lambda i: entries[i].key):
            self._of_speaker.setdefault(entries[index].speaker, []).append(index)

    def others(self, index: int) -> list[int]:
        """Other clips of the speaker: those of the same emotion and intensity if there is any, else of the same
        emotion, else all; empty for a speaker's only clip.
        """
        entry = self._entries[index]
        others = [i for i in self._of_speaker[entry.speaker] if i != index]
        same_emotion = [i for i in others if self._entries[i].emotion == entry.emotion]
        return [i for i in same_emotion if self._entries[i].intensity == entry.intensity] or same_emotion or others

    def num_frames(self, index: int) -> int:
        return self._entries[index].num_frames


def draw_training_window(
    index: int, neighbours: ClipNeighbours, rule: WindowRule, generator: np.random.Generator
) -> tuple[Frames, Frames]:
    """(target, reference) of a training sample; a function of the arguments alone.

    With `other_clip_probability` the reference is from another clip of the speaker, else a part of the same
    clip that does not overlap the target. Where the one is not possible (no other clip; what remains is
    shorter than the shortest reference) it is the other, and for a speaker's only clip, where neither is, any
    part of the same clip.
    """
    total = neighbours.num_frames(index)
    length = min(total, rule.window_frames)
    start = int(generator.integers(total - length + 1))
    target = Frames(index, start, start + length)
    shortest, longest = rule.reference_frames
    wanted = int(generator.integers(shortest, longest + 1))
    prefers_other = generator.random() < rule.other_clip_probability
    others = neighbours.others(index)
    rest = _longest_rest(target, total)
    if others and (prefers_other or rest.stop - rest.start < shortest):
        other = others[int(generator.integers(len(others)))]
        return target, _part(Frames(other, 0, neighbours.num_frames(other)), wanted, generator)
    if rest.stop - rest.start >= shortest:
        return target, _part(rest, wanted, generator)
    return target, _part(Frames(index, 0, total), wanted, generator)


def evaluation_window(index: int, neighbours: ClipNeighbours, rule: WindowRule) -> tuple[Frames, Frames]:
    """(target, reference) for scoring: the whole clip, and the beginning of the speaker's first other clip by
    key.

    A clip of the same emotion and intensity is preferred; a speaker's only clip is its own reference.
    """
    others = neighbours.others(index)
    reference = others[0] if others else index
    stop = min(neighbours.num_frames(reference), rule.reference_frames[1])
    return Frames(index, 0, neighbours.num_frames(index)), Frames(reference, 0, stop)


def _longest_rest(target: Frames, total: int) -> Frames:
    before, after = Frames(target.clip, 0, target.start), Frames(target.clip, target.stop, total)
    return before if before.stop - before.start >= after.stop - after.start else after


def _part(frames: Frames, wanted: int, generator: np.random.Generator) -> Frames:
    length = min(wanted, frames.stop - frames.start)
    start = int(generator.integers(frames.start, frames.stop - length + 1))
    return Frames(frames.clip, start, start + length)

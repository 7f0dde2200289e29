"""Which samples train, validate and test a run: the manifest's splits, or whole speakers held out by the
experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from corpora.clip import SPLITS
from datamodules.data_config import DataConfig, nearest
from datamodules.errors import ShardError
from datamodules.manifest import SampleEntry

SplitRule = Callable[[SampleEntry], str]


def speaker_split_rule(entries: Sequence[SampleEntry], config: DataConfig) -> SplitRule:
    """The split of a sample by the manifest and the overrides of `config`; raises ShardError for unknown
    speakers or an overlap.
    """
    known = sorted({entry.speaker for entry in entries})
    held_out = {"test": config.test_speakers, "val": config.val_speakers}
    for split, speakers in held_out.items():
        for speaker in speakers or ():
            if speaker not in known:
                raise ShardError(
                    f"data.{split}_speakers: no speaker {speaker!r} in this corpus{nearest(speaker, known)}; "
                    f"it has {len(known)} speakers: {', '.join(known[:12])}{' ...' if len(known) > 12 else ''}"
                )
    both = sorted(set(config.test_speakers or ()) & set(config.val_speakers or ()))
    if both:
        raise ShardError(f"speaker {both[0]!r} is in data.test_speakers and in data.val_speakers; choose one")

    def split_of(entry: SampleEntry) -> str:
        for split, speakers in held_out.items():
            if speakers is not None and entry.speaker in speakers:
                return split
        replaced = held_out.get(entry.split) is not None
        return "train" if replaced else entry.split

    return split_of


def choose_samples(
    entries: Sequence[SampleEntry],
    split_of: SplitRule,
    keep: Callable[[SampleEntry], bool],
    max_clips: int | None,
    max_train_clips_per_speaker: int | None = None,
) -> dict[str, list[int]]:
    """Sample numbers of each split, ascending; of each at most `max_clips`, of each training speaker at most
    `max_train_clips_per_speaker`, spread evenly.
    """
    chosen: dict[str, list[int]] = {split: [] for split in SPLITS}
    for index, entry in enumerate(entries):
        if keep(entry):
            chosen[split_of(entry)].append(index)
    of_speaker: dict[str, list[int]] = {}
    for index in chosen["train"]:
        of_speaker.setdefault(entries[index].speaker, []).append(index)
    chosen["train"] = sorted(i for own in of_speaker.values() for i in _spread(own, max_train_clips_per_speaker))
    return {split: _spread(indices, max_clips) for split, indices in chosen.items()}


def _spread(indices: list[int], most: int | None) -> list[int]:
    if most is None or len(indices) <= most:
        return indices
    places = np.linspace(0, len(indices) - 1, most).round().astype(int)
    return [indices[place] for place in places]

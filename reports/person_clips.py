"""The data of an adapted run as scores read a corpus: one person's clips, one a batch, in the parts that the adaptation made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from reports.errors import ReportError


class PersonClip(NamedTuple):
    key: str
    speaker: str
    num_frames: int


class Manifest(NamedTuple):
    corpus: str


class PersonIndex(NamedTuple):
    """What a corpus' index has of the person: `fingerprint` is of the frames adapted to and of the other clips' keys."""

    entries: list[PersonClip]
    fingerprint: str
    manifest: Manifest


class PersonClips:
    """An adaptation's datamodule (with batches of one clip) by the names that a corpus' has: `train` are the frames adapted to, `val` the tail that chose
    the step, `test` the person's other clips. `statistics` `(mean, std)` are the base's, None until they are known: a person's ten seconds have none.
    """

    def __init__(self, data: Any) -> None:
        self._data, self.fingerprint = data, data.fingerprint
        self.statistics: tuple[Any, Any] | None = None
        self.space, self.synthetic = data.facts["space"], data.synthetic
        parts = {"train": data.train_pieces, "val": data.tail_pieces, "test": [data.rest] if data.rest else []}
        who, corpus = data.reference.person, data.facts["corpus"]
        found = {
            split: [PersonClip(p.clip.key, who, len(p.clip.motion)) for p in pieces] for split, pieces in parts.items()
        }
        found["test"] += [PersonClip(e.key, who, e.num_frames) for e in map(self._entry, data.others)]
        self.index = PersonIndex([c for part in found.values() for c in part], data.fingerprint, Manifest(corpus))
        self.chosen: dict[str, list[int]] = {}
        start = 0
        for split, clips in found.items():
            self.chosen[split] = list(range(start, start + len(clips)))
            start += len(clips)
        first = data.reference.pieces[0].clip.key
        self._reference = f"{sum(clip.num_frames for clip in found['train'])} frames from {first} on"

    def indices(self, split: str) -> list[int]:
        """Numbers of the part's clips in `index`. Raises ReportError where there are none."""
        if not self.chosen[split]:
            raise ReportError(
                f"{self._data.reference.person} has nothing but what was adapted to, so there is no {split} part to score; give --split val for the tail "
                "that was held out, which chose the step, or adapt to fewer seconds"
            )
        return self.chosen[split]

    def evaluation_dataloader(self, split: str) -> Iterator[Any]:
        """Batches of one whole clip; the style reference is every training frame, and called so."""
        self.indices(split)
        for batch in self._data.evaluation_dataloader(split):
            batch.metas[0]["reference_key"] = self._reference
            yield batch

    def _entry(self, number: int) -> Any:
        return self._data.reference.index.entries[number]

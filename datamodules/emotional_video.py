"""The datamodule of corpora with acted emotions (MEAD, CREMA-D, RAVDESS): emotion, intensity and actor are
known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from datamodules.collate import SpeechFaceBatch, SpeechFaceItem, collate
from datamodules.data_config import DataConfig, nearest
from datamodules.errors import ShardError
from datamodules.manifest import SampleEntry
from datamodules.shard_index import ShardIndex
from datamodules.speech_face import SpeechFaceDataModule
from datamodules.splits import SplitRule

NEUTRAL = "neutral"
SPLIT_OF_ADAPTATION = {"adapt": "train", "val": "val", "heldout": "test"}


@dataclass(frozen=True, kw_only=True)
class EmotionalVideoConfig(DataConfig):
    """`DataConfig` with filters (None: everything): `emotions`, `intensities` (0 to 3) and `actors` that are
    served.

    `split_by`: "speaker", or "sentence" for adaptation: the same actors in every split, other sentences.
    """

    emotions: Sequence[str] | None = None
    intensities: Sequence[int] | None = None
    actors: Sequence[str] | None = None
    split_by: str = "speaker"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split_by not in ("speaker", "sentence"):
            raise ShardError(f"data.split_by={self.split_by!r}; expected 'speaker' or 'sentence'")
        if self.split_by == "sentence" and (self.test_speakers is not None or self.val_speakers is not None):
            raise ShardError(
                "data.split_by='sentence' puts every actor in every split; drop data.test_speakers and data.val_speakers"
            )


@dataclass(frozen=True)
class EmotionCollate:
    """`collate` with `emotion_id` in every item's metadata, by the vocabulary `ids`."""

    ids: dict[str, int]

    def __call__(self, items: Sequence[SpeechFaceItem]) -> SpeechFaceBatch:
        batch = collate(items)
        batch.metas = [{**meta, "emotion_id": self.ids[meta["emotion"]]} for meta in batch.metas]
        return batch


class EmotionalVideoDataModule(SpeechFaceDataModule):
    """Serves any corpus with at least two emotions; `metas` of a batch hold `emotion`, `intensity`, `speaker`
    and `emotion_id`.

    Raises ShardError for a corpus without emotion labels, or for a filter that names what the corpus does not
    have.
    """

    config_class: ClassVar[type[DataConfig]] = EmotionalVideoConfig
    config: EmotionalVideoConfig

    def __init__(self, config: EmotionalVideoConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        labels = emotion_vocabulary(self.index)
        if len(labels) < 2:
            raise ShardError(
                f"{self.config.root} (corpus {self.index.manifest.corpus!r}) knows only the emotion {labels[0]!r}; "
                "use a datamodule that needs no emotion labels"
            )
        self.emotion_ids = {emotion: number for number, emotion in enumerate(labels)}

    def _keep(self, entry: SampleEntry) -> bool:
        wanted = self.config
        return (
            (wanted.emotions is None or entry.emotion in wanted.emotions)
            and (wanted.intensities is None or entry.intensity in wanted.intensities)
            and (wanted.actors is None or entry.speaker in wanted.actors)
        )

    def _split_rule(self) -> SplitRule:
        entries = self.index.entries
        _check_known("emotions", self.config.emotions, sorted({e.emotion for e in entries}))
        _check_known("intensities", self.config.intensities, sorted({e.intensity for e in entries}))
        _check_known("actors", self.config.actors, sorted({e.speaker for e in entries}))
        if self.config.split_by == "speaker":
            return super()._split_rule()
        unmarked = next((e.key for e in entries if e.adaptation_split not in SPLIT_OF_ADAPTATION), None)
        if unmarked is not None:
            raise ShardError(
                f"data.split_by='sentence': clip {unmarked} of {self.config.root} has no adaptation split "
                f"(expected one of {sorted(SPLIT_OF_ADAPTATION)} in its metadata); use split_by='speaker'"
            )
        return lambda entry: SPLIT_OF_ADAPTATION[entry.adaptation_split]

    def _collate(self) -> Callable[[Sequence[SpeechFaceItem]], SpeechFaceBatch]:
        return EmotionCollate(self.emotion_ids)


def emotion_vocabulary(index: ShardIndex) -> list[str]:
    """Emotions of a whole corpus, `neutral` first where it occurs, then by name; the same for every filter
    and split.
    """
    found = sorted({entry.emotion for entry in index.entries})
    return sorted(found, key=lambda emotion: (emotion != NEUTRAL, emotion))


def _check_known(name: str, wanted: Sequence | None, known: Sequence) -> None:
    for value in wanted or ():
        if value not in known:
            close = nearest(str(value), [str(v) for v in known])
            raise ShardError(
                f"data.{name}: this corpus has no {value!r}{close}; it has {', '.join(map(str, known[:20]))}"
            )

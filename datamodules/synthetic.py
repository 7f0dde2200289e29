"""The datamodule of the synthetic corpus: the planted truth is known, so tests can ask whether a method found
it.
"""

from __future__ import annotations

from typing import Any

from datamodules.data_config import DataConfig
from datamodules.errors import ShardError
from datamodules.speech_face import SpeechFaceDataModule


class SyntheticDataModule(SpeechFaceDataModule):
    """Serves clips that no person produced; raises ShardError for a corpus of recordings.

    `metas` of a batch hold the planted parameters as the corpus wrote them; `planted(index)` gives them for
    one clip.
    """

    def __init__(self, config: DataConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        if not self.synthetic:
            raise ShardError(
                f"{self.config.root} holds the corpus {self.index.manifest.corpus!r} of recordings, not a synthetic one; "
                "use another datamodule, or make one with `python prepare.py synthetic`"
            )

    def planted(self, index: int) -> dict:
        """What is known of a clip besides its labels: text, phonemes, style and habit of the speaker."""
        return self.read_sample(index).clip.meta.extra

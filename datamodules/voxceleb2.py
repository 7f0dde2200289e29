"""The datamodule of VoxCeleb2: talking heads in the wild, for head poses (the pose adapter) and expression
too.
"""

from __future__ import annotations

from typing import Any

from datamodules.data_config import DataConfig
from datamodules.errors import ShardError
from datamodules.speech_face import SpeechFaceDataModule

# Radians; a tenth of a degree over a whole corpus is no head that moves.
STILL_HEAD_STD = 0.002


class VoxCeleb2DataModule(SpeechFaceDataModule):
    """Serves any corpus whose heads move; the source of a clip is its video, `videos(split)` lists them.

    Raises ShardError for a corpus without head rotation, which cannot teach poses.
    """

    def __init__(self, config: DataConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        head = self.motion_statistics.head
        if head.std.max() < STILL_HEAD_STD:
            raise ShardError(
                f"the heads of {self.config.root} do not move (deviation {head.std.max():.1e} rad); "
                "poses cannot be learned from it: prepare the corpus with head rotation"
            )

    def videos(self, split: str) -> dict[str, list[int]]:
        """Sample numbers of each source video of a split, in the order of the clips within it."""
        grouped: dict[str, list[int]] = {}
        for index in sorted(self.indices(split), key=lambda i: self.index.entries[i].key):
            grouped.setdefault(self.index.entries[index].source, []).append(index)
        return grouped

"""CREMA-D as published (Cao et al. 2014): 91 actors speak twelve sentences with six emotions.

ROOT/VideoFlash/1001_DFA_ANG_XX.flv    actor, sentence, emotion, level; files may also lie in ROOT itself, and be mp4
"""

from __future__ import annotations

import re
from pathlib import Path

from corpora.splits import split_of_speaker
from corpora.video_corpus import LayoutError, VideoItem

CORPUS = "crema_d"
LICENCE = "ODbL 1.0 (CREMA-D)"
EMOTIONS = {"ANG": "angry", "DIS": "disgusted", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
LEVELS = {"XX": 0, "X": 0, "LO": 1, "MD": 2, "HI": 3}
SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
# IEO alone was spoken at three levels, so it is among what is adapted to.
HELDOUT_SENTENCES, VAL_SENTENCES = ("DFA", "ITS", "WSI"), ("TSI",)
VAL_SHARE = TEST_SHARE = 0.1
_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})")
_LAYOUT = "ROOT/VideoFlash/1001_DFA_ANG_XX.flv"


def list_crema_d(root: str | Path) -> list[VideoItem]:
    """Every clip in `root` or `root/VideoFlash`, in order of name; `split` by actor, `extra["adaptation_split"]` by sentence.

    `intensity`: 1 low, 2 medium, 3 high, 0 where none was asked for. Raises `LayoutError` where nothing matches.
    """
    root = Path(root)
    files = sorted(
        path
        for folder in (root, root / "VideoFlash")
        for ending in ("flv", "mp4")
        for path in folder.glob(f"*.{ending}")
    )
    items = [item for item in map(_item, files) if item is not None]
    if not items:
        raise LayoutError(f"{root} is not laid out as CREMA-D: expected {_LAYOUT}; {_hint(root, len(files))}")
    return items


def _item(path: Path) -> VideoItem | None:
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    actor, sentence, emotion, level = match.groups()
    if sentence not in SENTENCES or emotion not in EMOTIONS or level not in LEVELS:
        raise LayoutError(f"{path} is not named as in CREMA-D: expected {_LAYOUT} with emotions {', '.join(EMOTIONS)}")
    within = "heldout" if sentence in HELDOUT_SENTENCES else "val" if sentence in VAL_SENTENCES else "adapt"
    return VideoItem(
        path=path,
        speaker=actor,
        source=path.stem,
        key=path.stem,
        emotion=EMOTIONS[emotion],
        intensity=0 if emotion == "NEU" else LEVELS[level],
        split=split_of_speaker(actor, val_share=VAL_SHARE, test_share=TEST_SHARE),
        language="en",
        licence=LICENCE,
        extra={"sentence": sentence, "adaptation_split": within},
    )


def _hint(root: Path, files: int) -> str:
    if not root.is_dir():
        return f"{root} is not a folder"
    if any(root.glob("AudioWAV/*.wav")):
        return "found sound alone: the videos are in the repository's folder VideoFlash (Git LFS)"
    return f"found {files} videos, none with such a name" if files else "found no videos"

"""RAVDESS as published (Livingstone and Russo 2018): 24 actors speak two sentences with eight emotions.

    ROOT/Actor_01/01-01-05-01-02-01-12.mp4    also below ROOT/Video_Speech_Actor_01/

The seven codes: modality (01 picture and sound), channel (01 speech, 02 song), emotion, intensity (01 normal, 02 strong), sentence,
repetition, actor. Only speech with picture and sound is listed; the same takes without sound or picture are passed over.
"""

from __future__ import annotations

import re
from pathlib import Path

from corpora.splits import split_of_speaker
from corpora.video_corpus import LayoutError, VideoItem

CORPUS = "ravdess"
LICENCE = "CC BY-NC-SA 4.0 (RAVDESS)"
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgusted",
    "08": "surprised",
}
SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
FULL, SPEECH = "01", "01"
VAL_SHARE = TEST_SHARE = 0.1
_CODES = re.compile(r"\d\d(-\d\d){6}")
_LAYOUT = "ROOT/Actor_01/01-01-05-01-02-01-12.mp4"


def list_ravdess(root: str | Path) -> list[VideoItem]:
    """Every take of speech with picture and sound below `root`, in order of path; `split` by actor, `extra["adaptation_split"]` by sentence.

    `intensity`: 1 normal, 2 strong, 0 for neutral. Raises `LayoutError` where nothing matches.
    """
    root = Path(root)
    files = [
        path
        for pattern in ("Actor_*/*.mp4", "Video_Speech_Actor_*/Actor_*/*.mp4")
        for path in sorted(root.glob(pattern))
        if _CODES.fullmatch(path.stem)
    ]
    items = [_item(path) for path in files if path.stem.startswith(f"{FULL}-{SPEECH}-")]
    if not items:
        raise LayoutError(f"{root} is not laid out as RAVDESS: expected {_LAYOUT}; {_hint(root, len(files))}")
    return items


def _item(path: Path) -> VideoItem:
    _, _, emotion, intensity, sentence, repetition, actor = path.stem.split("-")
    if emotion not in EMOTIONS or intensity not in ("01", "02") or sentence not in SENTENCES:
        raise LayoutError(
            f"{path} has codes that RAVDESS does not: expected emotion 01 to 08, intensity and sentence 01 or 02"
        )
    return VideoItem(
        path=path,
        speaker=f"Actor_{actor}",
        source=path.stem,
        key=path.stem,
        emotion=EMOTIONS[emotion],
        intensity=0 if emotion == "01" else int(intensity),
        split=split_of_speaker(f"Actor_{actor}", val_share=VAL_SHARE, test_share=TEST_SHARE),
        language="en",
        licence=LICENCE,
        extra={
            "text": SENTENCES[sentence],
            "repetition": int(repetition),
            "adaptation_split": "adapt" if sentence == "01" else "heldout",
        },
    )


def _hint(root: Path, files: int) -> str:
    if not root.is_dir():
        return f"{root} is not a folder"
    if files:
        return f"found {files} takes, but none of speech with both picture and sound (names beginning 01-01-)"
    if any(root.glob("Actor_*/*.wav")):
        return "found sound alone: the videos are the downloads Video_Speech_Actor_*.zip"
    if any(root.glob("[0-9][0-9]-*.mp4")):
        return "found takes directly: give the folder that holds the actors' folders"
    return "found no such files"

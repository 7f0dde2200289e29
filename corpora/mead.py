"""MEAD as published (Wang et al. 2020): actors speak with eight emotions at three intensities, filmed from seven sides.

ROOT/M003/video/front/angry/level_1/001.mp4    pictures (actors M... and W...; seven views)
ROOT/M003/audio/angry/level_1/001.m4a          sound; the videos' own is used where this is missing
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from corpora.splits import split_of_speaker
from corpora.video_corpus import LayoutError, VideoItem, slug

CORPUS = "mead"
LICENCE = "MEAD: non-commercial research only"
VIEWS = ("front", "left_30", "left_60", "right_30", "right_60", "top", "down")
EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
VAL_SHARE = TEST_SHARE = 0.1
_LAYOUT = "ROOT/M003/video/front/angry/level_1/001.mp4 (and sound in ROOT/M003/audio/angry/level_1/001.m4a)"


def list_mead(root: str | Path, views: Sequence[str] = ("front",)) -> list[VideoItem]:
    """Every clip of the given `views` below `root`, in order of path.

    `split` is by actor (80/10/10 by name). `extra["adaptation_split"]` is by sentence, the same for all actors, emotions and levels, for
    adapting to an actor and testing on other sentences (adamesh.md 1.3). `intensity` is the level, 0 for neutral. Raises `LayoutError`
    where nothing matches, for a view that is not one of MEAD's, and for an emotion or level that is not.
    """
    root = Path(root)
    for view in views:
        if view not in VIEWS:
            raise LayoutError(f"MEAD has no view {view!r}; expected one of {', '.join(VIEWS)}")
    items = [
        _item(root, path) for view in views for path in sorted(root.glob(f"[MW][0-9]*/video/{view}/*/level_*/*.mp4"))
    ]
    if not items:
        raise LayoutError(f"{root} is not laid out as MEAD: expected {_LAYOUT}; {_hint(root)}")
    return items


def adaptation_split(sentence: int) -> str:
    """`adapt` (seven of ten sentences), `val` (one) or `heldout` (two) by the sentence's number."""
    return {9: "val", 0: "heldout", 5: "heldout"}.get(sentence % 10, "adapt")


def _item(root: Path, path: Path) -> VideoItem:
    actor, _, view, emotion, level, _ = path.relative_to(root).parts
    number, intensity = path.stem, level.removeprefix("level_")
    if emotion not in EMOTIONS or intensity not in ("1", "2", "3") or not number.isdigit():
        raise LayoutError(
            f"{path} is not named as in MEAD: expected {_LAYOUT}, emotions {', '.join(EMOTIONS)}, levels 1 to 3"
        )
    sound = root / actor / "audio" / emotion / level / f"{number}.m4a"
    name = f"{actor}_{view}_{emotion}_{level}_{number}"
    return VideoItem(
        path=path,
        audio_path=sound if sound.is_file() else None,
        speaker=actor,
        source=name,
        key=slug(name),
        emotion=emotion,
        intensity=0 if emotion == "neutral" else int(intensity),
        split=split_of_speaker(actor, val_share=VAL_SHARE, test_share=TEST_SHARE),
        language="en",
        licence=LICENCE,
        extra={"sentence": number, "view": view, "adaptation_split": adaptation_split(int(number))},
    )


def _hint(root: Path) -> str:
    if not root.is_dir():
        return f"{root} is not a folder"
    if any(root.glob("video/*/*/level_*/*.mp4")):
        return "this is the folder of one actor: give the folder that holds the actors' folders"
    if any(root.glob("[MW][0-9]*/front/*/level_*/*.mp4")):
        return "the level 'video' is missing between actor and view"
    if any(root.glob("[MW][0-9]*/video.tar")):
        return "found archives: unpack each actor's video.tar and audio.tar in place"
    return "found no such files"

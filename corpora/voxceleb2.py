"""VoxCeleb2 as published (Chung, Nagrani and Zisserman 2018): short clips of celebrities speaking, cut from videos in the wild.

ROOT/dev/mp4/id00012/21Uxsk56VDQ/00001.mp4     the pictures, often without sound
ROOT/dev/aac/id00012/21Uxsk56VDQ/00001.m4a     the sound, where it is in files of its own
ROOT/test/mp4/..., ROOT/test/aac/...           the official test speakers
ROOT/vox2_meta.csv                             optional: gender, VGGFace2 identity and official set of each speaker
"""

from __future__ import annotations

import csv
from pathlib import Path

from corpora.splits import split_of_speaker
from corpora.video_corpus import LayoutError, VideoItem, slug

CORPUS = "voxceleb2"
LICENCE = "VoxCeleb2: annotations CC BY 4.0, videos belong to their owners"
META_NAME = "vox2_meta.csv"
# Share of the official development speakers (5,994) held out for validation.
VAL_SHARE = 0.02
_LAYOUT = (
    "ROOT/dev/mp4/id00012/<video>/00001.mp4 (and ROOT/test/mp4/...; sound in ROOT/dev/aac/id00012/<video>/00001.m4a)"
)


def list_voxceleb2(root: str | Path) -> list[VideoItem]:
    """Every clip below `root`, in order of path. `test` is the official test set, `val` a fixed 2 % of the development speakers.

    `source` is the video on YouTube that a clip was cut from; sound is taken from `aac` where a file is there. Raises `LayoutError`.
    """
    root = Path(root)
    about = _read_meta(root / META_NAME)
    items = [
        _item(root, official, path, about)
        for official in ("dev", "test")
        for path in sorted((root / official / "mp4").glob("id*/*/*.mp4"))
    ]
    if not items:
        raise LayoutError(f"{root} is not laid out as VoxCeleb2: expected {_LAYOUT}; {_hint(root)}")
    return items


def _item(root: Path, official: str, path: Path, about: dict[str, dict[str, str]]) -> VideoItem:
    speaker, video = path.parts[-3], path.parts[-2]
    known = about.get(speaker, {})
    if known.get("set", official) != official:
        raise LayoutError(
            f"{path} lies in {official!r}, but {META_NAME} puts {speaker} into {known['set']!r}; move the speaker's folder"
        )
    sound = root / official / "aac" / speaker / video / f"{path.stem}.m4a"
    val = split_of_speaker(speaker, val_share=VAL_SHARE, test_share=0.0)
    return VideoItem(
        path=path,
        audio_path=sound if sound.is_file() else None,
        speaker=speaker,
        source=video,
        key=slug(f"{speaker}_{video}_{path.stem}"),
        split="test" if official == "test" else val,
        licence=LICENCE,
        extra={key: known[key] for key in ("gender", "vggface2_id") if key in known} | {"official_set": official},
    )


def _read_meta(path: Path) -> dict[str, dict[str, str]]:
    """Rows of vox2_meta.csv by speaker; empty where there is no such file."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = csv.reader(lines, delimiter="\t" if lines and "\t" in lines[0] else ",")
    header = [name.strip().lower() for name in next(rows, [])]
    if header[:1] != ["voxceleb2 id"]:
        raise LayoutError(
            f"{path} begins with column {header[:1]}; expected the official 'VoxCeleb2 ID, VGGFace2 ID, Gender, Set'"
        )
    names = [{"vggface2 id": "vggface2_id"}.get(name, name) for name in header]
    return {row[0].strip(): dict(zip(names, (value.strip() for value in row), strict=False)) for row in rows if row}


def _hint(root: Path) -> str:
    if not root.is_dir():
        return f"{root} is not a folder"
    if any((root / "mp4").glob("id*/*/*.mp4")):
        return "found mp4/ directly: give a folder that holds it as dev/mp4 or test/mp4"
    if any(root.glob("id*/*/*.mp4")):
        return "found speakers directly: give a folder that holds them as dev/mp4/id... or test/mp4/id..."
    if any(root.glob("*/aac")):
        return "found sound (aac) alone: the videos (mp4) are a download of their own"
    return "found no such files"

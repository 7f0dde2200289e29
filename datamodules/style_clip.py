"""A style clip by its name on the command line: a video, a motion file, or a clip of a prepared corpus."""

from __future__ import annotations

from pathlib import Path

from corpora.clip import ClipError, SpeechClip
from corpora.tracker_model import find_tracker_model
from corpora.video_corpus import TrackingOptions, VideoItem, prepare_video
from datamodules.shard_index import ShardIndex
from faces.motion import FaceMotion

SHORTEST_STYLE_S = 1.0


def read_style_clip(source: str, tracker_model: str | None = None) -> FaceMotion:
    """Motion of `source`: a video, which is tracked, a motion `.npz`, or `FOLDER#KEY`.

    Raises ValueError for a file that cannot be read or used, an unknown key, and less than a second: mean and spread of a few frames are no style.
    """
    if is_prepared(source):
        motion = prepared_clip(source).motion
    elif Path(source).suffix == ".npz":
        motion = FaceMotion.load(Path(source))
    else:
        motion = _track(Path(source), tracker_model)
    if motion.duration < SHORTEST_STYLE_S:
        raise ClipError(
            f"the style clip {source} lasts {motion.duration:.2f} s; at least {SHORTEST_STYLE_S:g} s are needed, better ten"
        )
    return motion


def split_reference(source: str) -> tuple[str, str]:
    """(folder, key or speaker) of `FOLDER#NAME`; (source, "") for a file, whatever its name holds."""
    if "#" not in source or Path(source).exists():
        return source, ""
    folder, _, name = source.rpartition("#")
    return folder, name


def is_prepared(source: str) -> bool:
    """Whether `source` names a clip of a prepared corpus and no file."""
    return bool(split_reference(source)[1])


def prepared_clip(source: str) -> SpeechClip:
    """The clip `FOLDER#KEY` of a prepared corpus."""
    folder, key = split_reference(source)
    index = ShardIndex(folder)
    keys = [entry.key for entry in index.entries]
    if key not in keys:
        raise ValueError(f"no clip {key!r} in {folder}; it holds {len(keys)} clips, for example {', '.join(keys[:5])}")
    return index.read(keys.index(key)).clip


def _track(video: Path, tracker_model: str | None) -> FaceMotion:
    """The longest stretch of a video that would be good enough to train on."""
    if not video.is_file():
        raise ClipError(
            f"the style clip {video} does not exist; give a video, a motion .npz, or FOLDER#KEY of a corpus"
        )
    item = VideoItem(path=video, speaker=video.stem, source=video.stem, key="style")
    result = prepare_video(item, "style", TrackingOptions(find_tracker_model(tracker_model), progress=True))
    if not result.clips:
        reasons = "; ".join(f"{drop.reason}: {drop.detail}" for drop in result.dropped)
        raise ClipError(
            f"{video} cannot be a style clip ({reasons}); give a video of one talking face, seen from the front"
        )
    return max((clip.motion for clip in result.clips), key=len)

"""A user's own recordings: files or folders of videos, with the speaker told by their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from corpora.clip import ClipError
from corpora.video import VIDEO_SUFFIXES
from corpora.video_corpus import VideoItem, slug

CORPUS = "videos"
_TRAILING_NUMBER = re.compile(r"[_-]\d+$")


def list_own_videos(paths: Sequence[str | Path], speaker_from: str = "auto") -> list[VideoItem]:
    """Every video among `paths` (files, or folders searched to any depth), sorted by path; hidden files are left out.

    The speaker is, by `speaker_from`:

    * `auto`: the folder's name where a video lies in a subfolder of a given folder, else as `stem-prefix`;
    * `parent`: the name of the folder that holds the file;
    * `stem-prefix`: the file's name without suffix and without a trailing `_NUMBER` (obama_1 -> obama, grid_s1_001 -> grid_s1);
    * else a regular expression searched in the path below the given folder; its group `speaker`, or first group, is the name.

    Two files may share a name in different folders. Raises `ClipError` for a path that is not there, a folder without videos, an
    expression that is wrong or does not match.
    """
    found: dict[Path, Path] = {}
    for given in map(Path, paths):
        found |= {path: base for path, base in _videos_below(given) if path not in found}
    names = {path: path.relative_to(base) for path, base in found.items()}
    keys = {path: slug(name.with_suffix("").as_posix()) for path, name in names.items()}
    counts = Counter(keys.values())
    items = []
    for path, base in found.items():
        # Names that differ only in their suffix keep it; whatever still clashes is refused by video_jobs.
        key = keys[path] if counts[keys[path]] == 1 else slug(names[path].as_posix())
        items.append(VideoItem(path, _speaker(path, base, speaker_from), source=path.stem, key=key))
    return sorted(items, key=lambda item: str(item.path))


def _videos_below(given: Path) -> Iterable[tuple[Path, Path]]:
    """(video, folder that it is named from) for a file or a folder."""
    if given.is_file():
        return [(given, given.parent)]
    if not given.is_dir():
        raise ClipError(f"{given} does not exist; give video files or a folder that holds some")
    videos = [
        (path, given)
        for path in sorted(given.rglob("*"))
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not _hidden(path, given)
    ]
    if not videos:
        raise ClipError(f"{given} holds no videos; expected files ending in {' '.join(VIDEO_SUFFIXES)}")
    return videos


def _hidden(path: Path, base: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(base).parts)


def _speaker(path: Path, base: Path, rule: str) -> str:
    below = path.relative_to(base)
    if rule == "parent" or (rule == "auto" and len(below.parts) > 1):
        return path.absolute().parent.name or slug(path.stem)
    if rule in ("auto", "stem-prefix"):
        return _TRAILING_NUMBER.sub("", path.stem) or path.stem
    try:
        match = re.search(rule, below.as_posix())
    except re.error as error:
        raise ClipError(f"--speaker-from {rule!r} is not a regular expression ({error})") from error
    if match is None or (not match.groups() and "speaker" not in match.groupdict()):
        raise ClipError(
            f"--speaker-from {rule!r} finds no speaker in {below.as_posix()!r}; it needs a group, such as '([a-z]+)_clip'"
        )
    speaker = match.groupdict().get("speaker") or match.group(1)
    if not speaker:
        raise ClipError(f"--speaker-from {rule!r} gives an empty speaker for {below.as_posix()!r}")
    return speaker

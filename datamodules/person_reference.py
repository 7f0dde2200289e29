"""About ten seconds of one person, from a raw video or a prepared corpus: what a network is adapted on."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import numpy as np

from corpora.clip import ClipMeta, SpeechClip
from corpora.face_track import FaceTrack
from corpora.tracker import track_pictures
from corpora.tracker_model import find_tracker_model
from corpora.tracking_progress import shown
from corpora.video import VIDEO_SUFFIXES, probe_video, read_pictures
from corpora.video_corpus import TrackingOptions, VideoItem, clips_from_track, slug
from datamodules.sample import Sample
from datamodules.shard_index import ShardIndex
from faces.motion import FaceMotion
from speech.audio import MOTION_FPS, SAMPLES_PER_FRAME, SILENCE_DBFS, loudest_level_dbfs, read_audio

SHORTEST_S = 2.0
# Shorter ends of a piece teach nothing, as their context is mostly padding, and would weigh as much as whole pieces.
SHORTEST_PIECE = 10
# Tracking begins late where a face is found late; without a margin the wanted seconds would not be reached.
TRACKING_MARGIN_S = 1.0


class PersonReferenceError(ValueError):
    """A recording cannot be adapted to; the message says which, why and what to give instead."""


@dataclass(frozen=True, eq=False)
class PersonReference:
    """`pieces`: consecutive stretches of speech of `person`, together at most the seconds asked for. `rest`: what is left of the last of these clips, None
    for less than a second. `others`: sample numbers of the person's further clips in `index`, in the order of their keys, of which no frame is in
    `pieces`; empty for a raw video, of which no more is read than is asked for.
    """

    person: str
    pieces: list[Sample]
    others: list[int] = field(default_factory=list)
    index: ShardIndex | None = None
    rest: Sample | None = None

    @property
    def num_frames(self) -> int:
        return sum(len(piece.clip.motion) for piece in self.pieces)

    @property
    def motion(self) -> FaceMotion:
        return self.pieces[0].clip.motion

    @property
    def level_dbfs(self) -> float:
        """Of the loudest 100 ms; under `SILENCE_DBFS` nobody speaks."""
        return loudest_level_dbfs(np.concatenate([piece.clip.audio for piece in self.pieces]))


def read_person(
    root: str,
    person: str = "",
    seconds: float = 10.0,
    tracker_model: str | None = None,
    emotion: str = "",
    other_emotion: str = "",
    silent: bool = False,
) -> PersonReference:
    """The first `seconds` of a person.

    `root` is a video file, which is tracked, or the folder of a prepared corpus; there `person` is the key of a clip, or the name of
    a speaker, whose clips are then taken in the order of their keys: all of them, or those spoken in `emotion`. `others` are the person's clips in
    `other_emotion`; without one, those in an emotion and intensity of the pieces if there are any such, else all. Raises
    `PersonReferenceError` for less than 2 s, silence, a video without a face that can be followed, an unknown key or speaker (with the nearest names), and
    an emotion in which the person has no clips, or asked of a video. With `silent`, people who do not speak are taken too, and `root` may be a
    motion `.npz`.
    """
    if not SHORTEST_S <= seconds < float("inf"):
        raise PersonReferenceError(f"{seconds:g} s of reference were asked for; at least {SHORTEST_S:g} s are needed")
    path = Path(root)
    if path.suffix.lower() in (*VIDEO_SUFFIXES, ".npz") and not path.exists():
        raise PersonReferenceError(f"{root} does not exist; give a video, or FOLDER#SPEAKER of a prepared corpus")
    if silent and path.suffix == ".npz":
        found = _from_motion(path, person, seconds)
    elif path.suffix.lower() in VIDEO_SUFFIXES or path.is_file():
        if emotion or other_emotion:
            raise PersonReferenceError(f"{root} is a video, of which no emotion is known; leave the emotions empty")
        found = _from_video(path, person, seconds, tracker_model, silent)
    else:
        found = _from_corpus(root, person, seconds, emotion, other_emotion)
    name = root if not person else f"{root}#{person}"
    if found.num_frames < SHORTEST_S * MOTION_FPS:
        raise PersonReferenceError(
            f"{name} has {found.num_frames / MOTION_FPS:.2f} s that can be used; at least {SHORTEST_S:g} s are needed, give a longer recording"
        )
    level = found.level_dbfs
    if level < SILENCE_DBFS and not silent:
        raise PersonReferenceError(
            f"{name} is silent (nothing above {level:.0f} dB of full scale); give a recording with the person's voice"
        )
    return found


def cut_sample(sample: Sample, start: int, stop: int) -> Sample:
    """Motion frames `start : stop` of a sample with its sound and what is cached beside it."""
    clip, total = sample.clip, len(sample.clip.motion)

    def cut(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[start * len(values) // total : stop * len(values) // total]

    audio = clip.audio[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
    part = SpeechClip(clip.key, audio, clip.motion[start:stop], clip.meta)
    return Sample(part, cut(sample.units), cut(sample.features))


def _from_corpus(root: str, person: str, seconds: float, emotion: str, other_emotion: str) -> PersonReference:
    index = ShardIndex(root)
    keys, speakers = [entry.key for entry in index.entries], sorted({entry.speaker for entry in index.entries})
    if person not in keys and person not in speakers:
        near = difflib.get_close_matches(person, speakers + keys, n=3, cutoff=0.3) or speakers[:3]
        raise PersonReferenceError(
            f"{root} has neither a clip nor a speaker {person!r}; of its {len(keys)} clips and {len(speakers)} speakers the nearest are {', '.join(near)}"
        )
    speaker = index.entries[keys.index(person)].speaker if person in keys else person
    own = sorted((i for i, e in enumerate(index.entries) if e.speaker == speaker), key=keys.__getitem__)

    def spoken_in(wanted: str, numbers: list[int]) -> list[int]:
        found = [i for i in numbers if index.entries[i].emotion == wanted]
        if not found:
            there = ", ".join(sorted({index.entries[i].emotion for i in own}))
            raise PersonReferenceError(
                f"{root}#{person} has no other clip in the emotion {wanted!r}; {speaker}'s are {there}"
            )
        return found

    chosen = [keys.index(person)] if person in keys else own
    if emotion:
        chosen = spoken_in(emotion, chosen)
    used = set()

    def read() -> Iterator[Sample]:
        for i in chosen:
            used.add(i)
            yield index.read(i)

    pieces, rest = _first_frames(read(), seconds)
    unused = [i for i in own if i not in used]
    if other_emotion:
        return PersonReference(speaker, pieces, spoken_in(other_emotion, unused), index)
    feelings = {(index.entries[i].emotion, index.entries[i].intensity) for i in used}
    alike = [i for i in unused if (index.entries[i].emotion, index.entries[i].intensity) in feelings]
    return PersonReference(speaker, pieces, alike or unused, index, rest)


def _from_motion(path: Path, person: str, seconds: float) -> PersonReference:
    """A motion without sound."""
    motion = FaceMotion.load(path).resample(MOTION_FPS)
    meta = ClipMeta(speaker=person or path.stem, source=path.stem, corpus="reference")
    clip = SpeechClip(slug(path.stem), np.zeros(len(motion) * SAMPLES_PER_FRAME, np.float32), motion, meta)
    return PersonReference(meta.speaker, _first_frames([Sample(clip)], seconds)[0])


def _from_video(
    path: Path, person: str, seconds: float, tracker_model: str | None, silent: bool = False
) -> PersonReference:
    """Only as much of the video as is needed is decoded and tracked."""
    model = find_tracker_model(tracker_model)
    end_s = seconds + TRACKING_MARGIN_S
    samples = int(end_s * MOTION_FPS) * SAMPLES_PER_FRAME
    without_sound = silent and path.is_file() and not probe_video(path).has_sound
    audio = np.zeros(samples, np.float32) if without_sound else read_audio(path)[:samples]
    track = _tracked(path, path.stat().st_mtime_ns, end_s, model)
    item = VideoItem(path=path, speaker=person or path.stem, source=path.stem, key=slug(path.stem))
    result = clips_from_track(item, "reference", TrackingOptions(model=model, keep_silent=silent), audio, track)
    if not result.clips:
        reasons = "; ".join(f"{drop.reason}: {drop.detail}" for drop in result.dropped) or "no face was found"
        raise PersonReferenceError(
            f"{path} cannot be adapted to ({reasons}); give a video of one talking face, seen from the front, with sound"
        )
    return PersonReference(item.speaker, _first_frames([Sample(clip) for clip in result.clips], seconds)[0])


@functools.lru_cache(maxsize=1)
def _tracked(path: Path, modified_ns: int, end_s: float, model: Path) -> FaceTrack:
    """The track of a video's first seconds; both halves of a persona read the same, and tracking takes longer than all else before training."""
    length_s = probe_video(path).duration_s
    wanted = takewhile(lambda picture: picture.time_s < end_s, read_pictures(path))
    return track_pictures(shown(wanted, path, min(end_s, length_s or end_s)), model)


def _first_frames(samples: Iterable[Sample], seconds: float) -> tuple[list[Sample], Sample | None]:
    """The first `seconds` of samples in their order, and what is left of the last one that was begun, None for less than a second."""
    left, pieces, rest = round(seconds * MOTION_FPS), [], None
    for sample in samples:
        total = len(sample.clip.motion)
        stop = min(left, total)
        pieces.append(cut_sample(sample, 0, stop))
        rest = cut_sample(sample, stop, total) if total - stop >= MOTION_FPS else None
        left -= stop
        if left < SHORTEST_PIECE:
            break
    return pieces, rest

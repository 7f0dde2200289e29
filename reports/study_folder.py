"""A user study from runs: videos without names, one page that works without a network, and the key that stays at home."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from faces.motion import FaceMotion
from faces.video import render_motion
from reports.errors import ReportError
from reports.motion_files import is_motion_folder
from reports.pose_scoring import is_pose_run
from reports.scoring import TRUTH, Predicted
from reports.study_heads import HeadSubject, pose_subject
from reports.study_plan import CHOICE, LEAST_CATCHES, QUESTIONS, STILL, Question, Section, Trial, make_sheets
from reports.subjects import Subject, motions_subject, run_subject
from runtime.run_folder import write_atomically

FORMAT = "study/1"
KEY, PAGE, MEDIA, ANSWERS = "key.json", "page", "media", "answers"
TEMPLATES = Path(__file__).parent / "page"
FPS = 25
SHORTEST_FRAMES = 50
# What a trial takes beyond its videos, for the time that the page announces.
SECONDS_TO_ANSWER = 6
MOST_SUBJECTS = 6
# Why a question cannot be asked of some methods.
LACKING = {
    "lips": "no method gives a face (expression runs and motion files do)",
    "pose": "no method moves the head (pose runs and motion files do)",
    "richness": "it compares two methods that give a face",
}


@dataclass(frozen=True)
class StudyOptions:
    """`clips` of the split, at least two seconds long, cut after `max_seconds`; at least `catches` trials with a known answer for each question, and
    `LEAST_CATCHES` over all of them."""

    split: str = "test"
    clips: int = 10
    raters: int = 24
    catches: int = 3
    seed: int = 0
    max_seconds: float = 8.0
    size: int = 400
    questions: Sequence[str] = field(default_factory=tuple)


def make_study(folders: Sequence[Path], out: Path, options: StudyOptions, command: str = "") -> dict[str, Any]:
    """Write `out/page` (to be given to raters), `out/answers` (to be filled) and `out/key.json` (to be kept); returns the key.

    `folders` are runs and folders of motion files for the split of the runs' data; in each question the first method that it can be asked of is what the
    others are compared with. In ratings the recorded motion is among the methods. Questions about lips and expression show every head still, so
    that its movement decides nothing, and take no pose runs; the question about the head takes methods that move one, all with the recorded face. Whole or not at all. Raises ReportError.
    """
    if out.exists():
        raise ReportError(f"{out} is there already; a study is never written over: choose another folder")
    if min(options.clips, options.raters) < 1 or options.max_seconds * FPS < 1:
        raise ReportError(
            f"received {options.clips} clips, {options.raters} raters and {options.max_seconds:g} s; expected one or more of each, and at least a frame"
        )
    subjects = _subjects(folders, options.split)
    data, face = subjects[0].data, subjects[0].face
    asked = _asked(subjects, options)
    keys, catch_keys = _choose_clips(data, options, max(options.catches, math.ceil(LEAST_CATCHES / len(asked))))
    sections = [_section(QUESTIONS[name], subjects, keys, catch_keys) for name in asked]
    sheets = make_sheets(sections, options.raters, options.seed)
    shown = {(trial.question, trial.clip, method) for sheet in sheets for trial in sheet for method in trial.shown}
    videos = {_code(options.seed, *each): each for each in sorted(shown)}
    partial = out.with_name(out.name + ".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / PAGE / MEDIA).mkdir(parents=True)
        (partial / ANSWERS).mkdir()
        seconds = _render(subjects, videos, face, partial / PAGE / MEDIA, options)
        key = _key(subjects, sections, sheets, options, seconds, command)
        write_atomically(partial / PAGE / "index.html", study_page(key))
        write_atomically(partial / KEY, json.dumps(key, indent=1) + "\n")
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return key


def study_page(key: dict[str, Any]) -> str:
    """The page for raters: it knows sheets and codes of videos, not which method is behind a code."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    content = {
        "study": key["study"],
        "questions": {name: asdict(QUESTIONS[name]) for name in key["questions"]},
        "sheets": key["sheets"],
    }
    return environment.get_template("study.html.j2").render(
        raters=len(key["sheets"]),
        trials=len(key["sheets"][0]),
        minutes=key["minutes"],
        study=Markup(json.dumps(content).replace("<", "\\u003c")),
        style=Markup((TEMPLATES / "study.css").read_text()),
        script=Markup((TEMPLATES / "study.js").read_text()),
    )


def _shows(subject: Subject) -> str:
    index = subject.data.index
    return f"{subject.name} has {index.manifest.corpus} (data {index.fingerprint[:8]}) and the {subject.face.name} face"


def _subjects(folders: Sequence[Path], split: str) -> list[Subject]:
    runs = [folder for folder in folders if not is_motion_folder(folder)]
    if not runs or not 1 <= len(folders) <= MOST_SUBJECTS:
        raise ReportError(
            f"received {len(folders)} folders, {len(runs)} of them runs; a study takes 1 to {MOST_SUBJECTS}, at least one a run, whose data and face are used"
        )
    of_faces = [folder for folder in runs if not is_pose_run(folder)]
    found: dict[Path, Subject] = {folder: run_subject(folder) for folder in of_faces}
    face = found[of_faces[0]].face if of_faces else None
    found |= {folder: pose_subject(folder, split, face) for folder in runs if folder not in found}
    # Motion files are of the data and on the face of a run; a pose run names no face.
    like, face_name = (of_faces[0], "") if of_faces else (runs[0], found[runs[0]].face.name)
    found |= {
        folder: motions_subject(folder, split, like=like, face_name=face_name)
        for folder in folders
        if folder not in found
    }
    subjects = [found[folder] for folder in folders]
    first = subjects[0]
    for other in subjects[1:]:
        if other.face.name != first.face.name or other.data.index.fingerprint != first.data.index.fingerprint:
            raise ReportError(f"{_shows(first)}, {_shows(other)}: a study shows all methods on the same clips and face")
    names = [subject.name for subject in subjects]
    if len(set(names)) < len(names):
        raise ReportError(f"two of the folders have one name ({', '.join(names)}); rename one")
    return subjects


def _choose_clips(data: Any, options: StudyOptions, catches: int) -> tuple[list[str], list[str]]:
    """Clips of the study and of the `catches` of a question: as many speakers as there are, drawn by the seed; catches have clips of their own where possible."""
    entries = [data.index.entries[i] for i in data.indices(options.split)]
    usable = [entry for entry in entries if entry.num_frames >= SHORTEST_FRAMES]
    if len(usable) < options.clips:
        raise ReportError(
            f"the split {options.split} has {len(usable)} clips of {SHORTEST_FRAMES / FPS:g} s or more, {options.clips} were asked for; give a smaller --clips"
        )
    generator = np.random.default_rng(options.seed)
    of_speaker: dict[str, list[str]] = {}
    for index in generator.permutation(len(usable)).tolist():
        of_speaker.setdefault(usable[index].speaker, []).append(usable[index].key)
    turns = sorted(
        (place, order, key) for order, keys in enumerate(of_speaker.values()) for place, key in enumerate(keys)
    )
    drawn = [key for _, _, key in turns]
    others = drawn[options.clips :] or drawn
    return drawn[: options.clips], [others[i % len(others)] for i in range(catches)]


def _asked(subjects: Sequence[Subject], options: StudyOptions) -> list[str]:
    """The questions that were chosen, or all that these methods allow."""
    possible = {
        name: len(_shown_in(name, subjects)) > (question.kind == CHOICE) for name, question in QUESTIONS.items()
    }
    wanted = list(dict.fromkeys(options.questions)) or [name for name in QUESTIONS if possible[name]]
    for name in wanted:
        if name not in QUESTIONS:
            raise ReportError(f"there is no question {name!r}; there are {', '.join(QUESTIONS)}")
        if not possible[name]:
            raise ReportError(f"the question {name!r} cannot be asked: {LACKING[name]}")
    return wanted


def _shown_in(question: str, subjects: Sequence[Subject]) -> list[Subject]:
    """The methods that a question can be asked of; the first of them is what the others are compared with."""
    return [s for s in subjects if (s.gives_head if question == "pose" else not isinstance(s, HeadSubject))]


def _section(question: Question, subjects: Sequence[Subject], keys: list[str], catch_keys: list[str]) -> Section:
    names = [subject.name for subject in _shown_in(question.name, subjects)]
    alternatives: tuple[tuple[str, ...], ...]
    caught: tuple[str, ...]
    if question.kind == CHOICE:
        alternatives, caught = tuple((names[0], other) for other in names[1:]), (TRUTH, STILL)
    else:
        alternatives, caught = tuple((method,) for method in (*names, TRUTH)), (STILL,)
    return Section(question, alternatives, tuple(keys), tuple((key, caught) for key in catch_keys))


def _code(seed: int, question: str, clip: str, method: str) -> str:
    """The name of a video, which tells nothing. Questions that show the same picture share it."""
    variant = "pose" if question == "pose" else "face"
    return hashlib.sha256(f"{seed}/{variant}/{clip}/{method}".encode()).hexdigest()[:16]


def _render(
    subjects: Sequence[Subject],
    videos: dict[str, tuple[str, str, str]],
    face: Any,
    folder: Path,
    options: StudyOptions,
) -> dict[str, float]:
    """Render every video; returns the seconds of each code."""
    methods: dict[str, Callable[[Any], Predicted]] = {s.name: s.methods["model"] for s in subjects}
    methods[TRUTH] = lambda batch: Predicted(batch.expression, batch.jaw, batch.head)
    seconds = {}
    for batch in subjects[0].data.evaluation_dataloader(options.split):
        for code, (question, clip, method) in videos.items():
            if clip != batch.keys[0]:
                continue
            frames = min(int(batch.num_frames[0]), int(options.max_seconds * FPS))
            with torch.no_grad():
                predicted = methods[TRUTH if method == STILL else method](batch)
            if question == "pose":  # the head alone is asked about: everybody has the recorded face
                predicted = predicted._replace(expression=batch.expression, jaw=batch.jaw)
            motion = _shown_motion(predicted, frames, question, method == STILL, face.space)
            audio = batch.audio[0, : frames * 640].cpu().numpy()
            render_motion(motion, face, folder / f"{code}.mp4", audio=audio, size=options.size)
            seconds[code] = frames / FPS
            _tell(len(seconds), len(videos))
    return seconds


def _shown_motion(predicted: Predicted, frames: int, question: str, still: bool, space: str) -> FaceMotion:
    """Heads move in the question about heads alone; there a still head speaks, elsewhere a still face says nothing."""
    expression, jaw = (part[0, :frames].float().cpu().numpy() for part in predicted[:2])
    head = np.zeros((frames, 3), np.float32)
    if question == "pose" and predicted.head is not None:
        head = predicted.head[0, :frames].float().cpu().numpy()
    if still and question == "pose":
        head = np.repeat(head.mean(0, keepdims=True), frames, 0)
    elif still:
        expression, jaw = (np.repeat(part.mean(0, keepdims=True), frames, 0) for part in (expression, jaw))
    return FaceMotion(expression=expression, jaw=jaw, head=head, space=space)


def _key(
    subjects: Sequence[Subject],
    sections: Sequence[Section],
    sheets: list[list[Trial]],
    options: StudyOptions,
    seconds: dict[str, float],
    command: str,
) -> dict[str, Any]:
    data = subjects[0].data
    speakers = {entry.key: entry.speaker for entry in data.index.entries}
    codes = {
        _code(options.seed, t.question, t.clip, m): {"clip": t.clip, "speaker": speakers[t.clip], "method": m}
        for sheet in sheets
        for t in sheet
        for m in t.shown
    }
    rows = [[[t.question, [_code(options.seed, t.question, t.clip, m) for m in t.shown]] for t in s] for s in sheets]
    watched = [sum(sum(seconds[code] for code in codes) + SECONDS_TO_ANSWER for _, codes in sheet) for sheet in rows]
    key = {
        "format": FORMAT,
        "command": command,
        "split": options.split,
        "seed": options.seed,
        "face": subjects[0].face.name,
        "synthetic": bool(data.synthetic),
        "corpus": data.index.manifest.corpus,
        "methods": {subject.name: subject.facts for subject in subjects},
        "baseline": subjects[0].name,
        "baselines": {
            section.question.name: _shown_in(section.question.name, subjects)[0].name for section in sections
        },
        "questions": [section.question.name for section in sections],
        "minutes": math.ceil(max(watched) / 60),
        "videos": codes,
        "sheets": rows,
    }
    return {"study": hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]} | key


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rrendering {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

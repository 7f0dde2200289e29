"""A study without videos, and raters with a known taste who fill it in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from reports.scoring import TRUTH
from reports.study_answers import ANSWERS_FORMAT
from reports.study_folder import FORMAT, KEY
from reports.study_plan import QUESTIONS, STILL, Section, make_sheets

OURS, THEIRS = "ours", "theirs"
CLIPS = tuple(f"clip{i}" for i in range(8))


def make_sections(methods: tuple[str, ...] = (OURS, THEIRS), clips: tuple[str, ...] = CLIPS) -> list[Section]:
    rated = tuple((method,) for method in (*methods, TRUTH))
    pairs = tuple((methods[0], other) for other in methods[1:])
    catches = ("caught0", "caught1", "caught2")
    return [
        Section(QUESTIONS["lips"], rated, clips, tuple((clip, (STILL,)) for clip in catches)),
        Section(QUESTIONS["richness"], pairs, clips, tuple((clip, (TRUTH, STILL)) for clip in catches)),
    ]


def code(clip: str, method: str) -> str:
    return hashlib.sha256(f"{clip}/{method}".encode()).hexdigest()[:16]


def make_key(raters: int = 12, seed: int = 0) -> dict[str, Any]:
    sheets = make_sheets(make_sections(), raters, seed)
    videos = {
        code(t.clip, m): {"clip": t.clip, "speaker": "s", "method": m}
        for sheet in sheets
        for t in sheet
        for m in t.shown
    }
    rows = [[[t.question, [code(t.clip, m) for m in t.shown]] for t in sheet] for sheet in sheets]
    return {
        "format": FORMAT, "study": "0123456789ab", "baseline": OURS, "questions": ["lips", "richness"], "synthetic": True, "corpus": "made-up",
        "minutes": 3, "methods": {OURS: {}, THEIRS: {}}, "videos": videos, "sheets": rows,
    }  # fmt: skip


def write_key(folder: Path, key: dict[str, Any]) -> Path:
    (folder / "answers").mkdir(parents=True)
    (folder / KEY).write_text(json.dumps(key))
    return folder


def fill_in(
    key: dict[str, Any], rater: int, seed: int, preference: float = 0.5, better_by: float = 0.0, attentive: bool = True
) -> dict[str, Any]:
    """Answers of a rater who chooses ours with probability `preference` and rates it `better_by` points above theirs; the inattentive guess."""
    generator = np.random.default_rng([seed, rater])
    mood = generator.normal(0, 0.4)
    answers = []
    for question, codes in key["sheets"][rater - 1]:
        methods = [key["videos"][c]["method"] for c in codes]
        rows = {"question": question, "shown": codes, "seconds": 5.0, "plays": 1}
        if not attentive:
            answers.append(
                rows | {"answer": int(generator.integers(1, 6)) if len(codes) == 1 else str(generator.choice(codes))}
            )
        elif len(codes) == 1:
            level = {OURS: 3 + better_by, THEIRS: 3.0, TRUTH: 4.5, STILL: 1.0}[methods[0]]
            noise = 0.0 if methods[0] == STILL else mood + generator.normal(0, 0.8)
            answers.append(rows | {"answer": int(np.clip(round(level + noise), 1, 5))})
        elif STILL in methods:
            answers.append(rows | {"answer": codes[methods.index(TRUTH)]})
        else:
            picked = OURS if generator.random() < preference else THEIRS
            answers.append(rows | {"answer": codes[methods.index(picked)]})
    return {"format": ANSWERS_FORMAT, "study": key["study"], "rater": rater, "answers": answers}


def write_answers(folder: Path, answers: dict[str, Any]) -> Path:
    path = folder / "answers" / f"answers-{answers['rater']:03d}.json"
    path.write_text(json.dumps(answers))
    return path

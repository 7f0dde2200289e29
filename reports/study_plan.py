"""What a rater sees and in which order: every clip by every method, balanced over blocks, raters and sides, with catch trials among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# The method of catch trials: a face (for `pose`: a head) that does not move while somebody speaks.
STILL = "still"
# Of one sheet, over all its questions: with fewer a rater who guesses gets through too often.
LEAST_CATCHES = 6
RATING, CHOICE = "rating", "choice"


@dataclass(frozen=True)
class Question:
    """`kind`: a rating of one video from 1 to 5 (`levels`, worst first), or a choice between two."""

    name: str
    kind: str
    title: str
    text: str
    levels: tuple[str, ...] = ()


# The questions of AdaMesh's user study; it describes the ends of the two scales, the levels between are ours.
QUESTIONS = {
    question.name: question
    for question in (
        Question(
            "lips",
            RATING,
            "Lips and speech",
            "How well do the lips fit the speech that you hear? Look at the mouth only.",
            (
                "The lips say nothing of what is heard",
                "Most lip movements are wrong",
                "Some are wrong, the rest fit",
                "Almost all fit",
                "No wrong lip movement, like a real speaker",
            ),
        ),
        Question(
            "pose",
            RATING,
            "Movement of the head",
            "How natural is the movement of the head for what is said? Look at the head only.",
            (
                "The head is frozen or trembles",
                "Mostly unnatural",
                "Natural at times",
                "Mostly natural",
                "Natural, and it goes with the meaning, as on stressed words",
            ),
        ),
        Question(
            "richness",
            CHOICE,
            "Expression",
            "Which of the two faces is the more expressive? Expressive: the cheeks move more, the mouth moves more, an emotion can be seen.",
        ),
    )
}


@dataclass(frozen=True)
class Trial:
    """`shown`: one method for a rating; two for a choice, left first."""

    question: str
    clip: str
    shown: tuple[str, ...]

    @property
    def is_catch(self) -> bool:
        return STILL in self.shown


@dataclass(frozen=True)
class Section:
    """One question: its `alternatives` are single methods, or pairs for a choice; `catches` are (clip, what is shown) with known answers."""

    question: Question
    alternatives: tuple[tuple[str, ...], ...]
    clips: tuple[str, ...]
    catches: tuple[tuple[str, tuple[str, ...]], ...]


def make_sheets(sections: Sequence[Section], raters: int, seed: int) -> list[list[Trial]]:
    """The trials of each rater in order, a function of (sections, seed, rater).

    A rater sees every alternative of every clip once. A section has a block for each alternative; a block shows every clip once, the alternatives
    dealt out over its clips by a Latin square, so that over as many consecutive raters as there are alternatives each comes equally often in each
    block. Sides of a choice: half of a rater's clips of a pair (to within one) have either order, and of two consecutive raters each sees a pair of a
    clip the other way round. Sections take turns in coming first. Catches aside no clip follows itself; no catch comes first in its section or after another.
    """
    rows = []
    for rater in range(raters):
        turn = rater // max(len(section.alternatives) for section in sections) % len(sections)
        ordered = [*sections[turn:], *sections[:turn]]
        rows.append([trial for section in ordered for trial in _section_trials(section, rater, seed)])
    return rows


def _section_trials(section: Section, rater: int, seed: int) -> list[Trial]:
    name, number = section.question.name, len(section.alternatives)
    of_study = _generator(seed, name)
    place = of_study.permutation(len(section.clips))
    ranks = [of_study.permutation(len(section.clips)) for _ in section.alternatives]
    of_rater = _generator(seed, name, rater + 1)
    trials: list[Trial] = []
    for block in range(number):
        order = _order_of_block(len(section.clips), trials[-1].clip if trials else "", section.clips, of_rater)
        for clip in order:
            alternative = int(place[clip] + block + rater) % number
            shown = section.alternatives[alternative]
            turned = len(shown) == 2 and (ranks[alternative][clip] + rater) % 2
            trials.append(Trial(name, section.clips[clip], shown[::-1] if turned else shown))
    return _with_catches(trials, section, rater, of_rater)


def _order_of_block(count: int, before: str, clips: Sequence[str], generator: np.random.Generator) -> list[int]:
    order = generator.permutation(count).tolist()
    if count > 1 and clips[order[0]] == before:
        order[0], order[-1] = order[-1], order[0]
    return order


def _with_catches(trials: list[Trial], section: Section, rater: int, generator: np.random.Generator) -> list[Trial]:
    """Each catch in another gap between trials."""
    gaps = generator.choice(np.arange(1, len(trials) + 1), size=min(len(section.catches), len(trials)), replace=False)
    turns = generator.permutation(len(section.catches))
    found = list(trials)
    for gap, (clip, shown), turn in sorted(
        zip(gaps.tolist(), section.catches, turns.tolist(), strict=False), reverse=True
    ):
        turned = len(shown) == 2 and (turn + rater) % 2
        found.insert(gap, Trial(section.question.name, clip, shown[::-1] if turned else shown))
    return found


def _generator(seed: int, name: str, rater: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, sum(ord(c) << 8 * (i % 4) for i, c in enumerate(name)), rater])

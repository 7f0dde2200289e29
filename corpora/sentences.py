"""English sentences from a small grammar: statements, questions, negations, affirmations and emphasis, several million in all.

Each word knows what a speaker's head may do with it: negation, affirmation, stress (the sentence's main accent) and emphasis (spoken strongly).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from corpora import vocabulary as v

KINDS = ("statement", "question", "negation", "affirmation", "emphasis")
_KIND_SHARES = (0.3, 0.2, 0.2, 0.15, 0.15)
_NEGATIONS = {"no", "not", "never", "nobody", "nothing", "cannot"}
_AFFIRMATIONS = {"yes", "absolutely", "certainly", "exactly", "sure", "indeed", "right"}
_WORD = re.compile(r"(\*{0,2})([A-Za-z'][A-Za-z'-]*)")


@dataclass(frozen=True)
class SentenceWord:
    """A word, its place in the sentence's text, and its tags. `emphasised` words are also `stressed`."""

    text: str
    char_start: int
    negation: bool = False
    affirmation: bool = False
    stressed: bool = False
    emphasised: bool = False

    @property
    def char_end(self) -> int:
        return self.char_start + len(self.text)


@dataclass(frozen=True)
class Sentence:
    """`kind` is one of `KINDS`, or several joined by "+" (see `join_sentences`)."""

    text: str
    kind: str
    words: tuple[SentenceWord, ...]

    @property
    def emphasis(self) -> list[tuple[int, int]]:
        """Character ranges of the emphasised words, as `speech.synthesis.Synthesizer.speak` takes them."""
        return [(word.char_start, word.char_end) for word in self.words if word.emphasised]


def draw_sentences(count: int, seed: int | Sequence[int]) -> list[Sentence]:
    """`count` different sentences, a pure function of the seed; longer draws begin with the shorter ones."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Sentence] = {}
    while len(drawn) < count:
        kind = str(rng.choice(KINDS, p=_KIND_SHARES))
        sentence = parse_marked(_draw_marked(kind, rng), kind)
        drawn.setdefault(sentence.text, sentence)
    return list(drawn.values())


def join_sentences(sentences: Sequence[Sentence]) -> Sentence:
    """Several sentences spoken one after the other as one text."""
    text, words = "", []
    for sentence in sentences:
        offset = len(text) + bool(text)
        text = f"{text} {sentence.text}" if text else sentence.text
        words += [replace(word, char_start=word.char_start + offset) for word in sentence.words]
    return Sentence(text, "+".join(sentence.kind for sentence in sentences), tuple(words))


def parse_marked(marked: str, kind: str = "statement") -> Sentence:
    """A sentence from text in which `*` stands before a stressed and `**` before an emphasised word.

    Negations are known by the word; words of affirmation count as such only in sentences of that kind.
    """
    words: list[SentenceWord] = []
    text, position = "", 0
    for match in _WORD.finditer(marked):
        text += marked[position : match.start()]
        stars, word = match.groups()
        lower = word.lower()
        words.append(
            SentenceWord(
                word,
                len(text),
                negation=lower in _NEGATIONS or lower.endswith("n't"),
                affirmation=kind == "affirmation" and lower in _AFFIRMATIONS,
                stressed=bool(stars),
                emphasised=len(stars) == 2,
            )
        )
        text += word
        position = match.end()
    return Sentence(text + marked[position:], kind, tuple(words))


class _Slots:
    """Draws for the slots of one sentence: one verb and its object, subjects, times and a scene."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.planned = False
        self.verb = v.VERBS[rng.integers(len(v.VERBS))]
        self.object = self.pick(self.verb.objects)
        self.accented_object = _mark_last(self.object, "*")
        scene, states = v.SCENES[rng.integers(len(v.SCENES))]
        self.scene, self.state = scene, _mark_last(self.pick(states), "*")

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self._rng.integers(len(options)))]

    def singular(self) -> str:
        return self.pick(v.SUBJECTS)

    def plural(self) -> str:
        return self.pick(v.PLURALS)

    def anyone(self) -> str:
        return self.pick(v.SUBJECTS + v.PLURALS)

    def past_time(self) -> str:
        return self.pick(v.PAST_TIMES)

    def future_time(self) -> str:
        self.planned = True
        return self.pick(v.FUTURE_TIMES)


def _mark_last(phrase: str, mark: str) -> str:
    head, _, last = phrase.rpartition(" ")
    return f"{head} {mark}{last}".strip()


_Template = Callable[[_Slots], str]

_STATEMENTS: tuple[_Template, ...] = (
    lambda s: f"{s.anyone()} {s.verb.past} {s.accented_object} {s.past_time()}.",
    lambda s: f"{s.anyone()} {s.verb.past} {s.accented_object} {s.past_time()}, {s.pick(v.REASONS)}.",
    lambda s: (
        f"{s.singular()} {s.pick(('will', 'is going to', 'wants to', 'has to'))} {s.verb.base} {s.accented_object} {s.future_time()}."
    ),
    lambda s: (
        f"{s.plural()} {s.pick(('should', 'are going to', 'want to', 'have to'))} {s.verb.base} {s.accented_object} {s.future_time()}."
    ),
    lambda s: f"{s.singular()} {s.verb.present} {s.accented_object} {s.pick(v.HABITS)}.",
    lambda s: f"{s.pick(v.OPENERS)} {s.anyone()} {s.verb.past} {s.accented_object} {s.past_time()}.",
    lambda s: f"{s.scene} was {s.state}, so {s.anyone()} {s.verb.past} {s.object}.",
    lambda s: f"{s.pick(v.OPENERS)} {s.scene} is {s.state}, and {s.plural()} like it here {s.pick(v.PLACES)}.",
)
_QUESTIONS: tuple[_Template, ...] = (
    lambda s: f"did {s.anyone()} {s.verb.base} {s.accented_object} {s.past_time()}?",
    lambda s: f"will {s.anyone()} {s.verb.base} {s.accented_object} {s.future_time()}?",
    lambda s: f"{s.pick(('why', 'when', 'where', 'how'))} did {s.anyone()} {s.verb.base} {s.accented_object}?",
    lambda s: f"have {s.plural()} ever {s.verb.participle} {s.accented_object} {s.pick(v.PLACES)}?",
    lambda s: f"could you please {s.verb.base} {s.accented_object} {s.future_time()}?",
    lambda s: f"who {s.verb.past} {s.accented_object} {s.past_time()}?",
    lambda s: f"is {s.scene} really {s.state}, or should {s.plural()} {s.verb.base} {s.object} first?",
)
_NEGATION_TEMPLATES: tuple[_Template, ...] = (
    lambda s: f"{s.pick(v.NO)}, {s.anyone()} didn't {s.verb.base} {s.accented_object} {s.past_time()}.",
    lambda s: f"{s.singular()} never {s.verb.past} {s.accented_object}, and {s.scene} was not {s.state}.",
    lambda s: f"{s.plural()} have never {s.verb.participle} {s.accented_object} {s.pick(v.PLACES)}.",
    lambda s: f"{s.pick(v.NO)}, {s.scene} is not {s.state} {s.pick(('today', 'this time', 'any more'))}.",
    lambda s: f"nobody {s.verb.past} {s.accented_object} {s.past_time()}.",
    lambda s: (
        f"{s.anyone()} {s.pick(('cannot', 'will not', 'should not', 'could never'))} {s.verb.base} {s.accented_object} {s.future_time()}."
    ),
)
_AFFIRMATION_TEMPLATES: tuple[_Template, ...] = (
    lambda s: f"{s.pick(v.YES)}, {s.anyone()} {s.verb.past} {s.accented_object} {s.past_time()}.",
    lambda s: f"{s.pick(v.YES)}, {s.scene} is {s.state}, and {s.anyone()} {s.verb.past} {s.object}.",
    lambda s: f"{s.pick(v.YES)}, {s.anyone()} will {s.verb.base} {s.accented_object} {s.future_time()}.",
)
_EMPHASES: tuple[_Template, ...] = (
    lambda s: f"it was {_mark_last(s.anyone(), '**')} who {s.verb.past} {s.object} {s.past_time()}.",
    lambda s: (
        f"{s.anyone()} must {s.verb.base} {_mark_last(s.object, '**')} {s.future_time()}, since {s.scene} is {s.state}."
    ),
    lambda s: f"{s.anyone()} **really {s.verb.past} {s.accented_object} {s.past_time()}.",
    lambda s: f"I said that {s.scene} was {s.state.replace('*', '**')}, so {s.anyone()} {s.verb.past} {s.object}.",
    lambda s: f"we **always {s.verb.base} {s.accented_object} {s.pick(v.PLACES)}.",
)
_TEMPLATES = {
    "statement": _STATEMENTS,
    "question": _QUESTIONS,
    "negation": _NEGATION_TEMPLATES,
    "affirmation": _AFFIRMATION_TEMPLATES,
    "emphasis": _EMPHASES,
}


def _draw_marked(kind: str, rng: np.random.Generator) -> str:
    templates = _TEMPLATES[kind]
    while True:
        slots = _Slots(rng)
        marked = templates[int(rng.integers(len(templates)))](slots)
        # Nobody plans to lose a key, and nobody's mother visits herself.
        if not (slots.planned and slots.verb.base in v.INVOLUNTARY) and marked.count(slots.object) < 2:
            break
    first = next(index for index, character in enumerate(marked) if character.isalpha())
    return marked[:first] + marked[first].upper() + marked[first + 1 :]

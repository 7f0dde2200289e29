"""Unlimited speech of many voices and languages with frame-exact phoneme labels, each utterance a pure function of (split, seed, keys).

espeak-ng speaks sentences of the synthetic corpus' grammar and made-up words: these are read by each language's own rules, so that no text
of that language is needed. Voices of one split are in no other; the languages of `NEW_LANGUAGES` are in the test split only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpora.clip import ClipError
from corpora.sentences import draw_sentences
from speech.audio import SAMPLES_PER_FRAME, num_motion_frames
from speech.phonemes import phoneme_labels
from speech.synthesis import Synthesizer

SPEECH_VERSION = "1"

# espeak-ng's variants of a voice, without those with echo or effects. The training split has all of the synthetic corpus.
VARIANTS = {
    "train": (
        *("f1", "f2", "f3", "f4", "f5", "Annie", "Andrea", "steph", "steph2", "shelby", "linda", "belinda", "aunty", "grandma"),
        *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "Mike", "Alex", "Michael", "Gene", "pedro", "grandpa", "Lee", "Marco"),
        *("edward2", "benjamin", "adam", "victor", "max", "robert", "Denis", "Diogo", "Henrique", "Hugo", "Jacky", "Mario"),
        *("Nguyen", "Reed", "david", "ian", "iven", "iven2", "john", "klatt", "klatt2", "klatt3", "klatt4", "klatt5"),
        *("marcelo", "michel", "miguel", "pablo", "rob", "Storm", "announcer", "RicishayMax", "whisper", "croak"),
    ),
    "val": ("anika", "antonio", "gustave", "norbert", "paul", "sandro"),
    "test": ("Alicia", "boris", "caleb", "ed", "kaukovalta", "quincy", "travis", "zac"),
}  # fmt: skip
ENGLISH = ("en-us", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-us-nyc")
LANGUAGES = ("de", "fr", "es", "it", "pt-br", "nl", "sv", "pl", "cs", "ro", "hu", "fi", "tr", "sw", "id")
NEW_LANGUAGES = ("ca", "et", "eu", "sq")

_ENGLISH_SHARE = 0.5
_SENTENCE_SHARE = 0.6
_ONSETS = [
    "p",
    "b",
    "t",
    "d",
    "k",
    "g",
    "m",
    "n",
    "f",
    "v",
    "s",
    "z",
    "l",
    "r",
    "j",
    "w",
    "h",
    "y",
    "sh",
    "ch",
    "th",
    "st",
    "tr",
    "pl",
    "br",
    "kr",
    "sp",
    "gl",
    "fl",
    "sk",
]
_NUCLEI = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "u", "ai", "ei", "ou", "au", "oo", "ee", "ie", "ö", "ü"]
_CODAS = ["n", "m", "s", "t", "k", "l", "r", "p", "d", "f", "ng", "st", "nt"]


@dataclass(frozen=True)
class LabelledSpeech:
    """`audio` float32 [640 * T], 16 kHz; `labels` int64 [2 * T] of `speech.phonemes`; who spoke which language."""

    audio: np.ndarray
    labels: np.ndarray
    voice: str
    language: str
    text: str

    @property
    def num_frames(self) -> int:
        return len(self.audio) // SAMPLES_PER_FRAME


def speak_labelled(
    split: str, generator: np.random.Generator, num_words: int = 16, new_language: bool = False
) -> LabelledSpeech:
    """An utterance of about `num_words` words; everything about it is drawn from the generator. Raises `ClipError` for an unknown split
    or a new language outside of the test split.
    """
    if split not in VARIANTS or (new_language and split != "test"):
        raise ClipError(
            f"split {split!r}, new_language={new_language}; expected {', '.join(VARIANTS)}; new languages in test"
        )
    is_english = not new_language and generator.random() < _ENGLISH_SHARE
    language = str(generator.choice(NEW_LANGUAGES if new_language else ENGLISH if is_english else LANGUAGES))
    variant = str(generator.choice(VARIANTS[split]))
    synthesizer = Synthesizer(
        voice=f"{language}+{variant}",
        rate_wpm=int(generator.integers(110, 250)),
        pitch=int(generator.integers(10, 90)),
        pitch_range=int(generator.integers(15, 90)),
        lead_s=float(generator.uniform(0.05, 0.6)),
        tail_s=float(generator.uniform(0.1, 0.5)),
    )
    text = _text(generator, num_words, grammar=is_english and generator.random() < _SENTENCE_SHARE)
    utterance = synthesizer.speak(text)
    frames = num_motion_frames(len(utterance.audio))
    audio = utterance.audio[: frames * SAMPLES_PER_FRAME]
    return LabelledSpeech(audio, phoneme_labels(utterance.phonemes, frames), variant, language, text)


def _text(generator: np.random.Generator, num_words: int, grammar: bool) -> str:
    sentences: list[str] = []
    while (count := sum(len(sentence.split()) for sentence in sentences)) < num_words:
        if grammar:
            sentences.append(draw_sentences(1, int(generator.integers(2**31)))[0].text)
        else:
            words = [_made_up_word(generator) for _ in range(min(int(generator.integers(2, 9)), num_words - count))]
            sentences.append(" ".join(words) + generator.choice([".", ",", "?"]))
    return " ".join(sentences)


def _made_up_word(generator: np.random.Generator) -> str:
    """One to three syllables of an onset, a nucleus and sometimes a coda."""
    syllables = []
    for _ in range(generator.integers(1, 4)):
        coda = generator.choice(_CODAS) if generator.random() < 0.4 else ""
        syllables.append(f"{generator.choice(_ONSETS)}{generator.choice(_NUCLEI)}{coda}")
    return "".join(syllables)

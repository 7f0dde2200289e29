"""Phoneme classes of any language, by IPA letter, and their labels for each 20 ms of an utterance."""

# ruff: noqa: RUF001

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speech.audio import MOTION_FPS
from speech.synthesis import SILENCE, PhonemeEvent

LABELS_PER_MOTION_FRAME = 2
LABELS_PER_S = MOTION_FPS * LABELS_PER_MOTION_FRAME
# What torch's cross-entropy leaves out by default.
UNLABELLED = -100

# Name of a class -> the IPA letters that count as it: sounds of about the same place and manner, so that few languages need a new class.
_LETTERS = {
    SILENCE: SILENCE,
    **{"p": "p", "b": "bβɓ", "m": "mɱ", "f": "fɸ", "v": "vʋⱱ", "θ": "θ", "ð": "ð"},
    **{"t": "tʈ", "d": "dɖɗ", "n": "nɳ", "ɾ": "ɾrɽ", "ɹ": "ɹɻ", "l": "lɫɭɬʎ", "s": "s", "z": "z"},
    **{"ʃ": "ʃʂ", "ʒ": "ʒʐ", "ç": "çɕʝʑ", "j": "jʲ", "w": "wʍɥ", "ɲ": "ɲ"},
    **{"k": "kqc", "ɡ": "ɡgɢɟɠ", "ŋ": "ŋɴ", "x": "xχħ", "ɣ": "ɣʁʀɰ", "h": "hɦ", "ʔ": "ʔʕ"},
    **{"i": "i", "ɪ": "ɪ", "y": "yʏ", "e": "e", "ɛ": "ɛεɘ", "ø": "øœɵɞ", "æ": "æ", "a": "aɐ", "ɑ": "ɑ"},
    **{"ʌ": "ʌ", "ə": "ə", "ɜ": "ɜɝɚ", "ɔ": "ɔɒ", "o": "oɤ", "u": "uʉ", "ʊ": "ʊ", "ɨ": "ɨɯᵻ"},
}
PHONEMES: tuple[str, ...] = tuple(_LETTERS)
_CLASS_OF_LETTER = {letter: PHONEMES.index(name) for name, letters in _LETTERS.items() for letter in letters}

__all__ = ["LABELS_PER_MOTION_FRAME", "LABELS_PER_S", "PHONEMES", "UNLABELLED", "phoneme_classes", "phoneme_labels"]


def phoneme_classes(symbol: str) -> list[int]:
    """Classes (places in `PHONEMES`) of an IPA symbol's letters in order: two for diphthongs and affricates, none for what is no sound.

    Marks of length, tone, stress and nasality do not count; "(de)" and the like are espeak-ng's changes of language.
    """
    return [] if symbol.startswith("(") else [_CLASS_OF_LETTER[c] for c in symbol if c in _CLASS_OF_LETTER]


def phoneme_labels(phonemes: Sequence[PhonemeEvent], num_frames: int) -> np.ndarray:
    """The class at the middle of each 20 ms of `num_frames` motion frames: int64 `[2 * num_frames]`.

    A diphthong or affricate moves on to its second letter in the middle, or at its burst. `UNLABELLED` where no phoneme with a known
    letter is.
    """
    times = (np.arange(num_frames * LABELS_PER_MOTION_FRAME) + 0.5) / LABELS_PER_S
    labels = np.full(len(times), UNLABELLED, np.int64)
    for phoneme in phonemes:
        classes = phoneme_classes(phoneme.symbol)
        if not classes:
            continue
        bounds = np.linspace(phoneme.start_s, phoneme.end_s, len(classes) + 1)
        if len(classes) == 2 and phoneme.release_s is not None and phoneme.release_s < phoneme.end_s:
            bounds[1] = phoneme.release_s
        for number, start, end in zip(classes, bounds[:-1], bounds[1:], strict=True):
            labels[(times >= start) & (times < end)] = number
    return labels

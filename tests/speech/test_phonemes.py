"""Phoneme labels: the class at the middle of every 20 ms, by an independent reading of the events."""

# ruff: noqa: RUF001

import numpy as np

from speech.phonemes import LABELS_PER_S, PHONEMES, UNLABELLED, phoneme_classes, phoneme_labels
from speech.synthesis import PhonemeEvent


def names(labels: np.ndarray) -> list[str]:
    return ["-" if label == UNLABELLED else PHONEMES[label] for label in labels]


def test_labels_name_the_sound_at_the_middle_of_each_20_ms() -> None:
    events = [PhonemeEvent("_", 0, 0.05), PhonemeEvent("m", 0.05, 0.11), PhonemeEvent("iː", 0.11, 0.2)]
    # Middles at 10, 30, ..., 230 ms; beyond the last event nothing is known.
    assert names(phoneme_labels(events, 6)) == ["_", "_", "m", "m", "m", "i", "i", "i", "i", "i", "-", "-"]


def test_an_affricate_changes_at_its_burst_and_a_diphthong_in_the_middle() -> None:
    affricate = PhonemeEvent("tʃ", 0.0, 0.2, release_s=0.06)
    assert names(phoneme_labels([affricate], 5)) == ["t"] * 3 + ["ʃ"] * 7
    assert names(phoneme_labels([PhonemeEvent("aɪ", 0.0, 0.2)], 5)) == ["a"] * 5 + ["ɪ"] * 5
    unreleased = PhonemeEvent("dʒ", 0.0, 0.2, release_s=0.2)
    assert names(phoneme_labels([unreleased], 5)) == ["d"] * 5 + ["ʒ"] * 5


def test_marks_do_not_count_and_changes_of_language_are_no_sounds() -> None:
    assert [PHONEMES[c] for c in phoneme_classes("t̪ʰ")] == ["t"]
    assert [PHONEMES[c] for c in phoneme_classes("ɑ̃ː")] == ["ɑ"]
    assert phoneme_classes("(en)") == [] and phoneme_classes("ʰ") == []
    assert names(phoneme_labels([PhonemeEvent("(en)", 0.0, 0.08)], 2)) == ["-"] * 4


def test_classes_are_distinct_and_silence_is_the_first() -> None:
    assert len(set(PHONEMES)) == len(PHONEMES) == 46 and PHONEMES[0] == "_" and LABELS_PER_S == 50

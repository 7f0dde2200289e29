"""Speech made for phonetic pretraining: reproducible, labelled where it sounds, its splits apart."""

import numpy as np
import pytest

from corpora.clip import ClipError
from corpora.synthesised_speech import ENGLISH, LANGUAGES, NEW_LANGUAGES, VARIANTS, speak_labelled
from speech.phonemes import PHONEMES, UNLABELLED
from speech.synthesis import VOICES


def test_the_same_draw_gives_the_same_bits_and_another_draw_another_utterance() -> None:
    first, again, other = (speak_labelled("train", np.random.default_rng(seed), num_words=4) for seed in (3, 3, 4))
    assert first.text == again.text and np.array_equal(first.audio, again.audio)
    assert np.array_equal(first.labels, again.labels)
    assert other.text != first.text


def test_every_20_ms_has_a_label_and_the_labelled_silence_is_silent() -> None:
    loud = quiet = 0.0
    for seed in range(3):
        speech = speak_labelled("train", np.random.default_rng(seed), num_words=5)
        assert len(speech.labels) == 2 * speech.num_frames and len(speech.audio) == 640 * speech.num_frames
        assert set(speech.labels.tolist()) <= {UNLABELLED, *range(len(PHONEMES))}
        assert (speech.labels != UNLABELLED).mean() > 0.95
        power = np.square(speech.audio).reshape(-1, 320).mean(1)
        loud += power[speech.labels > 0].mean()
        quiet += power[speech.labels == 0].mean()
    assert quiet < 0.02 * loud


def test_no_voice_is_in_two_splits_and_training_has_all_voices_of_the_synthetic_corpus() -> None:
    train, val, test = (set(VARIANTS[split]) for split in ("train", "val", "test"))
    assert not (train & val or train & test or val & test)
    assert {voice.split("+")[1] for voice in VOICES} <= train
    assert not set(NEW_LANGUAGES) & {*ENGLISH, *LANGUAGES}


def test_held_out_voices_and_languages_speak_in_their_split_only() -> None:
    speech = speak_labelled("test", np.random.default_rng(0), num_words=2, new_language=True)
    assert speech.voice in VARIANTS["test"] and speech.language in NEW_LANGUAGES
    with pytest.raises(ClipError, match="new languages in test"):
        speak_labelled("train", np.random.default_rng(0), new_language=True)
    with pytest.raises(ClipError, match="expected train, val, test"):
        speak_labelled("dev", np.random.default_rng(0))

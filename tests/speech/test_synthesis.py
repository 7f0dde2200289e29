import hashlib
import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from speech import espeak_library
from speech.audio import SAMPLE_RATE
from speech.synthesis import SILENCE, VOICES, SynthesisError, Synthesizer

ROOT = Path(__file__).resolve().parents[2]
TEXT = "Papa put a big tub on top, but Maybe nobody cut the cake."


@pytest.fixture(autouse=True)
def _espeak():
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed (extra 'synthesis')")


def digest(audio):
    return hashlib.sha256(audio.tobytes()).hexdigest()


def test_the_same_call_gives_the_same_samples_after_other_calls_and_in_threads():
    synthesizer = Synthesizer(VOICES[3])
    first = digest(synthesizer.speak(TEXT).audio)
    Synthesizer(VOICES[11], pitch=70).speak("Something else was said before.")
    assert digest(synthesizer.speak(TEXT).audio) == first
    with ThreadPoolExecutor(4) as pool:
        assert {digest(u.audio) for u in pool.map(synthesizer.speak, [TEXT] * 4)} == {first}


def test_another_process_gives_the_same_samples():
    code = (
        "import hashlib; from speech.synthesis import *;"
        f"print(hashlib.sha256(Synthesizer(VOICES[0]).speak({TEXT!r}).audio.tobytes()).hexdigest())"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == digest(Synthesizer(VOICES[0]).speak(TEXT).audio)


def test_there_are_at_least_24_voices_and_all_sound_different():
    assert len(set(VOICES)) == len(VOICES) >= 24
    utterances = [Synthesizer(voice).speak("Nobody saw the boat.") for voice in VOICES]
    assert len({digest(u.audio) for u in utterances}) == len(VOICES)
    for voice, utterance in zip(VOICES, utterances, strict=True):
        assert 0.02 < np.sqrt(np.mean(utterance.audio**2)) < 0.3, voice


def test_phonemes_are_ordered_and_cover_the_audio_without_gaps():
    utterance = Synthesizer(lead_s=0.3, tail_s=0.2).speak(TEXT)
    phonemes = utterance.phonemes
    assert phonemes[0].start_s == 0 and phonemes[0].symbol == SILENCE
    assert phonemes[-1].end_s == pytest.approx(len(utterance.audio) / SAMPLE_RATE)
    for before, after in itertools.pairwise(phonemes):
        assert before.end_s == after.start_s and before.end_s > before.start_s
    assert any(p.stressed for p in phonemes) and all(p.symbol[0] != "\u02c8" for p in phonemes)


def test_words_have_their_text_place_and_time():
    utterance = Synthesizer().speak(TEXT)
    for word in utterance.words:
        assert TEXT[word.char_start :].startswith(word.text)
        assert 0.2 <= word.start_s < word.end_s <= len(utterance.audio) / SAMPLE_RATE
    assert [w.text for w in utterance.words][:4] == ["Papa", "put", "a", "big"]
    for before, after in itertools.pairwise(utterance.words):
        assert before.end_s <= after.start_s + 1e-9


@pytest.mark.parametrize("voice", [VOICES[0], VOICES[12], "en-us+m3", "en-gb-scotland+m4"])
def test_unvoiced_plosives_are_silent_until_their_release_and_loud_within_20_ms_after_it(voice):
    utterance = Synthesizer(voice).speak("A pop, a tent, a kick, a pot of tea, copper pots, pat kept ten packets.")

    def level(start_s, end_s):
        part = utterance.audio[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
        return np.sqrt(np.mean(part**2))

    plosives = [p for p in utterance.phonemes if p.symbol in "ptk" and p.release_s < p.end_s]
    assert len(plosives) >= 12
    speech = level(0.2, len(utterance.audio) / SAMPLE_RATE - 0.25)
    for p in plosives:
        assert level(p.start_s + 0.005, p.release_s - 0.003) < 0.05 * speech, p
        assert level(p.release_s, p.release_s + 0.02) > 0.05 * speech, p


def test_stressed_vowels_are_louder_than_the_silences_between_sentences():
    utterance = Synthesizer().speak("We know. They go. You see.")
    squared = utterance.audio**2

    def level(p):
        return np.sqrt(np.mean(squared[round(p.start_s * SAMPLE_RATE) : round(p.end_s * SAMPLE_RATE)]))

    quiet = max(level(p) for p in utterance.phonemes if p.symbol == SILENCE)
    assert min(level(p) for p in utterance.phonemes if p.stressed) > 20 * quiet


def test_emphasis_lengthens_its_word_and_keeps_the_places_in_the_text():
    text = "I never said she took it."
    plain, strong = Synthesizer().speak(text), Synthesizer().speak(text, [(2, 7)])
    length = {u: {w.text: w.end_s - w.start_s for w in u.words}["never"] for u in (plain, strong)}
    assert length[strong] > 1.1 * length[plain]
    assert [w.char_start for w in plain.words] == [w.char_start for w in strong.words]


def test_settings_change_rate_and_loudness():
    slow, fast = (Synthesizer(rate_wpm=rate).speak(TEXT) for rate in (120, 200))
    assert len(slow.audio) > 1.3 * len(fast.audio)
    soft, loud = (np.abs(Synthesizer(volume=volume).speak(TEXT).audio).max() for volume in (40, 100))
    assert loud > 2 * soft


@pytest.mark.parametrize(
    ("setting", "text", "emphasis", "message"),
    [
        ({}, "  ", (), "empty"),
        ({}, "...", (), "no sound"),
        ({"voice": "en-nowhere+x9"}, "Hello there.", (), "en-nowhere"),
        ({"rate_wpm": 10}, "Hello.", (), "rate_wpm is 10"),
        ({}, "You & me.", [(0, 3)], "write the words out"),
        ({}, "You.", [(0, 30)], "leaves the text"),
    ],
)
def test_bad_input_is_refused_with_its_reason(setting, text, emphasis, message):
    with pytest.raises(SynthesisError, match=message):
        Synthesizer(**setting).speak(text, emphasis)
    assert len(Synthesizer().speak("Still fine.").audio)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(SynthesisError, match=r"pip install 'persona-faces\[synthesis\]'"):
        espeak_library.synthesise("Hello.", VOICES[0], {}, ssml=False)

"""Speech synthesis by espeak-ng, with the times of phonemes and words, for the synthetic corpus.

espeak-ng is an optional extra (see `speech.espeak_library`); the same call gives bit-identical samples in every process.
"""

# ruff: noqa: RUF001

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import soxr

from speech.audio import SAMPLE_RATE
from speech.espeak_library import PHONEME, WORD, EspeakEvent, SynthesisError, synthesise

# Variants that sound like people, none with echo: an echo would fill the silence of a plosive's closure.
_VARIANTS = (
    *("f1", "f2", "f3", "f5", "Annie", "Andrea", "steph", "shelby", "linda", "belinda", "aunty"),
    *("m1", "m3", "m4", "m5", "m6", "m7", "m8", "Mike", "Alex", "Michael", "Gene", "pedro"),
    *("edward2", "benjamin", "adam", "victor", "max", "robert", "Denis"),
)
_ACCENTS = ("en-us", "en-gb-x-rp", "en-us", "en-gb-scotland", "en-us-nyc", "en-gb-x-gbclan", "en-029")
VOICES: tuple[str, ...] = tuple(
    f"{_ACCENTS[3 * index % len(_ACCENTS)]}+{variant}" for index, variant in enumerate(_VARIANTS)
)

SILENCE = "_"
PLOSIVES = frozenset("pbtdkɡɾʔ") | {"tʃ", "dʒ", "t̪"}

__all__ = [
    "PLOSIVES",
    "SILENCE",
    "VOICES",
    "PhonemeEvent",
    "SynthesisError",
    "Synthesizer",
    "Utterance",
    "WordEvent",
]

_STRESS_MARKS = "ˈˌ"
_LONGEST_CLOSURE_S = 0.09
_SHORTEST_CLOSURE_S = 0.008


@dataclass(frozen=True)
class PhonemeEvent:
    """One phoneme, IPA without stress marks ("_" for silence), from `start_s` to `end_s` seconds of the utterance's audio.

    A plosive starts with its closure; `release_s` is the time of its burst (None for other sounds). `stressed` is primary stress.
    """

    symbol: str
    start_s: float
    end_s: float
    stressed: bool = False
    release_s: float | None = None


@dataclass(frozen=True)
class WordEvent:
    """One spoken word; `char_start` is its place in the text. espeak-ng joins some pairs ("in the"): the pair is then one event."""

    text: str
    start_s: float
    end_s: float
    char_start: int


@dataclass(frozen=True, eq=False)
class Utterance:
    """`audio` float32 [N], 16 kHz; `phonemes` cover it without gaps, in order; `words` in order, without the pauses."""

    text: str
    audio: np.ndarray
    phonemes: list[PhonemeEvent]
    words: list[WordEvent]


@dataclass(frozen=True)
class Synthesizer:
    """One voice at one setting. Raises `SynthesisError` for values out of range.

    `voice`: an espeak-ng voice and variant such as those in `VOICES`; `rate_wpm` 80..400 words a minute; `pitch` and `pitch_range` 0..99
    (50 is the voice's own); `volume` 0..150 (100 is normal); `lead_s` and `tail_s`: silence before and after the speech.
    """

    voice: str = VOICES[0]
    rate_wpm: int = 160
    pitch: int = 50
    pitch_range: int = 50
    volume: int = 90
    lead_s: float = 0.2
    tail_s: float = 0.25

    def __post_init__(self) -> None:
        limits = {"rate_wpm": (80, 400), "pitch": (0, 99), "pitch_range": (0, 99), "volume": (0, 150)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SynthesisError(f"{name} is {value}; expected {low}..{high}")
        if self.lead_s < 0 or self.tail_s < 0:
            raise SynthesisError(f"lead_s {self.lead_s} and tail_s {self.tail_s} must not be negative")

    def speak(self, text: str, emphasis: Sequence[tuple[int, int]] = ()) -> Utterance:
        """Speak `text`; `emphasis` holds character ranges (start, end) of words to be stressed strongly.

        Raises `SynthesisError` when the extra is not installed, the voice is unknown or the text gives no sound.
        """
        if not text.strip():
            raise SynthesisError("the text to speak is empty; give at least one word")
        markup, char_of_markup = _mark_emphasis(text, emphasis)
        parameters = {name: getattr(self, name) for name in ("rate_wpm", "volume", "pitch", "pitch_range")}
        samples, rate, events = synthesise(markup, self.voice, parameters, ssml=bool(emphasis))
        if not len(samples) or not np.any(samples):
            raise SynthesisError(f"voice {self.voice!r} gave no sound for {text!r}; give speakable English words")
        speech = soxr.resample(samples.astype(np.float32) / 32768, rate, SAMPLE_RATE, quality="HQ")
        lead, tail = (np.zeros(round(seconds * SAMPLE_RATE), np.float32) for seconds in (self.lead_s, self.tail_s))
        audio = np.clip(np.concatenate([lead, speech, tail]), -1, 1).astype(np.float32)
        duration = len(audio) / SAMPLE_RATE
        phonemes = _phonemes(events, samples, rate, self.lead_s, duration)
        return Utterance(text, audio, phonemes, _words(events, text, char_of_markup, rate, self.lead_s, phonemes))


def _mark_emphasis(text: str, emphasis: Sequence[tuple[int, int]]) -> tuple[str, np.ndarray]:
    """Text with SSML emphasis, and for each of its characters the character of `text` that it stands for (-1: none)."""
    if not emphasis:
        return text, np.arange(len(text))
    if any(character in text for character in "<>&"):
        raise SynthesisError(f"a text with emphasis must not hold <, > or &: {text!r}; write the words out")
    pieces: list[str] = []
    origin: list[int] = []

    def add(piece: str, start: int | None) -> None:
        pieces.append(piece)
        origin.extend([-1] * len(piece) if start is None else range(start, start + len(piece)))

    position = 0
    for start, end in sorted(emphasis):
        if not position <= start < end <= len(text):
            raise SynthesisError(
                f"emphasis ({start}, {end}) overlaps another or leaves the text of {len(text)} characters"
            )
        add(text[position:start], position)
        add('<emphasis level="strong">', None)
        add(text[start:end], start)
        add("</emphasis>", None)
        position = end
    add(text[position:], position)
    return "".join(pieces), np.array(origin)


def _phonemes(
    events: list[EspeakEvent], samples: np.ndarray, rate: int, lead_s: float, duration: float
) -> list[PhonemeEvent]:
    """Phonemes with closures: espeak-ng puts a plosive's event at its burst; the silent closure before it is given back to it."""
    found = [PhonemeEvent(SILENCE, 0.0, lead_s)]
    for event in events:
        if event.kind != PHONEME:
            continue
        symbol = event.label.strip(_STRESS_MARKS) or SILENCE
        time = lead_s + event.sample / rate
        start, release = time, None
        if symbol in PLOSIVES:
            closure = _silence_before(samples, event.sample, rate)
            if len(found) == 1:
                closure = min(_LONGEST_CLOSURE_S, lead_s)
            start = max(time - closure, found[-1].start_s)
            release = time if closure >= _SHORTEST_CLOSURE_S else None
        found[-1] = replace(found[-1], end_s=start)
        if symbol == SILENCE and found[-1].symbol == SILENCE:
            continue
        found.append(PhonemeEvent(symbol, start, duration, event.label.startswith("ˈ"), release))
    if found[-1].symbol != SILENCE:
        end = min(lead_s + len(samples) / rate, duration)
        found[-1] = replace(found[-1], end_s=end)
        found.append(PhonemeEvent(SILENCE, end, duration))
    found[-1] = replace(found[-1], end_s=duration)
    # A voiced plosive between vowels has no silent part: its closure lasts until the next sound.
    return [
        replace(p, release_s=p.end_s) if p.symbol in PLOSIVES and p.release_s is None else p
        for p in found
        if p.end_s > p.start_s
    ]


def _silence_before(samples: np.ndarray, event_sample: int, rate: int) -> float:
    """Seconds of digital silence just before a sample, at most `_LONGEST_CLOSURE_S`."""
    window = samples[max(0, event_sample - round(_LONGEST_CLOSURE_S * rate)) : event_sample]
    loud = np.flatnonzero(np.abs(window.astype(np.int32)) > 64)
    return (len(window) - (loud[-1] + 1 if len(loud) else 0)) / rate


def _words(
    events: list[EspeakEvent],
    text: str,
    char_of_markup: np.ndarray,
    rate: int,
    lead_s: float,
    phonemes: list[PhonemeEvent],
) -> list[WordEvent]:
    starts = [event for event in events if event.kind == WORD]
    words = []
    for index, event in enumerate(starts):
        char = int(char_of_markup[event.char_start])
        following = starts[index + 1 :]
        char_end = next(
            (int(char_of_markup[e.char_start]) for e in following if e.char_start > event.char_start),
            len(text),
        )
        start = lead_s + event.sample / rate
        limit = lead_s + following[0].sample / rate if following else phonemes[-1].start_s
        # A pause between two words belongs to neither.
        pause = next((p.start_s for p in phonemes if p.symbol == SILENCE and start < p.start_s < limit), limit)
        spoken = text[char:char_end].strip().rstrip(".,;:!?")
        words.append(WordEvent(spoken, start, max(pause, start), char))
    return words

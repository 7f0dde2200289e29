"""The synthetic corpus: real sentences spoken by espeak-ng and performed by drawn speakers, with the truth kept in the metadata.

Numbers measured on it say how well a method finds what was planted; they say nothing about people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from corpora.clip import ClipError, ClipMeta, JobResult, PrepareJob, SpeechClip, fit_lengths
from corpora.emotions import EMOTIONS
from corpora.gestures import spoken_word
from corpora.performance import motion_for
from corpora.sentences import Sentence, draw_sentences, join_sentences
from corpora.speaker_style import SyntheticSpeaker, VoiceStyle, draw_speaker
from speech.synthesis import Synthesizer, Utterance

CORPUS = "synthetic"
CORPUS_VERSION = "2"
# Acted like the takes of MEAD: consecutive clips share emotion and intensity, so that each has a reference of its own kind.
CLIPS_OF_ONE_FEELING = 2
ADAPTATION_SPLITS = ("adapt", "heldout")

_SHORT_SENTENCE_WORDS = 9
_LONGEST_CLIP_WORDS = 17
# A recording's noise floor, about -70 dBFS: digital silence does not occur in real speech.
_NOISE_FLOOR = 3e-4


@dataclass(frozen=True)
class SyntheticCorpusConfig:
    """What decides every clip of the corpus. Raises `ClipError` for values that do not fit together.

    The last `test_speakers` speakers are the test split, the `val_speakers` before them the validation split.
    `adaptation_seconds`: the first clips of a speaker that together last at least this long are its "adapt" part.
    `neutral_share`: share of clips without emotion; the others draw one of four emotions and an intensity of 1 to 3.
    """

    num_speakers: int = 24
    clips_per_speaker: int = 20
    seed: int = 0
    val_speakers: int = 3
    test_speakers: int = 3
    adaptation_seconds: float = 10.0
    neutral_share: float = 0.4

    def __post_init__(self) -> None:
        if self.num_speakers < 1 or self.clips_per_speaker < 1:
            raise ClipError(
                f"{self.num_speakers} speakers with {self.clips_per_speaker} clips each; expected at least 1 of both"
            )
        if (
            min(self.val_speakers, self.test_speakers) < 0
            or self.val_speakers + self.test_speakers >= self.num_speakers
        ):
            raise ClipError(
                f"{self.val_speakers} validation and {self.test_speakers} test speakers leave none of {self.num_speakers} "
                "for training; ask for more speakers"
            )
        if not 0 <= self.neutral_share <= 1 or self.seed < 0 or self.adaptation_seconds < 0:
            raise ClipError(
                f"neutral_share {self.neutral_share}, seed {self.seed}, adaptation_seconds {self.adaptation_seconds}; "
                "expected a share of 0..1 and no negative values"
            )

    def split_of(self, speaker_index: int) -> str:
        """The split that all clips of a speaker belong to."""
        from_end = self.num_speakers - speaker_index
        if from_end <= self.test_speakers:
            return "test"
        return "val" if from_end <= self.test_speakers + self.val_speakers else "train"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ClipPlan:
    """What one clip will be: the sentence and how it is spoken; `seed` drives its gestures."""

    sentence: Sentence
    emotion: str
    intensity: int
    seed: tuple[int, ...]


def synthetic_jobs(config: SyntheticCorpusConfig) -> list[PrepareJob]:
    """One job per speaker, each a pure function of (config, speaker index)."""
    return [
        PrepareJob(draw_speaker(config.seed, index).name, partial(synthesise_speaker, config, index))
        for index in range(config.num_speakers)
    ]


def synthesise_speaker(config: SyntheticCorpusConfig, speaker_index: int) -> JobResult:
    """All clips of one speaker; the first of them, `config.adaptation_seconds` long together, are marked "adapt"."""
    speaker = draw_speaker(config.seed, speaker_index)
    split = config.split_of(speaker_index)
    clips: list[SpeechClip] = []
    adaptation_s = 0.0
    for number, plan in enumerate(plan_clips(config, speaker_index)):
        part = ADAPTATION_SPLITS[adaptation_s >= config.adaptation_seconds]
        key = f"{CORPUS}-{config.seed}-{speaker_index:03d}-{number:04d}"
        clip = synthesise_clip(
            speaker,
            plan.sentence,
            plan.emotion,
            plan.intensity,
            plan.seed,
            key=key,
            split=split,
            adaptation_split=part,
        )
        adaptation_s += clip.motion.duration
        clips.append(clip)
    return JobResult(clips)


def plan_clips(config: SyntheticCorpusConfig, speaker_index: int) -> list[ClipPlan]:
    """The speaker's clips: one or two sentences each, no sentence twice."""
    rng = np.random.default_rng([config.seed, 2, speaker_index])
    # Two sentences a clip at most.
    sentences = iter(draw_sentences(2 * config.clips_per_speaker, [config.seed, 3, speaker_index]))
    feelings = [name for name in EMOTIONS if name != "neutral"]
    plans: list[ClipPlan] = []
    emotion, intensity = "neutral", 0
    for number in range(config.clips_per_speaker):
        sentence, following = next(sentences), next(sentences)
        words = len(sentence.words)
        if words <= _SHORT_SENTENCE_WORDS and words + len(following.words) <= _LONGEST_CLIP_WORDS:
            sentence = join_sentences([sentence, following])
        if number % CLIPS_OF_ONE_FEELING == 0:
            emotion, intensity = "neutral", 0
            if rng.random() >= config.neutral_share:
                emotion, intensity = feelings[rng.integers(len(feelings))], int(rng.integers(1, 4))
        plans.append(ClipPlan(sentence, emotion, intensity, (config.seed, 4, speaker_index, number)))
    return plans


def speak(voice: VoiceStyle, sentence: Sentence, emotion: str = "neutral", intensity: int = 0) -> Utterance:
    """The sentence in a speaker's voice with the emotion's prosody."""
    feeling = EMOTIONS[emotion]
    added = feeling.scaled(2, intensity) - 1
    synthesizer = Synthesizer(
        voice=voice.voice,
        rate_wpm=round(voice.rate_wpm * feeling.scaled(feeling.rate, intensity)),
        pitch=round(np.clip(voice.pitch + feeling.pitch * added, 0, 99)),
        pitch_range=round(np.clip(voice.pitch_range * feeling.scaled(feeling.range_gain, intensity), 0, 99)),
        volume=round(90 + feeling.volume * added),
    )
    return synthesizer.speak(sentence.text, sentence.emphasis)


def synthesise_clip(
    speaker: SyntheticSpeaker,
    sentence: Sentence,
    emotion: str = "neutral",
    intensity: int = 0,
    seed: int | Sequence[int] = 0,
    *,
    key: str = "synthetic-clip",
    split: str = "train",
    adaptation_split: str = "heldout",
) -> SpeechClip:
    """One clip of a speaker with its planted truth in `meta.extra`; the same arguments give the same bits.

    Raises `speech.synthesis.SynthesisError` when espeak-ng is not installed.
    """
    utterance = speak(speaker.voice, sentence, emotion, intensity)
    motion = motion_for(
        utterance, sentence, speaker.expression, speaker.pose, emotion, intensity, seed, speaker.identity
    )
    noise = np.random.default_rng([*np.atleast_1d(seed), 5]).standard_normal(len(utterance.audio))
    audio, motion = fit_lengths((utterance.audio + _NOISE_FLOOR * noise).astype(np.float32).clip(-1, 1), motion)
    meta = ClipMeta(
        speaker=speaker.name,
        source=key,
        corpus=CORPUS,
        split=split,
        language="en",
        emotion=emotion,
        intensity=intensity,
        tracker="planted",
        tracker_version=CORPUS_VERSION,
        licence="generated",
        synthetic=True,
        extra={"adaptation_split": adaptation_split, **_truth(speaker, sentence, utterance)},
    )
    return SpeechClip(key, audio, motion, meta)


def _truth(speaker: SyntheticSpeaker, sentence: Sentence, utterance: Utterance) -> dict[str, Any]:
    """JSON-ready: text, sentence kind, phonemes [symbol, start_s, end_s], tagged words with times, and the speaker's draw."""
    words = []
    for word in sentence.words:
        spoken = spoken_word(utterance, word)
        tags = [tag for tag in ("negation", "affirmation", "stressed", "emphasised") if getattr(word, tag)]
        times = {"start_s": round(spoken.start_s, 3), "end_s": round(spoken.end_s, 3)} if spoken else {}
        words.append({"text": word.text, "tags": tags, **times})
    return {
        "text": sentence.text,
        "kind": sentence.kind,
        "phonemes": [[p.symbol, round(p.start_s, 3), round(p.end_s, 3)] for p in utterance.phonemes],
        "words": words,
        "expression_style": speaker.expression.to_dict(),
        "pose_habit": speaker.pose.to_dict(),
        "voice": speaker.voice.to_dict(),
    }

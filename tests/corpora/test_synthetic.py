import itertools
import json
import pickle
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from corpora.clip import ClipError, ClipMeta
from corpora.speaker_style import ExpressionStyle, draw_speaker
from corpora.synthetic import SyntheticCorpusConfig, plan_clips, synthesise_clip, synthetic_jobs

SMALL = SyntheticCorpusConfig(num_speakers=5, clips_per_speaker=6, seed=3, val_speakers=1, test_speakers=1)


@pytest.fixture(scope="module")
def results():
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed (extra 'synthesis')")
    return [job.run() for job in synthetic_jobs(SMALL)]


@pytest.fixture(scope="module")
def clips(results):
    return [clip for result in results for clip in result.clips]


def content(clip):
    return clip.key, clip.audio.tobytes(), clip.motion.to_bytes(), json.dumps(clip.meta.to_dict())


def run_and_describe(job):
    return [content(clip) for clip in job.run().clips]


def test_worker_processes_and_another_order_give_the_same_bits(results):
    jobs = synthetic_jobs(SMALL)[::-1]
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        elsewhere = list(pool.map(run_and_describe, jobs))[::-1]
    assert elsewhere == [[content(clip) for clip in result.clips] for result in results]


def test_jobs_are_picklable_and_keys_unique(clips):
    assert pickle.loads(pickle.dumps(synthetic_jobs(SMALL)))[0].name == "synthetic-000"  # noqa: S301
    assert len({clip.key for clip in clips}) == len(clips) == 30


def test_splits_are_by_speaker(clips):
    splits = {}
    for clip in clips:
        splits.setdefault(clip.meta.speaker, set()).add(clip.meta.split)
    assert all(len(split) == 1 for split in splits.values())
    assert Counter(next(iter(s)) for s in splits.values()) == {"train": 3, "val": 1, "test": 1}


def test_adaptation_parts_last_long_enough_and_share_no_sentence(results):
    for result in results:
        parts = {"adapt": [], "heldout": []}
        for clip in result.clips:
            parts[clip.meta.extra["adaptation_split"]].append(clip)
        seconds = sum(clip.motion.duration for clip in parts["adapt"])
        assert 10 <= seconds < 20 and parts["heldout"]
        texts = {
            part: {sentence for clip in of for sentence in clip.meta.extra["text"].split(". ")}
            for part, of in parts.items()
        }
        assert not texts["adapt"] & texts["heldout"]


def test_the_truth_is_in_the_metadata_and_survives_json(clips):
    for clip in clips:
        meta = ClipMeta.from_dict(json.loads(json.dumps(clip.meta.to_dict())))
        assert meta == clip.meta and meta.synthetic and meta.tracker == "planted"
        speaker = draw_speaker(SMALL.seed, int(meta.speaker[-3:]))
        assert ExpressionStyle(**meta.extra["expression_style"]) == speaker.expression
        np.testing.assert_allclose(clip.motion.identity, speaker.identity, atol=1e-6)
        assert clip.motion.identity_space == "procedural"
        phonemes = meta.extra["phonemes"]
        assert phonemes[-1][2] == pytest.approx(clip.motion.duration, abs=0.04)
        assert all(before[2] == after[1] for before, after in itertools.pairwise(phonemes))
        assert all(0 < w["start_s"] < w["end_s"] < clip.motion.duration for w in meta.extra["words"])


def test_clips_last_some_seconds_and_sound_like_speech(clips):
    durations = np.array([clip.motion.duration for clip in clips])
    assert durations.min() > 1.5 and durations.max() < 9 and 3 < np.median(durations) < 6
    for clip in clips:
        assert clip.audio.dtype == np.float32 and 0.01 < np.sqrt(np.mean(clip.audio**2)) < 0.4
        assert np.abs(clip.audio).max() <= 1


def test_emotion_changes_the_prosody():
    pytest.importorskip("espeakng_loader", reason="espeak-ng is not installed (extra 'synthesis')")
    speaker, sentence = draw_speaker(0, 0), plan_clips(SMALL, 0)[0].sentence
    sad, angry = (synthesise_clip(speaker, sentence, emotion, 3) for emotion in ("sad", "angry"))
    assert len(sad.audio) > 1.1 * len(angry.audio)
    assert np.abs(angry.audio).max() > np.abs(sad.audio).max()


def test_plans_never_repeat_a_sentence_and_hold_every_emotion():
    plans = plan_clips(SyntheticCorpusConfig(clips_per_speaker=200), 0)
    assert len({plan.sentence.text for plan in plans}) == 200
    counts = Counter(plan.emotion for plan in plans)
    assert set(counts) == {"neutral", "happy", "sad", "angry", "surprised"}
    assert 0.3 < counts["neutral"] / 200 < 0.5
    assert all((plan.emotion == "neutral") == (plan.intensity == 0) for plan in plans)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_speakers": 0}, "at least 1"),
        ({"num_speakers": 6, "val_speakers": 3, "test_speakers": 3}, "leave none of 6"),
        ({"neutral_share": 1.5}, "neutral_share 1.5"),
    ],
)
def test_impossible_configurations_are_refused(options, message):
    with pytest.raises(ClipError, match=message):
        SyntheticCorpusConfig(**options)


def test_every_clip_has_a_neighbour_of_its_own_emotion_and_intensity():
    plans = plan_clips(SyntheticCorpusConfig(clips_per_speaker=20), 3)
    feelings = [(plan.emotion, plan.intensity) for plan in plans]
    assert feelings[::2] == feelings[1::2] and len(set(feelings)) > 2

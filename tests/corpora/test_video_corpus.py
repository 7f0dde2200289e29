from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_videos import babble, made_up_track, plain_pictures, write_video

from corpora.clip import ClipError
from corpora.clip_cutting import PieceLimits
from corpora.quality import FACE_LOST, NO_FACE, TWO_FACES
from corpora.video_corpus import (
    DUBBED,
    NO_SOUND,
    SILENT,
    TOO_SHORT,
    UNREADABLE,
    TrackingOptions,
    VideoItem,
    clips_from_track,
    prepare_video,
    slug,
    video_jobs,
    with_terms,
)

OPTIONS = TrackingOptions(model=Path("no model is needed for made-up tracks"))
ITEM = VideoItem(Path("ada_1.mp4"), "ada", "ada_1", "ada_1", emotion="happy", intensity=2, language="en", licence="own")


def talking(seconds, delay=0.0, rate=30.0, seed=0, **fields):
    """A track that talks along with the babble it comes with, `delay` frames of 25/s late."""
    audio, envelope = babble(seconds, seed)
    times = np.arange(round(seconds * rate)) / rate
    opening = 0.05 + 0.3 * np.interp(times - (delay - 0.8) / 25, np.arange(len(envelope)) / 25, envelope)
    return audio, made_up_track(times, opening=opening, **fields)


def reasons(result):
    return [dropped.reason for dropped in result.dropped]


def test_clips_hold_the_sound_of_their_own_time_and_what_is_known_of_them():
    audio, track = talking(24)
    result = clips_from_track(ITEM, "videos", OPTIONS, audio, track)
    assert result.dropped == [] and len(result.clips) == 3
    for number, clip in enumerate(result.clips):
        begin = round(clip.meta.extra["source_begin_s"] * 16_000)
        assert begin % 640 == 0
        assert np.array_equal(clip.audio, audio[begin : begin + len(clip.audio)])
        assert clip.key == f"ada_1_{number:03d}"
        meta = clip.meta
        assert (meta.speaker, meta.source, meta.corpus, meta.emotion, meta.intensity) == (
            "ada",
            "ada_1",
            "videos",
            "happy",
            2,
        )
        assert (meta.language, meta.licence, meta.quality, meta.synthetic) == ("en", "own", 1.0, False)
    assert sum(len(clip.motion) for clip in result.clips) == 600


def test_lag_is_recorded_and_only_corrected_on_request():
    audio, track = talking(12, delay=4)
    kept = clips_from_track(ITEM, "videos", OPTIONS, audio, track).clips[0]
    assert kept.meta.extra["lag_frames"] == pytest.approx(4, abs=0.6)
    assert kept.meta.extra["lag_confidence"] > 0.5 and kept.meta.extra["lag_corrected_frames"] == 0
    corrected = clips_from_track(ITEM, "videos", replace(OPTIONS, correct_lag=True), audio, track).clips[0]
    lag = corrected.meta.extra["lag_corrected_frames"]
    assert lag == corrected.meta.extra["lag_frames"]
    assert np.array_equal(corrected.audio[: 640 * 100], kept.audio[: 640 * 100])
    jaw, later = (
        corrected.motion.expression[:100, 17],
        np.interp(np.arange(100) + lag, np.arange(len(kept.motion)), kept.motion.expression[:, 17]),
    )
    assert np.abs(jaw - later).max() < 0.03


def test_recordings_that_cannot_be_learned_from_are_dropped_with_a_reason():
    audio, track = talking(15)
    count = len(track)
    nobody = replace(track, found=np.zeros(count, bool))
    assert reasons(clips_from_track(ITEM, "videos", OPTIONS, audio, nobody)) == [NO_FACE]
    crowd = replace(track, second_face=np.full(count, 0.9, np.float32))
    assert reasons(clips_from_track(ITEM, "videos", OPTIONS, audio, crowd)) == [TWO_FACES]
    dubbed = next(
        r
        for seed in range(50, 60)
        if (r := clips_from_track(ITEM, "videos", OPTIONS, babble(15, seed)[0], track)).dropped
    )
    assert reasons(dubbed) == [DUBBED] and not dubbed.clips


def test_lost_face_costs_its_time_and_is_told():
    audio, track = talking(12)
    found = np.ones(len(track), bool)
    found[120:240] = False
    result = clips_from_track(ITEM, "videos", OPTIONS, audio, replace(track, found=found))
    assert reasons(result) == [FACE_LOST] and len(result.clips) == 2
    assert "67% of the pictures" in result.dropped[0].detail
    starts = [clip.meta.extra["source_begin_s"] for clip in result.clips]
    assert starts[0] == 0 and starts[1] >= 8


def test_short_and_silent_parts_are_dropped():
    audio, track = talking(0.6)
    assert reasons(clips_from_track(ITEM, "videos", OPTIONS, audio, track)) == [TOO_SHORT]
    audio, track = talking(8)
    audio[64_000:] = 0
    result = clips_from_track(ITEM, "videos", replace(OPTIONS, limits=PieceLimits(1.0, 3.0)), audio, track)
    assert SILENT in reasons(result) and result.clips
    assert result.clips[-1].meta.extra["source_begin_s"] < 4


def test_picture_without_sound_silence_and_damage_are_told_before_any_tracking(tmp_path):
    def outcome(name, *arguments):
        path = write_video(tmp_path / name, plain_pictures(25), *arguments)
        result = prepare_video(replace(ITEM, path=path), "videos", OPTIONS)
        assert not result.clips and name in result.dropped[0].detail
        return reasons(result)

    assert outcome("mute.mp4") == [NO_SOUND]
    assert outcome("silent.mp4", np.zeros(16_000)) == [SILENT]
    whole = write_video(tmp_path / "whole.mp4", plain_pictures(25), np.random.default_rng(0).normal(0, 0.1, 16_000))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole.read_bytes()[:2000])
    result = prepare_video(replace(ITEM, path=broken), "videos", OPTIONS)
    assert reasons(result) == [UNREADABLE] and "broken.mp4" in result.dropped[0].detail


def test_two_recordings_of_one_name_are_refused():
    with pytest.raises(ClipError, match="ada_1"):
        video_jobs([ITEM, replace(ITEM, path=Path("elsewhere/ada_1.mp4"))], "videos", OPTIONS)


def test_terms_replace_only_what_is_given():
    changed = with_terms([ITEM], None, "CC0")[0]
    assert (changed.language, changed.licence) == ("en", "CC0")


def test_slugs_hold_no_dots_or_slashes():
    assert slug("my clip.v2/a") == "my_clip_v2_a" and slug("") == "unnamed"

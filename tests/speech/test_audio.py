"""Audio in and out: decoding, the length rule, and one clear error for each kind of bad input."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from speech.audio import (
    SAMPLE_RATE,
    AudioError,
    check_speech,
    decode_flac,
    encode_flac,
    loudest_level_dbfs,
    num_motion_frames,
    read_audio,
    write_wav,
)


def tone(seconds: float, rate: int = SAMPLE_RATE, hz: float = 220.0, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_video(path: Path, seconds: float = 2.0, sound: bool = True, options: dict | None = None) -> Path:
    rate = 44_100
    with av.open(str(path), "w", options=options or {}) as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 64
        audio = container.add_stream("aac", rate=rate, layout="stereo") if sound else None
        for _ in range(round(25 * seconds)):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            samples = np.repeat(tone(seconds, rate)[None], 2, axis=0)
            for start in range(0, samples.shape[1], 1024):
                chunk = np.ascontiguousarray(samples[:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = rate, start
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def test_ten_seconds_are_exactly_250_motion_frames():
    assert num_motion_frames(10 * SAMPLE_RATE) == 250
    assert num_motion_frames(10 * SAMPLE_RATE - 1) == 249
    assert num_motion_frames(0) == 0


def test_wav_written_and_read_again_differs_by_less_than_a_16_bit_step(tmp_path):
    audio = tone(1.0)
    write_wav(tmp_path / "a.wav", audio)
    assert np.abs(read_audio(tmp_path / "a.wav") - audio).max() < 1 / 32768
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_reading_resamples_to_the_same_tone(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(1.0, rate), rate, subtype="FLOAT")
    audio = read_audio(tmp_path / "a.wav")
    assert audio.dtype == np.float32
    assert abs(len(audio) - SAMPLE_RATE) <= 1
    middle = slice(2_000, 14_000)
    assert np.abs(audio[middle] - tone(1.0)[middle]).max() < 0.01


def test_channels_are_averaged(tmp_path):
    left, right = tone(1.0), tone(1.0, hz=300.0)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), SAMPLE_RATE, subtype="FLOAT")
    assert np.allclose(read_audio(tmp_path / "a.wav"), (left + right) / 2, atol=1e-6)


def test_samples_beyond_full_scale_are_clipped(tmp_path):
    soundfile.write(tmp_path / "a.wav", 3 * tone(1.0), SAMPLE_RATE, subtype="FLOAT")
    audio = read_audio(tmp_path / "a.wav")
    assert audio.max() == 1.0 and audio.min() == -1.0


def test_sound_of_a_video_is_read_whole_and_in_place(tmp_path):
    audio = read_audio(write_video(tmp_path / "a.mp4"))
    assert abs(len(audio) / SAMPLE_RATE - 2.0) < 0.07
    middle = slice(8_000, 24_000)
    assert np.corrcoef(audio[middle], tone(2.0)[middle])[0, 1] > 0.99


def test_video_without_sound_says_so(tmp_path):
    with pytest.raises(AudioError, match="has no sound"):
        read_audio(write_video(tmp_path / "mute.mp4", sound=False))


def test_missing_file_folder_and_text_are_refused(tmp_path):
    with pytest.raises(AudioError, match="does not exist"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="is a folder"):
        read_audio(tmp_path)
    (tmp_path / "text.wav").write_text("these are words, not sound" * 20)
    with pytest.raises(AudioError, match="cannot be read"):
        read_audio(tmp_path / "text.wav")
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(AudioError):
        read_audio(tmp_path / "empty.wav")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp4", "faststart.mp4", "mkv"])
def test_truncated_files_are_refused(tmp_path, suffix, kept):
    path = tmp_path / f"a.{suffix}"
    if suffix in ("wav", "flac"):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * SAMPLE_RATE)
        soundfile.write(path, noise, SAMPLE_RATE)
    else:
        write_video(path, seconds=4.0, options={"movflags": "faststart"} if "fast" in suffix else None)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(AudioError, match=r"truncated|damaged|not a whole"):
        read_audio(path)


def test_too_short_and_not_finite_files_are_refused(tmp_path):
    write_wav(tmp_path / "short.wav", tone(0.2))
    with pytest.raises(AudioError, match=r"0\.20 s of sound; at least 0\.5 s"):
        read_audio(tmp_path / "short.wav", minimum_s=0.5)
    broken = tone(1.0)
    broken[500] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        read_audio(tmp_path / "nan.wav")


def test_check_speech_accepts_speech_and_names_each_fault():
    check_speech(tone(0.5))
    check_speech(np.concatenate([np.zeros(SAMPLE_RATE, np.float32), tone(0.2, level=0.01)]))
    with pytest.raises(AudioError, match=r"clip\.wav is 0\.20 s long"):
        check_speech(tone(0.2), source="clip.wav")
    with pytest.raises(AudioError, match="silent"):
        check_speech(np.zeros(SAMPLE_RATE, np.float32))
    with pytest.raises(AudioError, match="silent"):
        check_speech(tone(1.0, level=1e-4))
    with pytest.raises(AudioError, match="NaN"):
        check_speech(np.full(SAMPLE_RATE, np.nan, np.float32))
    with pytest.raises(AudioError, match="mono"):
        check_speech(np.zeros((2, SAMPLE_RATE), np.float32))


def test_level_of_a_full_scale_tone_is_minus_3_db():
    assert loudest_level_dbfs(tone(1.0, level=1.0)) == pytest.approx(-3.01, abs=0.02)
    assert loudest_level_dbfs(np.zeros(100)) == float("-inf")


def test_flac_round_trip_is_exact_after_the_first_pass():
    audio = np.random.default_rng(0).uniform(-1, 1, SAMPLE_RATE).astype(np.float32)
    once = decode_flac(encode_flac(audio))
    assert np.abs(once - audio).max() <= 0.5 / 32768 + 1 / 32768 * (audio.max() > 32767 / 32768)
    assert np.array_equal(decode_flac(encode_flac(once)), once)


def test_damaged_or_foreign_flac_is_refused(tmp_path):
    data = encode_flac(tone(2.0))
    with pytest.raises(AudioError, match="FLAC"):
        decode_flac(data[: len(data) // 2])
    with pytest.raises(AudioError, match="FLAC"):
        decode_flac(b"not a flac file at all")
    soundfile.write(tmp_path / "a.flac", tone(1.0, 8_000), 8_000)
    with pytest.raises(AudioError, match="8000 Hz"):
        decode_flac((tmp_path / "a.flac").read_bytes())


def test_failed_write_leaves_nothing_behind(tmp_path):
    with pytest.raises(AudioError):
        write_wav(tmp_path / "a.wav", np.array([0.0, np.nan], np.float32))
    assert list(tmp_path.iterdir()) == []

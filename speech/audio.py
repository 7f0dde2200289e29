"""Reading and writing speech: any file to 16 kHz mono, and the one rule between samples and motion frames."""

from __future__ import annotations

import io
import os
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16_000
MOTION_FPS = 25
SAMPLES_PER_FRAME = SAMPLE_RATE // MOTION_FPS

MINIMUM_SPEECH_S = 0.5
SILENCE_DBFS = -60.0
_LEVEL_WINDOW = SAMPLE_RATE // 10

# A file may lack this share of its stated duration and still count as whole: containers round up.
_MISSING_SHARE = 0.01
_MISSING_S = 0.1
# Bare streams state no duration; FFmpeg estimates one from bit rates, which proves no truncation.
_FORMATS_WITH_ESTIMATED_DURATION = {"mp3", "aac", "ac3", "eac3", "dts", "mpeg", "mpegts"}
# Writers that stream to a pipe leave the size field of a RIFF file at or near its maximum.
_RIFF_SIZE_UNKNOWN = 0x7FFF0000

_INT16_SCALE = 32768.0


class AudioError(ValueError):
    """Sound cannot be used; the message names the file or array, what is wrong with it and what to do."""


def num_motion_frames(num_samples: int) -> int:
    """Whole motion frames (25/s) in `num_samples` of 16 kHz audio: 640 samples each; the one length rule."""
    return num_samples // SAMPLES_PER_FRAME


def read_audio(path: str | os.PathLike[str], *, minimum_s: float = 0.0) -> np.ndarray:
    """Decode the sound of any audio or video file.

    Returns float32 [N] at 16 kHz within [-1, 1], the mean of all channels. Sample 0 lies at the start of the
    container, so that a track starting after the picture keeps its delay (as leading zeros). Raises `AudioError`
    for a missing file, one without sound, one that cannot be decoded or ends before its stated duration, sound
    that is not finite, and sound shorter than `minimum_s` seconds. Truncation of files that do not state their
    length (mp3, bare aac, ogg) cannot be seen.
    """
    path = Path(path)
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "does not exist"
        raise AudioError(f"audio file {path} {reason}; give the path of an audio or video file")
    _check_riff_size(path)
    try:
        # Only local files: a playlist must not make the reader fetch addresses.
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as container:
            if not container.streams.audio:
                raise AudioError(f"{path} has no sound (no audio stream); give a file in which speech can be heard")
            mono, rate = _decode_mono(container, path)
    except av.FFmpegError as error:
        raise AudioError(f"{path} cannot be read as audio or video ({error.strerror}); it may be damaged") from error
    if not np.isfinite(mono).all():
        raise AudioError(f"{path} has samples that are NaN or infinite; export the sound again")
    audio = mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)
    if len(audio) < minimum_s * SAMPLE_RATE:
        raise AudioError(f"{path} has {len(audio) / SAMPLE_RATE:.2f} s of sound; at least {minimum_s:g} s is needed")
    return np.clip(audio, -1.0, 1.0).astype(np.float32, copy=False)


def _decode_mono(container: av.container.InputContainer, path: Path) -> tuple[np.ndarray, int]:
    """All of the first audio stream as float32 [N] at its own rate, delayed to the container's start."""
    stream = container.streams.audio[0]
    resampler = av.AudioResampler(format="fltp")
    chunks: list[np.ndarray] = []
    delay_s: float | None = None
    failure: Exception | None = None
    try:
        for frame in container.decode(stream):
            if delay_s is None:
                delay_s = _delay(container, frame)
            chunks += [part.to_ndarray().mean(axis=0) for part in resampler.resample(frame)]
    except (
        av.FFmpegError,
        ValueError,
    ) as error:  # ValueError: the resampler refuses a change of layout inside a file
        failure = error
    rate = stream.rate
    decoded = np.concatenate(chunks) if chunks else np.zeros(0, np.float32)
    _check_whole(container, stream, len(decoded) / rate, failure, path)
    silence = np.zeros(round((delay_s or 0.0) * rate), np.float32)
    return np.concatenate([silence, decoded]), rate


def _delay(container: av.container.InputContainer, frame: av.AudioFrame) -> float:
    if frame.time is None or container.start_time is None:
        return 0.0
    return max(0.0, frame.time - container.start_time / av.time_base)


def _check_whole(
    container: av.container.InputContainer,
    stream: av.AudioStream,
    decoded_s: float,
    failure: Exception | None,
    path: Path,
) -> None:
    stated_s = _stated_seconds(container, stream)
    if stated_s is not None and decoded_s < stated_s * (1 - _MISSING_SHARE) - _MISSING_S:
        raise AudioError(
            f"{path} is truncated or damaged: {decoded_s:.2f} s of sound could be decoded, its header states "
            f"{stated_s:.2f} s; copy or export it again"
        ) from failure
    if failure is not None and stated_s is None:
        raise AudioError(
            f"{path} cannot be decoded after {decoded_s:.2f} s ({failure}); it may be damaged"
        ) from failure
    if decoded_s == 0:
        raise AudioError(f"{path} has an audio stream without a single sample; export it again") from failure


def _stated_seconds(container: av.container.InputContainer, stream: av.AudioStream) -> float | None:
    """Duration that the header states for the audio stream, None where it states none."""
    if _FORMATS_WITH_ESTIMATED_DURATION & set(container.format.name.split(",")):
        return None
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if clock := stream.metadata.get("DURATION"):  # Matroska and WebM: HH:MM:SS.fraction
        hours, minutes, seconds = clock.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return None


def _check_riff_size(path: Path) -> None:
    """Compare a WAV's or AVI's own size field with the file: FFmpeg silently shortens both to what is there."""
    with path.open("rb") as file:
        header = file.read(8)
    size, stated = path.stat().st_size, int.from_bytes(header[4:], "little") + 8
    if header[:4] != b"RIFF" or stated >= _RIFF_SIZE_UNKNOWN:
        return
    if size < stated * (1 - _MISSING_SHARE):
        raise AudioError(f"{path} is truncated: {size} of {stated} bytes are there; copy or export it again")


def check_speech(audio: np.ndarray, source: str = "audio") -> None:
    """Raise `AudioError` unless `audio` [N] (16 kHz mono) can be speech: finite, 0.5 s or longer, not silent.

    Silent means that no 100 ms of it reach -60 dB of full scale (RMS).
    """
    audio = np.asarray(audio)
    if audio.ndim != 1:
        raise AudioError(f"{source} has shape {audio.shape}; expected mono samples of shape [N]")
    if not np.isfinite(audio).all():
        first = int(np.flatnonzero(~np.isfinite(audio))[0])
        raise AudioError(
            f"{source} is not finite at {first / SAMPLE_RATE:.2f} s (NaN or infinite sample); export it again"
        )
    if len(audio) < MINIMUM_SPEECH_S * SAMPLE_RATE:
        seconds = len(audio) / SAMPLE_RATE
        raise AudioError(f"{source} is {seconds:.2f} s long; at least {MINIMUM_SPEECH_S:g} s of speech is needed")
    level = loudest_level_dbfs(audio)
    if level < SILENCE_DBFS:
        raise AudioError(
            f"{source} is silent: its loudest 100 ms reach {level:.0f} dB of full scale, speech needs "
            f"{SILENCE_DBFS:.0f} dB or more; check the microphone or the chosen audio track"
        )


def loudest_level_dbfs(audio: np.ndarray) -> float:
    """RMS of the loudest 100 ms of `audio` [N] in dB relative to full scale; -inf for digital silence."""
    starts = np.arange(0, len(audio), _LEVEL_WINDOW)
    power = np.add.reduceat(np.asarray(audio, np.float64) ** 2, starts) / np.minimum(_LEVEL_WINDOW, len(audio) - starts)
    return float(10 * np.log10(power.max())) if power.max() > 0 else float("-inf")


def encode_flac(audio: np.ndarray) -> bytes:
    """16-bit FLAC of mono 16 kHz audio [N] within [-1, 1]; encoding decoded samples again changes nothing."""
    buffer = io.BytesIO()
    soundfile.write(buffer, _to_int16(audio), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes) -> np.ndarray:
    """Samples of a FLAC file as float32 [N]; `AudioError` unless it is whole, mono and 16 kHz."""
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
        stated = soundfile.info(io.BytesIO(data)).frames
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{len(data)} bytes cannot be decoded as FLAC ({error}); prepare the data again") from error
    if rate != SAMPLE_RATE or samples.shape[1] != 1:
        raise AudioError(f"FLAC holds {samples.shape[1]} channels at {rate} Hz; expected mono at {SAMPLE_RATE} Hz")
    if len(samples) != stated:
        raise AudioError(f"FLAC is truncated: {len(samples)} of {stated} samples; prepare the data again")
    return (samples[:, 0] / _INT16_SCALE).astype(np.float32)


def write_wav(path: str | os.PathLike[str], audio: np.ndarray) -> None:
    """Write mono 16 kHz audio [N] within [-1, 1] as a 16-bit WAV; the file appears whole or not at all."""
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        soundfile.write(temporary, _to_int16(audio), SAMPLE_RATE, format="WAV", subtype="PCM_16")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _to_int16(audio: np.ndarray) -> np.ndarray:
    audio = np.asarray(audio)
    if audio.ndim != 1:
        raise AudioError(f"audio has shape {audio.shape}; expected mono samples of shape [N]")
    if not np.isfinite(audio).all():
        raise AudioError("audio holds NaN or infinite samples and cannot be written")
    # Not left to libsndfile: it writes with 32767 and reads with 32768, so each round trip would lose level.
    return np.clip(np.round(audio * _INT16_SCALE), -32768, 32767).astype(np.int16)

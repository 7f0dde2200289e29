import errno

import av
import numpy as np
import pytest
from PIL import Image

import faces.video_encoding
from faces import load_face_model
from faces.arkit import ARKIT_INDEX
from faces.motion import FaceMotion
from faces.render_pyvista import offscreen_window_class
from faces.video import VideoError, caption_strip, contact_sheet, render_motion, render_still, write_video

needs_offscreen = pytest.mark.skipif(
    offscreen_window_class() is None, reason="VTK cannot draw off screen here (no EGL, no OSMesa)"
)


@pytest.fixture(scope="module")
def face():
    return load_face_model("procedural")


def talking(frames, fps=25.0, amplitude=0.6):
    expression = np.zeros((frames, 52), np.float32)
    expression[:, ARKIT_INDEX["jawOpen"]] = amplitude * np.sin(np.arange(frames)) ** 2
    return FaceMotion(expression=expression, head=np.zeros((frames, 3)), fps=fps)


def grey_frames(count, height=32, width=48):
    for index in range(count):
        yield np.full((height, width, 3), 20 * index % 256, np.uint8)


def clicks(frames, at_frame):
    """Silence with a burst of noise during one frame."""
    audio = np.zeros(frames * 640, np.float32)
    audio[at_frame * 640 : (at_frame + 1) * 640] = np.random.default_rng(0).uniform(-0.8, 0.8, 640)
    return audio


def decoded(path):
    """Frames [T,H,W,3], the sound by its time stamps [N], and the streams' durations in seconds by kind."""
    with av.open(str(path)) as container:
        durations = {s.type: float(s.duration * s.time_base) for s in container.streams}
        pictures = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    sound = np.zeros(0, np.float32)
    if "audio" in durations:
        with av.open(str(path)) as container:
            sound = np.zeros(round(durations["audio"] * 16000) + 2048, np.float32)
            for frame in container.decode(audio=0):
                start = round(frame.time * 16000)
                samples = frame.to_ndarray()[0][max(-start, 0) :]
                sound[max(start, 0) : max(start, 0) + len(samples)] = samples
    return pictures, sound, durations


def test_pictures_and_sound_last_equally_long_and_stay_together(tmp_path):
    path = tmp_path / "clip.mp4"
    assert write_video(path, grey_frames(25), 25, clicks(25, at_frame=15)) == 25
    pictures, sound, durations = decoded(path)
    assert pictures.shape == (25, 32, 48, 3)
    assert durations["video"] == pytest.approx(1.0, abs=1e-3)
    assert durations["audio"] == pytest.approx(1.0, abs=1e-3)
    assert np.abs(pictures.mean((1, 2, 3)) - [20 * i % 256 for i in range(25)]).max() < 6
    energy = (sound[: 25 * 640].reshape(25, 640) ** 2).mean(1)
    assert energy.argmax() == 15 and energy[15] > 10 * np.delete(energy, [14, 15, 16]).max()


@pytest.mark.parametrize("samples", [3200, 64000])
def test_sound_is_filled_or_cut_to_the_pictures(tmp_path, samples):
    path = tmp_path / "clip.mp4"
    write_video(path, grey_frames(10), 25, np.full(samples, 0.1, np.float32))
    assert decoded(path)[2]["audio"] == pytest.approx(0.4, abs=1e-3)


def test_the_file_is_h264_in_yuv420p_with_its_index_first(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, grey_frames(5), 25, np.zeros(3200, np.float32))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert container.streams.audio[0].codec_context.name == "aac"
    content = path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_equal_pictures_give_equal_files(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, grey_frames(12), 25, clicks(12, 3))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_nothing_is_left_and_the_old_file_stays_where_the_pictures_fail(tmp_path):
    def breaking():
        yield from grey_frames(3)
        raise RuntimeError("the model broke")

    path = tmp_path / "clip.mp4"
    path.write_bytes(b"older")
    with pytest.raises(RuntimeError, match="the model broke"):
        write_video(path, breaking(), 25)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"] and path.read_bytes() == b"older"


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(faces.video_encoding._SoundTrack, "write_until", full)
    with pytest.raises(VideoError, match=r"clip\.mp4: .*No space left on device"):
        write_video(tmp_path / "clip.mp4", grey_frames(5), 25, np.zeros(3200, np.float32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("frames", "audio", "message"),
    [
        ([], None, "no frames"),
        ([np.zeros((31, 32, 3), np.uint8)], None, "even"),
        ([np.zeros((32, 32, 3), np.float32)], None, "uint8"),
        (
            [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 48, 3), np.uint8)],
            None,
            r"\(32, 48, 3\)",
        ),
        (grey_frames(2), np.zeros((2, 100), np.float32), "mono"),
        (grey_frames(2), np.zeros(100, np.int16), "float"),
        (grey_frames(2), np.array([np.nan], np.float32), "not finite"),
    ],
)
def test_bad_pictures_and_sound_are_refused_and_leave_nothing(tmp_path, frames, audio, message):
    with pytest.raises(VideoError, match=message):
        write_video(tmp_path / "clip.mp4", frames, 25, audio)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(VideoError, match=r"folder .*nowhere does not exist"):
        write_video(tmp_path / "nowhere" / "clip.mp4", grey_frames(1), 25)


def test_captions_stand_over_their_panel_and_long_ones_are_shortened():
    plain, one, long = (caption_strip(["", text], 120) for text in ("", "truth", "prediction " * 9))
    assert one.shape == plain.shape and one.shape[0] % 2 == 0 and one.shape[1] == 240
    ink = np.flatnonzero((one != plain).any((0, 2)))
    assert ink.min() > 120 and ink.max() < 240
    assert abs(ink.mean() - 180) < 5
    ink = np.flatnonzero((long != plain).any((0, 2)))
    assert ink.min() >= 120 and ink.max() < 240 and len(ink) > 60


@needs_offscreen
def test_a_motion_becomes_a_video_of_its_length_with_its_sound(tmp_path, face):
    path, calls = tmp_path / "a.mp4", []
    render_motion(
        talking(10),
        face,
        path,
        audio=clicks(10, 5),
        size=96,
        progress=lambda *counts: calls.append(counts),
    )
    pictures, _, durations = decoded(path)
    assert pictures.shape == (10, 96, 96, 3)
    assert durations["video"] == pytest.approx(0.4, abs=1e-3) == durations["audio"]
    assert calls == [(i, 10) for i in range(1, 11)]
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@needs_offscreen
def test_side_by_side_panels_have_captions_and_the_shorter_one_holds_its_last_frame(tmp_path, face):
    path = tmp_path / "a.mp4"
    render_motion([("prediction", talking(6)), ("truth", talking(3))], face, path, size=96)
    pictures = decoded(path)[0].astype(int)
    strip = len(caption_strip(["", ""], 96))
    assert pictures.shape == (6, 96 + strip, 192, 3)
    assert pictures[0, :strip, :96].std() > 5 and pictures[0, :strip, 96:].std() > 5
    change = np.abs(np.diff(pictures[:, strip:], axis=0)).mean(-1)
    assert change[3, :, :96].max() > 40 > 20 > change[3, :, 96:].max()
    assert np.abs(pictures[1, strip:, :96] - pictures[1, strip:, 96:]).mean() < 2


@needs_offscreen
def test_a_motion_is_drawn_with_its_own_identity_unless_another_is_given(tmp_path, face):
    own = np.zeros(face.num_identity, np.float32)
    own[0] = 2.0
    plain = talking(1)
    of_someone = plain.replace(identity=own, identity_space=face.name)
    of_another_model = plain.replace(identity=np.ones(100, np.float32), identity_space="ict")

    def still(motion, **fields):
        render_still(motion, 0, face, tmp_path / "still.png", size=64, **fields)
        return np.asarray(Image.open(tmp_path / "still.png")).astype(int)

    assert np.abs(still(plain) - still(of_someone)).max() > 20
    np.testing.assert_array_equal(still(plain), still(of_another_model))
    np.testing.assert_array_equal(still(plain, identity=own), still(of_someone))


@needs_offscreen
def test_a_contact_sheet_shows_the_asked_number_of_moments(tmp_path, face):
    contact_sheet(talking(20), face, tmp_path / "sheet.png", frames=6, size=64)
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.size == (256, 2 * (64 + len(caption_strip([""], 64))))


def test_motions_that_do_not_fit_are_refused_before_anything_is_drawn(tmp_path, face):
    out = tmp_path / "a.mp4"
    flame = FaceMotion(expression=np.zeros((2, 50)), head=np.zeros((2, 3)), space="flame")
    cases = [
        ([], "no motion"),
        (talking(2)[:0], "no frames"),
        ([("a", talking(2)), ("b", talking(2, fps=30.0))], "resample"),
        (flame, "'flame' space"),
    ]
    for motions, message in cases:
        with pytest.raises(VideoError, match=message):
            render_motion(motions, face, out)
    with pytest.raises(VideoError, match="even"):
        render_motion(talking(2), face, out, size=97)
    with pytest.raises(VideoError, match=r"takes \[10\]"):
        render_motion(talking(2), face, out, identity=np.zeros(3))
    with pytest.raises(VideoError, match="frames 0 to 1"):
        render_still(talking(2), 2, face, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())

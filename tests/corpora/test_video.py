import struct

import numpy as np
import pytest
from made_up_videos import plain_pictures, write_video

from corpora.video import VideoError, probe_video, read_pictures


def test_header_tells_size_rate_duration_and_sound(tmp_path):
    sound = np.random.default_rng(0).normal(0, 0.1, 16_000)
    info = probe_video(write_video(tmp_path / "a.mp4", plain_pictures(25), sound))
    assert (info.width, info.height, info.has_sound) == (96, 64, True)
    assert info.fps == pytest.approx(25, abs=0.5)
    assert info.duration_s == pytest.approx(1.0, abs=0.05)
    assert not probe_video(write_video(tmp_path / "b.mp4", plain_pictures(5))).has_sound


def test_pictures_come_in_order_with_their_content(tmp_path):
    path = write_video(tmp_path / "a.mp4", plain_pictures(10, colour=(20, 40, 200)))
    pictures = list(read_pictures(path))
    assert len(pictures) == 10
    assert np.allclose([p.time_s for p in pictures], np.arange(10) / 25, atol=1e-3)
    for number, picture in enumerate(pictures):
        assert picture.rgb.flags.c_contiguous
        assert np.abs(picture.rgb[:, 50].astype(int) - (20, 40, 200)).max() < 30
        assert picture.rgb.mean(axis=(0, 2)).argmax() in (number - 1, number, number + 1)


def test_uneven_times_are_kept(tmp_path):
    times = [0, 40, 70, 150, 160, 300]
    path = write_video(tmp_path / "a.mp4", plain_pictures(6), times_ms=times)
    read = [p.time_s for p in read_pictures(path)]
    assert np.allclose(read, np.array(times) / 1000, atol=2e-3)


def test_large_pictures_are_reduced_in_proportion(tmp_path):
    path = write_video(tmp_path / "a.mp4", plain_pictures(2, size=(256, 128)))
    assert next(read_pictures(path, longest_side=64)).rgb.shape == (32, 64, 3)


def test_pictures_of_a_turned_phone_stand_upright(tmp_path):
    pictures = plain_pictures(3)
    for picture in pictures:
        picture[:32] = (250, 10, 10)
    path = write_video(tmp_path / "a.mp4", pictures)
    content = path.read_bytes()
    unturned = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 96 << 16, 0, 1 << 30)
    at = content.index(unturned, content.index(b"tkhd"))
    path.write_bytes(content[:at] + clockwise + content[at + len(clockwise) :])
    shown = next(read_pictures(path)).rgb
    assert shown.shape == (96, 64, 3)
    # Turned clockwise, what was at the top is at the right.
    assert shown[:, -10, 0].mean() > 200 > 150 > shown[:, 10, 0].mean()


def test_missing_folder_soundonly_and_foreign_files_are_named(tmp_path):
    (tmp_path / "text.mp4").write_text("this is no video at all " * 50)
    for path in (tmp_path / "none.mp4", tmp_path, tmp_path / "text.mp4"):
        with pytest.raises(VideoError, match=path.name):
            probe_video(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_file_is_refused(tmp_path, share):
    rng = np.random.default_rng(0)
    noisy = [rng.integers(0, 256, (64, 96, 3)).astype(np.uint8) for _ in range(50)]
    path = write_video(tmp_path / "a.mp4", noisy)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(VideoError, match=r"a\.mp4"):
        list(read_pictures(path))

import zipfile

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from faces.motion import FaceMotion, MotionError


def make_motion(frames=40, seed=0, translation=True, fps=25.0):
    random = np.random.default_rng(seed)
    return FaceMotion(
        expression=random.random((frames, 52)),
        head=np.cumsum(random.normal(0, 0.05, (frames, 3)), axis=0),
        jaw=np.zeros((frames, 3)),
        translation=random.normal(0, 0.01, (frames, 3)) if translation else None,
        identity=random.normal(size=10),
        identity_space="procedural",
        fps=fps,
    )


def assert_same(first, second):
    for name in ("expression", "head", "jaw", "identity", "translation"):
        a, b = getattr(first, name), getattr(second, name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype == np.float32
    assert (first.space, first.identity_space, first.fps) == (second.space, second.identity_space, second.fps)


@pytest.mark.parametrize("translation", [True, False])
def test_bytes_round_trip_exactly_and_deterministically(translation):
    motion = make_motion(translation=translation)
    content = motion.to_bytes()
    assert_same(FaceMotion.from_bytes(content), motion)
    assert content == make_motion(translation=translation).to_bytes()


def test_save_keeps_the_given_name_and_leaves_nothing_else(tmp_path):
    motion = make_motion()
    motion.save(tmp_path / "clip.motion")
    assert [p.name for p in tmp_path.iterdir()] == ["clip.motion"]
    assert_same(FaceMotion.load(tmp_path / "clip.motion"), motion)


def test_a_failed_save_keeps_the_old_file_and_no_partial_one(tmp_path, monkeypatch):
    path = tmp_path / "clip.npz"
    make_motion().save(path)
    before = path.read_bytes()

    def full_disk(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(OSError):
        make_motion(seed=1).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["clip.npz"]


def test_slices_and_concatenation_undo_each_other():
    motion = make_motion()
    pieces = [motion[:7], motion[7:8], motion[8:]]
    assert [len(piece) for piece in pieces] == [7, 1, 32]
    assert_same(FaceMotion.concatenate(pieces), motion)


def test_length_and_duration_follow_frames_and_rate():
    motion = make_motion(frames=250)
    assert len(motion) == 250
    assert motion.duration == 10.0
    assert len(motion[10:20]) == 10


@pytest.mark.parametrize(
    "change", [{"fps": 30.0}, {"identity": np.zeros(10)}, {"identity_space": "ict"}, {"translation": None}]
)
def test_motions_that_disagree_are_not_concatenated(change):
    motion = make_motion()
    with pytest.raises(MotionError):
        FaceMotion.concatenate([motion, motion.replace(**change)])


def test_slicing_refuses_single_frames_and_steps():
    with pytest.raises(TypeError, match="slice"):
        make_motion()[3]
    with pytest.raises(MotionError, match="resample"):
        make_motion()[::2]


@pytest.mark.parametrize("fps", [25.0, 30.0, 24.0, 60.0, 23.976, 12.5])
def test_resampling_gives_the_rounded_length_and_keeps_the_ends(fps):
    motion = make_motion(frames=101)
    resampled = motion.resample(fps)
    assert len(resampled) == round(motion.duration * fps)
    assert resampled.fps == fps
    np.testing.assert_allclose(resampled.expression[0], motion.expression[0], atol=1e-6)
    np.testing.assert_allclose(resampled.head[0], motion.head[0], atol=1e-5)


def test_resampling_agrees_with_a_slow_reference_on_the_sphere():
    motion = make_motion(frames=20)
    times = np.array([0.0, 0.013, 0.1, 0.305, 0.59, 0.76])
    resampled = motion.resample_at(times)
    for index, time in enumerate(times):
        position = min(time * motion.fps, len(motion) - 1)
        before = min(int(position), len(motion) - 2)
        share = position - before
        expected = (1 - share) * motion.expression[before] + share * motion.expression[before + 1]
        np.testing.assert_allclose(resampled.expression[index], expected, atol=1e-5)
        start, end = (Rotation.from_rotvec(motion.head[before + k]) for k in (0, 1))
        step = (start.inv() * end).as_rotvec()
        rotation = start * Rotation.from_rotvec(share * step)
        difference = (rotation.inv() * Rotation.from_rotvec(resampled.head[index])).magnitude()
        assert difference < 1e-5


def test_rotations_are_interpolated_the_shorter_way_round():
    half_turn = np.array([[0, 3.0, 0], [0, -3.0, 0]])
    motion = FaceMotion(np.zeros((2, 52)), half_turn)
    middle = motion.resample_at(np.array([0.02])).head[0]
    assert abs(np.linalg.norm(middle) - np.pi) < 1e-5


def test_times_outside_hold_the_end_frames():
    motion = make_motion()
    held = motion.resample_at(np.array([-1.0, 99.0]))
    np.testing.assert_allclose(held.expression, motion.expression[[0, -1]], atol=1e-6)


def test_one_frame_resamples_and_no_frame_says_so():
    assert len(make_motion(frames=1).resample(50.0)) == 2
    with pytest.raises(MotionError, match="0 frames"):
        make_motion()[:0].resample_at(np.zeros(1))


@pytest.mark.parametrize("field", ["expression", "head", "jaw", "translation"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named_with_their_first_frame(field, value):
    motion = make_motion()
    values = getattr(motion, field).copy()
    values[[17, 30], 1] = value
    with pytest.raises(MotionError, match=rf"{field} .*frame 17"):
        motion.replace(**{field: values})


def test_numbers_too_large_for_single_precision_are_not_finite():
    with pytest.raises(MotionError, match="expression"):
        FaceMotion(np.full((2, 52), 1e300), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"expression": np.zeros((4, 51)), "head": np.zeros((4, 3))}, "51 coefficients"),
        ({"expression": np.zeros((4, 52)), "head": np.zeros((5, 3))}, "head has shape"),
        ({"expression": np.zeros(52), "head": np.zeros((1, 3))}, "expression has shape"),
        (
            {"expression": np.zeros((4, 52)), "head": np.zeros((4, 3)), "identity": np.zeros((4, 10))},
            "identity",
        ),
        ({"expression": np.zeros((4, 52)), "head": np.zeros((4, 3)), "fps": 0}, "fps"),
        (
            {"expression": np.zeros((4, 52)), "head": np.zeros((4, 3)), "identity_space": "mine"},
            "identity_space",
        ),
        ({"expression": np.full((4, 52), "a"), "head": np.zeros((4, 3))}, "real numbers"),
    ],
)
def test_wrong_shapes_and_labels_are_refused(fields, message):
    with pytest.raises(MotionError, match=message):
        FaceMotion(**fields)


def test_every_truncation_of_a_file_is_a_clear_error(tmp_path):
    content = make_motion(frames=3).to_bytes()
    path = tmp_path / "cut.npz"
    for length in [0, 1, 10, len(content) // 3, len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(MotionError, match=r"cut\.npz"):
            FaceMotion.load(path)


def test_an_edited_byte_is_noticed():
    motion = make_motion(frames=3)
    content = bytearray(motion.to_bytes())
    at = content.find(motion.expression.tobytes())
    content[at + 100] ^= 0xFF
    with pytest.raises(MotionError):
        FaceMotion.from_bytes(bytes(content))


def test_foreign_files_are_named(tmp_path):
    np.savez(tmp_path / "other.npz", expression=np.zeros((3, 52)))
    np.save(tmp_path / "bare.npy", np.zeros(3))
    np.savez(tmp_path / "pickled.npz", expression=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("hello")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("a.txt", "hello")
    for name in ("other.npz", "bare.npy", "pickled.npz", "text.npz", "zip.npz", "absent.npz"):
        with pytest.raises(MotionError, match=name.split(".")[0]):
            FaceMotion.load(tmp_path / name)

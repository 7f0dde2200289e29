import json

import numpy as np
from made_up_clips import make_clip

from datamodules.motion_statistics import MotionStatistics, StatisticsAccumulator


def test_merged_moments_equal_numpy_over_all_frames_at_once() -> None:
    motions = [make_clip(f"m{i}", 5 + 7 * i).motion for i in range(6)]
    offset = [m.replace(head=m.head + np.float32(100.0)) for m in motions]
    accumulator = StatisticsAccumulator()
    for motion in offset:
        accumulator.add(motion)
    statistics = accumulator.result()
    assert statistics is not None and statistics.clips == 6
    for name in ("expression", "jaw", "head", "translation"):
        frames = np.concatenate([getattr(m, name) for m in offset]).astype(np.float64)
        found = getattr(statistics, name)
        np.testing.assert_allclose(found.mean, frames.mean(axis=0), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(found.std, frames.std(axis=0), rtol=1e-9, atol=1e-15)
        np.testing.assert_array_equal(found.min, frames.min(axis=0))
        np.testing.assert_array_equal(found.max, frames.max(axis=0))
        assert found.frames == len(frames)


def test_clips_without_translation_leave_it_out() -> None:
    accumulator = StatisticsAccumulator()
    accumulator.add(make_clip("m", 9).motion.replace(translation=None))
    statistics = accumulator.result()
    assert statistics is not None and statistics.translation is None
    again = MotionStatistics.from_dict(json.loads(json.dumps(statistics.to_dict())))
    assert again.translation is None
    np.testing.assert_array_equal(again.head.std, statistics.head.std)


def test_nothing_added_gives_no_statistics() -> None:
    assert StatisticsAccumulator().result() is None

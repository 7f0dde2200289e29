import numpy as np
from made_up_clips import make_clip

from datamodules.shard_writer import index_entry
from datamodules.windows import ClipNeighbours, Frames, WindowRule, draw_training_window, evaluation_window
from runtime.seeding import keyed_generator


def _neighbours(*clips: tuple[str, int, str]) -> ClipNeighbours:
    """From (speaker, frames, emotion) of clips named a, b, c, ..."""
    entries = []
    for name, (speaker, frames, emotion) in zip("abcdefgh", clips, strict=False):
        clip = make_clip(name, 1, speaker=speaker, emotion=emotion)
        entries.append(index_entry(name, clip.meta, frames, {}))
    return ClipNeighbours(entries, range(len(entries)))


def _draws(neighbours: ClipNeighbours, rule: WindowRule, clip: int = 0) -> list[tuple[Frames, Frames]]:
    return [draw_training_window(clip, neighbours, rule, keyed_generator("window", 0, e, clip)) for e in range(200)]


def _overlap(first: Frames, second: Frames) -> bool:
    return first.clip == second.clip and first.start < second.stop and second.start < first.stop


def test_the_reference_never_overlaps_the_target_of_a_speaker_with_other_clips() -> None:
    neighbours = _neighbours(("ada", 300, "neutral"), ("ada", 90, "neutral"), ("bob", 300, "neutral"))
    for probability in (0.0, 0.5, 1.0):
        rule = WindowRule(100, (50, 120), probability)
        draws = _draws(neighbours, rule)
        assert not any(_overlap(target, reference) for target, reference in draws)
        assert {reference.clip for _, reference in draws} <= {0, 1}
        assert all(t.stop - t.start == 100 and t.start >= 0 and t.stop <= 300 for t, _ in draws)
    assert all(reference.clip == 1 for _, reference in draws)


def test_both_kinds_of_reference_occur_about_as_often_as_asked() -> None:
    neighbours = _neighbours(("ada", 1000, "neutral"), ("ada", 1000, "neutral"))
    others = np.mean([reference.clip == 1 for _, reference in _draws(neighbours, WindowRule(100, (50, 120), 0.3))])
    assert 0.2 < others < 0.4


def test_reference_lengths_stay_in_their_range_and_vary() -> None:
    neighbours = _neighbours(("ada", 1000, "neutral"), ("ada", 1000, "neutral"))
    lengths = {r.stop - r.start for _, r in _draws(neighbours, WindowRule(100, (50, 120), 1.0))}
    assert min(lengths) >= 50 and max(lengths) <= 120 and len(lengths) > 30


def test_a_clip_of_the_same_emotion_is_preferred() -> None:
    neighbours = _neighbours(("ada", 90, "happy"), ("ada", 90, "sad"), ("ada", 90, "happy"))
    assert {r.clip for _, r in _draws(neighbours, WindowRule())} == {2}
    assert {r.clip for _, r in _draws(neighbours, WindowRule(), clip=1)} == {0, 2}


def test_an_only_clip_gives_a_disjoint_part_while_it_is_long_enough() -> None:
    rule = WindowRule(100, (50, 120), 1.0)
    assert not any(_overlap(*draw) for draw in _draws(_neighbours(("ada", 400, "neutral")), rule))
    short = _draws(_neighbours(("ada", 80, "neutral")), rule)
    assert all(target == Frames(0, 0, 80) and reference.clip == 0 for target, reference in short)
    assert all(0 <= r.start < r.stop <= 80 for _, r in short)


def test_evaluation_takes_whole_clips_and_the_first_other_clip_by_key() -> None:
    neighbours = _neighbours(("ada", 300, "sad"), ("ada", 400, "happy"), ("ada", 90, "sad"), ("bob", 70, "sad"))
    rule = WindowRule(100, (50, 120), 0.5)
    assert evaluation_window(0, neighbours, rule) == (Frames(0, 0, 300), Frames(2, 0, 90))
    assert evaluation_window(1, neighbours, rule) == (Frames(1, 0, 400), Frames(0, 0, 120))
    assert evaluation_window(3, neighbours, rule) == (Frames(3, 0, 70), Frames(3, 0, 70))


def test_among_clips_of_one_emotion_the_same_intensity_is_preferred() -> None:
    entries = []
    for name, intensity in zip("abc", (1, 3, 1), strict=True):
        clip = make_clip(name, 1, speaker="ada", emotion="happy", intensity=intensity)
        entries.append(index_entry(name, clip.meta, 90, {}))
    neighbours = ClipNeighbours(entries, range(3))
    assert neighbours.others(0) == [2]
    assert neighbours.others(1) == [0, 2]

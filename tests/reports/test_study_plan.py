import itertools
from collections import Counter

import pytest
from made_up_study import CLIPS, OURS, THEIRS, make_sections

from reports.scoring import TRUTH
from reports.study_plan import QUESTIONS, RATING, STILL, make_sheets

METHODS = (OURS, THEIRS, "third")
SHEETS = make_sheets(make_sections(METHODS), 24, 5)


def of(sheet, question: str):
    return [trial for trial in sheet if trial.question == question and not trial.is_catch]


def test_every_rater_sees_every_method_of_every_clip_once() -> None:
    for sheet in SHEETS:
        assert sorted((t.clip, t.shown[0]) for t in of(sheet, "lips")) == sorted(
            (clip, method) for clip in CLIPS for method in (*METHODS, TRUTH)
        )
        pairs = sorted((t.clip, *sorted(t.shown)) for t in of(sheet, "richness"))
        assert pairs == sorted((clip, *sorted((OURS, other))) for clip in CLIPS for other in METHODS[1:])


def test_each_method_of_a_clip_comes_equally_often_in_each_block() -> None:
    counts = Counter(
        (number // len(CLIPS), trial.clip, trial.shown)
        for sheet in SHEETS
        for number, trial in enumerate(of(sheet, "lips"))
    )
    assert len(counts) == 4 * len(CLIPS) * 4 and set(counts.values()) == {len(SHEETS) // 4}


def test_a_block_shows_every_clip_once_and_no_clip_follows_itself() -> None:
    for sheet in SHEETS:
        clips = [trial.clip for trial in of(sheet, "lips")]
        for start in range(0, len(clips), len(CLIPS)):
            assert sorted(clips[start : start + len(CLIPS)]) == sorted(CLIPS)
        assert all(a != b for a, b in itertools.pairwise(clips))


def test_sides_are_balanced_for_every_rater_and_every_pair_of_a_clip() -> None:
    left = Counter()
    for sheet in SHEETS:
        for other in METHODS[1:]:
            sides = [t.shown[0] == OURS for t in of(sheet, "richness") if other in t.shown]
            assert sum(sides) == len(CLIPS) / 2
        left.update((t.clip, frozenset(t.shown)) for t in of(sheet, "richness") if t.shown[0] == OURS)
    assert len(left) == 2 * len(CLIPS) and set(left.values()) == {len(SHEETS) / 2}


def test_catches_are_spread_out_and_never_come_first() -> None:
    places = []
    for sheet in SHEETS:
        for question in ("lips", "richness"):
            section = [trial.is_catch for trial in sheet if trial.question == question]
            assert sum(section) == 3 and not section[0]
            assert not any(a and b for a, b in itertools.pairwise(section))
            places += [place for place, caught in enumerate(section) if caught]
    assert len(set(places)) > 15, "catches must not stand where raters can learn to expect them"


def test_orders_differ_between_raters_and_sections_take_turns() -> None:
    assert len({str(sheet) for sheet in SHEETS}) == len(SHEETS)
    assert Counter(sheet[0].question for sheet in SHEETS) == {"lips": 12, "richness": 12}


def test_the_seed_decides_and_more_raters_change_nothing_for_those_before() -> None:
    assert make_sheets(make_sections(METHODS), 6, 5) == SHEETS[:6]
    assert make_sheets(make_sections(METHODS), 6, 6) != SHEETS[:6]


def test_first_places_are_shared_by_clips() -> None:
    first = Counter(of(sheet, "lips")[0].clip for sheet in make_sheets(make_sections(METHODS), 80, 0))
    assert set(first) == set(CLIPS) and max(first.values()) <= 25


@pytest.mark.parametrize("clips", [("one",), ("one", "two")])
def test_few_clips_make_a_study_too(clips: tuple[str, ...]) -> None:
    for sheet in make_sheets(make_sections((OURS, THEIRS), clips), 4, 0):
        assert len([t for t in sheet if not t.is_catch]) == 4 * len(clips)


def test_ratings_have_five_levels_and_a_still_face_is_a_catch() -> None:
    assert all(len(q.levels) == (5 if q.kind == RATING else 0) for q in QUESTIONS.values())
    assert all(t.is_catch == (STILL in t.shown) for t in SHEETS[0])

from collections import Counter
from pathlib import Path

import pytest

from corpora.mead import adaptation_split, list_mead
from corpora.video_corpus import LayoutError

NAMES = (
    "M003/video/front/angry/level_1/001.mp4",
    "M003/video/front/neutral/level_1/009.mp4",
    "M003/video/left_30/angry/level_1/001.mp4",
    "W015/video/front/surprised/level_3/010.mp4",
    "M003/audio/angry/level_1/001.m4a",
)


def make_layout(root: Path, names: tuple[str, ...] = NAMES) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_front_views_are_listed_with_actor_emotion_level_and_sentence(tmp_path):
    items = list_mead(make_layout(tmp_path))
    assert [(i.speaker, i.emotion, i.intensity, i.extra["sentence"]) for i in items] == [
        ("M003", "angry", 1, "001"),
        ("M003", "neutral", 0, "009"),
        ("W015", "surprised", 3, "010"),
    ]
    assert items[0].audio_path == tmp_path / "M003/audio/angry/level_1/001.m4a" and items[1].audio_path is None
    assert items[0].key == "M003_front_angry_level_1_001"
    assert [i.extra["adaptation_split"] for i in items] == ["adapt", "val", "heldout"]
    assert len({i.split for i in items if i.speaker == "M003"}) == 1


def test_other_views_are_listed_on_request(tmp_path):
    items = list_mead(make_layout(tmp_path), views=("left_30",))
    assert [i.extra["view"] for i in items] == ["left_30"]
    with pytest.raises(LayoutError, match="back"):
        list_mead(tmp_path, views=("back",))


def test_a_sentence_is_on_one_side_for_every_actor_and_emotion():
    assert Counter(map(adaptation_split, range(1, 31))) == {"adapt": 21, "heldout": 6, "val": 3}


@pytest.mark.parametrize(
    "name",
    [
        "M003/video/front/furious/level_1/001.mp4",
        "M003/video/front/angry/level_4/001.mp4",
        "M003/video/front/angry/level_1/x.mp4",
    ],
)
def test_names_that_are_not_meads_are_refused(tmp_path, name):
    with pytest.raises(LayoutError, match="not named as in MEAD"):
        list_mead(make_layout(tmp_path, (name,)))


@pytest.mark.parametrize(
    ("names", "inner", "hint"),
    [
        (NAMES, "M003", "folder of one actor"),
        (("M003/front/angry/level_1/001.mp4",), ".", "'video' is missing"),
        (("M003/video.tar",), ".", "unpack"),
        ((), "none", "not a folder"),
    ],
)
def test_near_misses_get_a_hint(tmp_path, names, inner, hint):
    with pytest.raises(LayoutError, match=hint) as error:
        list_mead(make_layout(tmp_path, names) / inner)
    assert "ROOT/M003/video/front" in str(error.value)

import pytest

from corpora.ravdess import list_ravdess
from corpora.video_corpus import LayoutError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_codes_of_names_are_read_and_takes_without_sound_or_sung_passed_over(tmp_path):
    touch(
        tmp_path,
        "Actor_12/01-01-05-02-02-01-12.mp4",
        "Actor_12/01-01-01-01-01-02-12.mp4",
        "Actor_12/02-01-05-02-02-01-12.mp4",
        "Video_Speech_Actor_03/Actor_03/01-01-07-01-01-01-03.mp4",
        "Actor_12/01-02-05-02-02-01-12.mp4",
    )
    items = {i.key: i for i in list_ravdess(tmp_path)}
    assert len(items) == 3
    strong = items["01-01-05-02-02-01-12"]
    assert (strong.speaker, strong.emotion, strong.intensity) == ("Actor_12", "angry", 2)
    assert strong.extra["adaptation_split"] == "heldout" and "Dogs" in strong.extra["text"]
    assert items["01-01-01-01-01-02-12"].intensity == 0
    assert items["01-01-07-01-01-01-03"].emotion == "disgusted"


def test_near_misses_get_a_hint(tmp_path):
    with pytest.raises(LayoutError, match="speech with both"):
        list_ravdess(touch(tmp_path / "a", "Actor_12/02-01-05-02-02-01-12.mp4"))
    with pytest.raises(LayoutError, match="sound alone"):
        list_ravdess(touch(tmp_path / "b", "Actor_12/03-01-05-02-02-01-12.wav"))
    with pytest.raises(LayoutError, match="actors' folders"):
        list_ravdess(touch(tmp_path / "c", "01-01-05-02-02-01-12.mp4"))
    with pytest.raises(LayoutError, match="codes"):
        list_ravdess(touch(tmp_path / "d", "Actor_12/01-01-09-02-02-01-12.mp4"))

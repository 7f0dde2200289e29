from pathlib import Path

import pytest

from corpora.clip import ClipError
from corpora.own_videos import list_own_videos


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def speakers(items):
    return {item.key: item.speaker for item in items}


def test_speaker_is_the_subfolder_or_else_the_name_without_its_number(tmp_path):
    touch(
        tmp_path,
        "obama_1.mp4",
        "obama_2.MP4",
        "grid_s1_001.mp4",
        "ada.mkv",
        "grace/one.mp4",
        "notes.txt",
        ".hidden.mp4",
    )
    assert speakers(list_own_videos([tmp_path])) == {
        "obama_1": "obama",
        "obama_2": "obama",
        "grid_s1_001": "grid_s1",
        "ada": "ada",
        "grace_one": "grace",
    }


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("parent", "grace"), ("stem-prefix", "take"), ("([a-z]+)/take", "grace"), (r"_(?P<speaker>\d+)", "7")],
)
def test_rules_for_speakers(tmp_path, rule, expected):
    touch(tmp_path, "grace/take_7.mp4")
    assert [item.speaker for item in list_own_videos([tmp_path], rule)] == [expected]


@pytest.mark.parametrize("rule", ["(", "take", "(nobody)", "(x*)"])
def test_rule_that_gives_no_speaker_is_named(tmp_path, rule):
    touch(tmp_path, "grace/take_7.mp4")
    with pytest.raises(ClipError, match="--speaker-from"):
        list_own_videos([tmp_path], rule)


def test_keys_are_distinct_fit_for_tar_members_and_files_are_listed_once(tmp_path):
    touch(tmp_path, "a/one.mp4", "b/one.mp4", "x.mp4", "x.mov", "my clip.v2.mp4")
    items = list_own_videos([tmp_path, tmp_path / "x.mp4"])
    keys = [item.key for item in items]
    assert len(set(keys)) == len(keys) == 5
    assert not any(set("./ ") & set(key) for key in keys)
    assert {item.source for item in items} == {"one", "x", "my clip.v2"}


def test_files_may_be_given_one_by_one(tmp_path):
    touch(tmp_path, "ada/one_1.mp4")
    assert speakers(list_own_videos([tmp_path / "ada/one_1.mp4"])) == {"one_1": "one"}


def test_missing_path_and_folder_without_videos_are_named(tmp_path):
    with pytest.raises(ClipError, match="nowhere"):
        list_own_videos([tmp_path / "nowhere"])
    touch(tmp_path, "notes.txt")
    with pytest.raises(ClipError, match="holds no videos"):
        list_own_videos([tmp_path])

from collections import Counter
from pathlib import Path

import pytest

from corpora.splits import split_of_speaker
from corpora.video_corpus import LayoutError
from corpora.voxceleb2 import list_voxceleb2

META = "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,m ,dev \nid00017 ,n000017 ,f ,test \n"


def make_layout(root: Path) -> Path:
    for name in (
        "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4",
        "dev/mp4/id00012/21Uxsk56VDQ/00002.mp4",
        "dev/mp4/id00012/a_b-c/00001.mp4",
        "dev/aac/id00012/21Uxsk56VDQ/00001.m4a",
        "test/mp4/id00017/01dfn2spqyE/00001.mp4",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_official_layout_is_listed_with_its_sets_sources_and_sound(tmp_path):
    (make_layout(tmp_path) / "vox2_meta.csv").write_text(META)
    items = list_voxceleb2(tmp_path)
    assert [(i.speaker, i.source, i.path.name) for i in items] == [
        ("id00012", "21Uxsk56VDQ", "00001.mp4"),
        ("id00012", "21Uxsk56VDQ", "00002.mp4"),
        ("id00012", "a_b-c", "00001.mp4"),
        ("id00017", "01dfn2spqyE", "00001.mp4"),
    ]
    assert items[0].audio_path == tmp_path / "dev/aac/id00012/21Uxsk56VDQ/00001.m4a"
    assert items[1].audio_path is None
    assert [i.split for i in items] == ["train", "train", "train", "test"]
    assert items[0].extra == {"gender": "m", "vggface2_id": "n000012", "official_set": "dev"}
    assert items[2].key == "id00012_a_b-c_00001"


def test_list_is_the_same_without_the_metadata_but_for_what_it_tells(tmp_path):
    items = list_voxceleb2(make_layout(tmp_path))
    assert len(items) == 4 and items[0].extra == {"official_set": "dev"}


def test_validation_speakers_are_a_fixed_small_share_of_the_development_set():
    splits = Counter(split_of_speaker(f"id{n:05d}", val_share=0.02, test_share=0.0) for n in range(5994))
    assert 80 < splits["val"] < 160 and splits["test"] == 0


def test_speaker_in_another_set_than_the_metadata_says_is_refused(tmp_path):
    (make_layout(tmp_path) / "vox2_meta.csv").write_text(META.replace("dev", "test"))
    with pytest.raises(LayoutError, match="id00012"):
        list_voxceleb2(tmp_path)
    (tmp_path / "vox2_meta.csv").write_text("name,age\n")
    with pytest.raises(LayoutError, match=r"vox2_meta\.csv"):
        list_voxceleb2(tmp_path)


@pytest.mark.parametrize(
    ("inner", "hint"),
    [("dev", "found mp4/ directly"), ("dev/mp4", "found speakers directly"), ("none", "not a folder")],
)
def test_near_misses_get_a_hint(tmp_path, inner, hint):
    make_layout(tmp_path)
    with pytest.raises(LayoutError, match=hint) as error:
        list_voxceleb2(tmp_path / inner)
    assert "ROOT/dev/mp4/id00012" in str(error.value)

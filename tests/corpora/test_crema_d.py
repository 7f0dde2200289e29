import pytest

from corpora.crema_d import list_crema_d
from corpora.video_corpus import LayoutError


@pytest.mark.parametrize("folder", ["VideoFlash", "."])
def test_codes_of_names_are_read(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    for name in ("1001_DFA_ANG_XX.flv", "1001_IEO_HAP_HI.flv", "1002_IEO_NEU_XX.mp4", "readme.mp4"):
        (tmp_path / folder / name).touch()
    items = list_crema_d(tmp_path)
    assert {(i.speaker, i.emotion, i.intensity, i.extra["sentence"], i.extra["adaptation_split"]) for i in items} == {
        ("1001", "angry", 0, "DFA", "heldout"),
        ("1001", "happy", 3, "IEO", "adapt"),
        ("1002", "neutral", 0, "IEO", "adapt"),
    }


def test_unknown_codes_are_refused(tmp_path):
    (tmp_path / "1001_DFA_XYZ_XX.flv").touch()
    with pytest.raises(LayoutError, match="1001_DFA_XYZ_XX"):
        list_crema_d(tmp_path)


def test_near_misses_get_a_hint(tmp_path):
    with pytest.raises(LayoutError, match="found no videos"):
        list_crema_d(tmp_path)
    (tmp_path / "AudioWAV").mkdir()
    (tmp_path / "AudioWAV/1001_DFA_ANG_XX.wav").touch()
    with pytest.raises(LayoutError, match="VideoFlash"):
        list_crema_d(tmp_path)

from pathlib import Path

import pytest
from made_up_clips import make_clip, write_corpus

from datamodules.emotional_video import EmotionalVideoDataModule
from datamodules.errors import ShardError
from datamodules.speech_face import SpeechFaceDataModule

OPTIONS = {"global_batch": 4, "window_frames": 20}


def _datamodule(corpus: Path, **options) -> EmotionalVideoDataModule:
    return EmotionalVideoDataModule(root=str(corpus), **OPTIONS | options)


def test_batches_know_emotion_actor_and_their_ids(corpus: Path) -> None:
    datamodule = _datamodule(corpus)
    assert datamodule.emotion_ids == {"neutral": 0, "happy": 1}
    for batch in datamodule.val_dataloader():
        for key, meta in zip(batch.keys, batch.metas, strict=True):
            assert meta["emotion_id"] == int(key[-3:]) % 2 and meta["speaker"] == "vera"


def test_filters_choose_clips_and_keep_the_vocabulary(corpus: Path) -> None:
    datamodule = _datamodule(corpus, emotions=["happy"], actors=["speaker0", "speaker1"])
    entries = [datamodule.index.entries[i] for i in datamodule.indices("train")]
    assert {e.emotion for e in entries} == {"happy"} and {e.speaker for e in entries} == {
        "speaker0",
        "speaker1",
    }
    assert datamodule.emotion_ids["happy"] == 1
    assert datamodule.fingerprint != _datamodule(corpus).fingerprint


def test_splitting_by_sentence_puts_every_actor_in_every_split(corpus: Path) -> None:
    datamodule = _datamodule(corpus, split_by="sentence")
    for split, remainder in (("train", 0), ("val", 1), ("test", 2)):
        keys = [datamodule.index.entries[i].key for i in datamodule.indices(split)]
        assert len(keys) == 22 and {int(key[-3:]) % 3 for key in keys} == {remainder}
        assert datamodule.speakers(split) == datamodule.speakers("train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"emotions": ["hapy"]}, r"no 'hapy' \(did you mean 'happy'\?\)"),
        ({"intensities": [3]}, "data.intensities: this corpus has no 3"),
        ({"actors": ["nobody"]}, "data.actors: this corpus has no 'nobody'"),
        ({"split_by": "mood"}, "split_by='mood'"),
        ({"split_by": "sentence", "test_speakers": ["vera"]}, "drop data.test_speakers"),
    ],
)
def test_wrong_filters_are_one_sentence(corpus: Path, options: dict, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        _datamodule(corpus, **options)


def test_a_corpus_without_emotions_or_sentence_splits_is_refused(tmp_path: Path) -> None:
    plain = write_corpus(tmp_path / "plain", [make_clip(f"a{i}") for i in range(4)])
    with pytest.raises(ShardError, match="knows only the emotion 'neutral'"):
        _datamodule(plain)
    with pytest.raises(ShardError, match="has no adaptation split"):
        _datamodule(plain, split_by="sentence")
    assert SpeechFaceDataModule(root=str(plain), **OPTIONS).plan.steps_per_epoch == 1

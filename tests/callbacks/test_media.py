from pathlib import Path

import av
import pytest
from tiny_runs import train_tiny

from faces.motion import FaceMotion


@pytest.mark.slow
def test_validation_leaves_a_video_of_prediction_beside_truth(
    made_up_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a run folder given relative to where the person stands, not to the checkout
    size = [
        "callbacks.media.every_steps=3",
        "callbacks.media.size=64",
        "callbacks.media.num_clips=2",
        "trainer.max_steps=4",
    ]
    run = train_tiny(made_up_corpus, Path("run"), *size, "logger=offline")
    folders = sorted((run / "media" / "step-00000003").iterdir())
    assert len(folders) == 2
    for folder in folders:
        truth = FaceMotion.load(folder / "truth.npz")
        with av.open(str(folder / "prediction_beside_truth.mp4")) as video:
            assert sum(1 for _ in video.decode(video=0)) == len(truth)
            assert video.streams.video[0].width == 128
    assert list((run / "wandb").rglob("*.mp4")), "the videos were not logged to W&B"


def test_media_can_be_turned_off(tiny_run: Path) -> None:
    assert list((tiny_run / "media").iterdir()) == []

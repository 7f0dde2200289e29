import inspect
import json
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from made_up_clips import make_clip, make_corpus_clips, write_corpus

from datamodules.data_config import DataConfig
from datamodules.errors import ShardError
from datamodules.speech_face import SpeechFaceDataModule
from datamodules.synthetic import SyntheticDataModule
from datamodules.voxceleb2 import VoxCeleb2DataModule
from networks.pose_adapter import style_name

OPTIONS = {"global_batch": 12, "window_frames": 20, "reference_frames": (10, 15), "shuffle_window": 2}


def _datamodule(corpus: Path, **options) -> SpeechFaceDataModule:
    return SpeechFaceDataModule(root=str(corpus), **OPTIONS | options)


def _trace(batch) -> list[tuple]:
    """What was drawn for each sample: key, window, reference and a fingerprint of the augmented sound."""
    return [
        (key, meta["start_frame"], meta["reference_key"], meta["reference_start_frame"], float(audio.sum()))
        for key, meta, audio in zip(batch.keys, batch.metas, batch.audio.double(), strict=True)
    ]


def _epoch(datamodule: SpeechFaceDataModule) -> list[list[tuple]]:
    batches = []
    for batch in datamodule.train_dataloader():
        batches.append(_trace(batch))
        datamodule.advance()
    return batches


def _global_epoch(monkeypatch, corpus: Path, world: int, state: dict | None = None, **options) -> list[list[tuple]]:
    """Global batches of the current epoch, put together from each rank's."""
    ranks = []
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        datamodule = _datamodule(corpus, **options)
        if state is not None:
            datamodule.load_state_dict(state)
        ranks.append(_epoch(datamodule))
    return [sorted(chain.from_iterable(step)) for step in zip(*ranks, strict=True)]


@pytest.mark.parametrize(("world", "workers"), [(2, 0), (4, 0), (1, 1), (2, 2)])
def test_batches_and_augmentation_are_the_same_for_any_ranks_and_workers(
    monkeypatch, corpus: Path, world: int, workers: int
) -> None:
    assert _global_epoch(monkeypatch, corpus, world, workers=workers) == _global_epoch(monkeypatch, corpus, 1)


@pytest.mark.slow
def test_spawned_workers_give_the_same_batches(corpus: Path) -> None:
    assert _epoch(_datamodule(corpus, workers=2, worker_start="spawn")) == _epoch(_datamodule(corpus))


@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_run_resumed_mid_epoch_trains_on_the_rest_on_any_number_of_ranks(
    monkeypatch, corpus: Path, world: int
) -> None:
    datamodule = _datamodule(corpus)
    _epoch(datamodule)
    state_in_epoch_1 = datamodule.state_dict()
    full = _global_epoch(monkeypatch, corpus, 1, state_in_epoch_1)
    middle = state_in_epoch_1 | {"consumed": state_in_epoch_1["consumed"] + 24}
    assert _global_epoch(monkeypatch, corpus, world, middle) == full[2:]


class _Recorder(pl.LightningModule):
    """Learns nothing; keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.trained: list[list[tuple]] = []
        self.validated: list[str] = []

    def training_step(self, batch, batch_index: int) -> torch.Tensor:
        self.trained.append(sorted(_trace(batch)))
        return self.weight.sum()

    def validation_step(self, batch, batch_index: int) -> None:
        self.validated += batch.keys

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class _Progress(pl.Callback):
    def on_train_batch_end(self, trainer, *_) -> None:
        trainer.datamodule.advance()


def _fit(corpus: Path, folder: Path, steps: int, resume: Path | None = None, **options) -> _Recorder:
    module = _Recorder()
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=[_Progress()],
        default_root_dir=folder,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, datamodule=_datamodule(corpus, **options), ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(folder / f"{steps}.ckpt")
    return module


@pytest.mark.parametrize("stop", [4, 6])
def test_lightning_resumes_in_the_plan_at_and_between_epoch_ends(corpus: Path, tmp_path: Path, stop: int) -> None:
    full = _fit(corpus, tmp_path, 10)
    begun = _fit(corpus, tmp_path, stop)
    rest = _fit(corpus, tmp_path, 10, resume=tmp_path / f"{stop}.ckpt", workers=1)
    assert begun.trained + rest.trained == full.trained and len(full.trained) == 10
    assert sorted(full.validated[:7]) == [f"clip{i:03d}" for i in range(53, 60)]


def test_a_state_of_other_data_or_order_is_refused_with_both_values(corpus: Path) -> None:
    state = _datamodule(corpus).state_dict()
    with pytest.raises(ShardError, match="seed=0, this run has 5"):
        _datamodule(corpus, seed=5).load_state_dict(state)
    with pytest.raises(ShardError, match="global_batch=12, this run has 6"):
        _datamodule(corpus, global_batch=6).load_state_dict(state)
    with pytest.raises(ShardError, match=r"fingerprint='[0-9a-f]+', this run has '[0-9a-f]+'"):
        _datamodule(corpus, test_speakers=["speaker1"]).load_state_dict(state)
    with pytest.raises(ShardError, match="version=None, this run has 1"):
        _datamodule(corpus).load_state_dict({})
    with pytest.raises(ShardError, match="not a whole number of steps"):
        _datamodule(corpus).load_state_dict(state | {"consumed": 5})


def test_accumulated_batches_count_as_parts_of_a_step(corpus: Path) -> None:
    datamodule = _datamodule(corpus, accumulate=3)
    assert len(datamodule.train_dataloader()) == 12
    assert [len(trace) for trace in _epoch(datamodule)] == [4] * 12
    assert datamodule.consumed == 48


def test_loading_leaves_the_global_random_state_alone(corpus: Path) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    _epoch(_datamodule(corpus))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("world", "eval_batch"), [(1, 1), (2, 4), (4, 7), (16, 4)])
def test_evaluation_gives_each_clip_once_on_any_number_of_ranks(
    monkeypatch, corpus: Path, world: int, eval_batch
) -> None:
    keys = []
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        datamodule = _datamodule(corpus, global_batch=16, eval_batch=eval_batch)
        keys += [key for batch in datamodule.test_dataloader() for key in batch.keys]
    assert sorted(keys) == [f"clip{i:03d}" for i in range(60, 66)]


def test_held_out_speakers_replace_the_manifest_s_splits(corpus: Path) -> None:
    datamodule = _datamodule(corpus, test_speakers=["speaker1", "vera"])
    assert datamodule.speakers("test") == ["speaker1", "vera"]
    assert datamodule.speakers("train") == ["speaker0", "speaker2", "speaker3", "speaker4", "theo"]
    with pytest.raises(ShardError, match=r"split val of .* has no clips"):
        datamodule.indices("val")
    assert datamodule.val_dataloader() == []
    by_speaker = datamodule.clips_by_speaker("test")
    assert [datamodule.read_sample(i).clip.meta.speaker for i in by_speaker["vera"]] == ["vera"] * 7


def test_statistics_are_those_of_the_speakers_that_train(corpus: Path) -> None:
    for options in ({}, {"test_speakers": ["speaker1", "vera"]}):
        datamodule = _datamodule(corpus, **options)
        train = datamodule.speakers("train")
        frames = [c.motion.expression for c in make_corpus_clips() if c.meta.speaker in train]
        together = np.concatenate(frames).astype(np.float64)
        for _ in range(2):
            mean, std = datamodule.statistics
            np.testing.assert_allclose(mean, [*together.mean(axis=0), 0, 0, 0])
            np.testing.assert_allclose(std, [*together.std(axis=0), 0, 0, 0])
            datamodule = _datamodule(corpus, **options)


def test_facts_are_plain_values_that_name_the_data(corpus: Path) -> None:
    facts = json.loads(json.dumps(_datamodule(corpus).facts))
    assert (facts["space"], facts["num_expression"], facts["num_identity"]) == ("arkit", 52, 10)
    assert facts["clips"] == {"train": 53, "val": 7, "test": 6} and facts["synthetic"]
    assert facts["fingerprint"] == _datamodule(corpus, global_batch=6).facts["fingerprint"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_speakers": ["speakr1"]}, "no speaker 'speakr1' .*did you mean 'speaker"),
        ({"test_speakers": ["vera"], "val_speakers": ["vera"]}, "'vera' is in data.test_speakers and"),
        ({"global_bach": 3}, r"unknown data option 'global_bach' \(did you mean 'global_batch'"),
        ({"global_batch": 54}, "53 clips, fewer than one global batch of 54"),
        ({"accumulate": 5}, "does not split over 1 ranks x 5"),
        ({"workers": -1}, "workers=-1; expected"),
        ({"reference_frames": (30, 10)}, r"reference_frames=\[30, 10\]; expected \[low, high\]"),
        ({"worker_start": "thread"}, "worker_start='thread'"),
    ],
)
def test_wrong_options_are_one_sentence(corpus: Path, options: dict, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        _datamodule(corpus, **options).train_dataloader()


def test_max_clips_thins_every_split_evenly(corpus: Path) -> None:
    datamodule = _datamodule(corpus, max_clips=12)
    assert len(datamodule.indices("train")) == 12 and len(datamodule.speakers("train")) >= 3
    assert len(datamodule.indices("val")) == 7


def test_the_signature_lists_the_options(corpus: Path) -> None:
    assert inspect.signature(SyntheticDataModule) == inspect.signature(DataConfig)


def test_datamodules_of_other_corpora_serve_what_they_can(corpus: Path) -> None:
    synthetic = SyntheticDataModule(root=str(corpus), **OPTIONS)
    assert synthetic.planted(synthetic.indices("train")[1]) == {"adaptation_split": "val"}
    videos = VoxCeleb2DataModule(root=str(corpus), **OPTIONS).videos("val")
    assert list(videos) == [f"video of clip{i:03d}" for i in range(53, 60)]


def test_a_speaker_with_many_clips_gives_training_at_most_as_many_as_asked(corpus: Path) -> None:
    limited = SpeechFaceDataModule(root=str(corpus), max_train_clips_per_speaker=3)
    assert {len(clips) for clips in limited.clips_by_speaker("train").values()} == {3}
    whole = SpeechFaceDataModule(root=str(corpus))
    assert limited.indices("test") == whole.indices("test") and limited.indices("val") == whole.indices("val")
    assert limited.fingerprint != whole.fingerprint


def test_videos_of_one_name_by_two_people_are_two_sources_named_as_pose_styles_are(tmp_path: Path) -> None:
    clips = [
        make_clip(f"{who}{n}", 20, speaker=who, source="01", split="train") for who in ("bob", "ada") for n in (1, 2)
    ]
    data = SpeechFaceDataModule(root=write_corpus(tmp_path / "videos", clips), global_batch=2)
    entries = [data.index.entries[i] for i in data.indices("train")]
    assert data.sources("train") == sorted({style_name("source", e.speaker, e.source) for e in entries})
    assert data.sources("train") == ["ada/01", "bob/01"]

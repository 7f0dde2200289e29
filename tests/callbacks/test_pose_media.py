import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import train_tiny

from callbacks import draw_pose_media, pose_media
from callbacks.pose_media import PICTURES, SAVED, PoseMedia, save_clips
from lightning_modules.pose_gpt import CodePrediction
from networks.code_sampling import NUCLEUS
from networks.pose_adapter import PoseAdapter
from networks.pose_generation import generate_codes
from networks.pose_methods import clip_seed
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from runtime.metrics_log import read_metrics

RNG = np.random.default_rng(0)


def head_of(person: int, frames: int = 120) -> torch.Tensor:
    """People differ in how they hold the head and how much they move it."""
    moves = RNG.normal(0, 0.02 * (1 + person), (frames, 3)).cumsum(0) / 4
    return torch.from_numpy(np.array([0.1 * person, 0.05 * person**2, 0.0]) + moves - moves.mean(0)).float()


def make_batch(people: list[int], number: int) -> SimpleNamespace:
    heads, references = [head_of(p, 100 + 5 * i) for i, p in enumerate(people)], [head_of(p) for p in people]
    lengths = torch.tensor([len(head) for head in heads])
    return SimpleNamespace(
        keys=[f"p{p}_{number}" for p in people],
        speakers=[f"p{p}" for p in people],
        metas=[{"reference_key": f"p{p}_other"} for p in people],
        head=torch.nn.utils.rnn.pad_sequence(heads, batch_first=True),
        num_frames=lengths,
        reference_head=torch.stack(references),
        reference_num_frames=torch.full_like(lengths, 120),
    )


def prediction_of(batch: SimpleNamespace) -> SimpleNamespace:
    steps = torch.arange(batch.head.shape[1]) < batch.num_frames[:, None]
    codes = torch.randint(0, 8, (*steps.shape, 2), generator=torch.Generator().manual_seed(0))
    return SimpleNamespace(head=batch.head + 0.01, codes=codes, code_mask=steps)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a validation of 4 people with 3 clips each leaves; nothing is drawn yet."""
    started: list = []
    callback = PoseMedia(str(tmp_path), every_steps=5, num_clips=2)
    monkeypatch.setattr(callback._rendering, "start", lambda *given: started.append(given))
    vqvae = SimpleNamespace(
        quantizer=SimpleNamespace(num_codes=16), representation=SimpleNamespace(centre=torch.eye(3).T[:2].flatten())
    )
    trainer = SimpleNamespace(global_step=7, is_global_zero=True, sanity_checking=False, loggers=[])
    module = SimpleNamespace(net=SimpleNamespace(vqvae=vqvae))
    callback.on_validation_epoch_start(trainer, module)  # type: ignore[arg-type]
    for number in range(3):
        batch = make_batch([0, 1, 2, 3], number)
        outputs = SimpleNamespace(prediction=prediction_of(batch))
        callback.on_validation_batch_end(trainer, module, outputs, batch, number)  # type: ignore[arg-type]
    callback.on_validation_epoch_end(trainer, module)  # type: ignore[arg-type]
    ((module_name, folder, step, *options),) = started
    assert (module_name, step, options) == ("callbacks.draw_pose_media", 7, ["--clips", "2"])
    assert callback.state_dict() == {"last_step": 7}
    callback.on_validation_epoch_start(trainer, module)  # type: ignore[arg-type]
    assert not callback._wanted, "the next pictures are due five steps later"
    return folder


def test_clips_come_back_without_their_padding(saved: Path) -> None:
    clips = draw_pose_media.load_clips(saved / SAVED)
    assert [len(head) for head in clips["head"][:4]] == [100, 105, 110, 115] and len(clips["head"]) == 12
    np.testing.assert_allclose(clips["predicted_head"][1], clips["head"][1] + 0.01, atol=1e-6)
    assert clips["codes"][2].shape == (110,) and list(clips["speaker"][:4]) == ["p0", "p1", "p2", "p3"]


def test_people_who_hold_their_heads_apart_are_told_apart(saved: Path) -> None:
    clips = draw_pose_media.load_clips(saved / SAVED)
    counts, speakers = draw_pose_media.confusion(clips)
    assert speakers == ["p0", "p1", "p2", "p3"] and counts.sum() == 12 and np.trace(counts) >= 11
    clips["speaker"] = np.roll(clips["speaker"], 1)
    assert np.trace(draw_pose_media.confusion(clips)[0]) >= 11, "names alone decide nothing"


def test_a_clip_is_never_found_as_its_own_reference(saved: Path) -> None:
    clips = draw_pose_media.load_clips(saved / SAVED)
    # The reference of p1's first clip is p0's first clip itself: nearest to it by far, and passed over.
    clips["reference_head"][1], clips["reference_key"][1] = clips["head"][0], "p0_0"
    counts, _ = draw_pose_media.confusion(clips)
    clips["reference_key"][1] = "another"
    assert counts[0, 1] == 0 and draw_pose_media.confusion(clips)[0][0, 1] == 1


def test_three_pictures_are_drawn(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["draw", str(saved)])
    monkeypatch.setattr(draw_pose_media.os, "nice", lambda by: 0)
    draw_pose_media.main()
    for name in PICTURES:
        assert np.asarray(Image.open(saved / f"{name}.png").convert("L")).std() > 5, name
    assert not list(saved.glob("*.tmp"))


def test_of_pose_gpt_the_first_clips_show_a_head_generated_from_speech_and_style_alone(tmp_path: Path) -> None:
    vqvae = PoseVQVAE(build_quantizer("vq", 4, 16), width=16, num_heads=2, feed_forward=32)
    net = PoseAdapter(vqvae, ["p0", "p1"], width=16, layers=1, num_heads=2, feed_forward=16, style_width=4).eval()
    batch = make_batch([0, 1, 2], 0)
    codes, mask = net.tokenize(batch.head, batch.num_frames)
    heard, style = torch.randn(*codes.shape, 16), torch.randn(3, 4)
    prediction = CodePrediction(codes, mask, codes, heard, style)
    module = SimpleNamespace(net=net)
    callback = PoseMedia(str(tmp_path), num_clips=2)
    callback._wanted = True
    callback.on_validation_batch_end(None, module, SimpleNamespace(prediction=prediction), batch, 0)  # type: ignore[arg-type]
    save_clips(tmp_path / SAVED, callback._clips, num_codes=16, centre=np.eye(3))
    clips = draw_pose_media.load_clips(tmp_path / SAVED)
    assert [len(head) for head in clips["predicted_head"]] == [100, 105] and len(clips["head"]) == 3
    seed = clip_seed(batch.keys[1])
    generated = generate_codes(net.gpt, heard[1:2], torch.tensor([105]), style[1:2], NUCLEUS, seed)
    alone = vqvae.decode(generated.unsqueeze(-1), torch.tensor([105]))[0, :105]
    np.testing.assert_allclose(clips["predicted_head"][1], alone.detach().numpy(), atol=1e-4)
    assert len(draw_pose_media.pose_curves(clips, 3).axes) == 9, "a clip without a generated head is drawn all the same"


def test_of_a_long_clip_the_head_is_generated_up_to_a_length_while_training_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple] = []

    def remember(net, heard, style, num_frames, keys):
        asked.append((heard.shape[1], num_frames.tolist()))
        return torch.zeros(len(keys), int(num_frames.max()), 3)

    monkeypatch.setattr(pose_media, "heads_from_heard", remember)
    vqvae = PoseVQVAE(build_quantizer("vq", 4, 16), width=16, num_heads=2, feed_forward=32)
    net = PoseAdapter(vqvae, ["p0", "p1"], width=16, layers=1, num_heads=2, feed_forward=16, style_width=4).eval()
    batch = make_batch([0, 1, 2], 0)
    codes, mask = net.tokenize(batch.head, batch.num_frames)
    prediction = CodePrediction(codes, mask, codes, torch.randn(*codes.shape, 16), torch.randn(3, 4))
    callback = PoseMedia(str(tmp_path), num_clips=2, max_seconds=4.08)
    callback._wanted = True
    callback.on_validation_batch_end(None, SimpleNamespace(net=net), SimpleNamespace(prediction=prediction), batch, 0)  # type: ignore[arg-type]
    assert asked == [(int(net.vqvae.num_steps(torch.tensor(102))), [100, 102])]
    assert [len(clip["predicted_head"]) for clip in callback._clips[:2]] == [100, 102]
    assert [len(clip["head"]) for clip in callback._clips] == [100, 105, 110], "the truth is drawn whole"
    with pytest.raises(ValueError, match="received 0 s of each clip"):
        PoseMedia(str(tmp_path), max_seconds=0)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["pose_vqvae", "pose_gpt"])
def test_validation_leaves_pictures_and_shows_them(made_up_corpus: Path, tmp_path: Path, experiment: str) -> None:
    options = ["callbacks.pose_media.every_steps=3", "trainer.max_steps=4", "logger=offline"]
    if experiment == "pose_gpt":
        vqvae = train_tiny(
            made_up_corpus, tmp_path / "vqvae", "callbacks.pose_media.every_steps=0", experiment="pose_vqvae"
        )
        options.append(f"run.pose_vqvae={vqvae}")
    run = train_tiny(made_up_corpus, tmp_path / "run", *options, experiment=experiment)
    for name in PICTURES:
        assert (run / "media" / "step-00000003" / "pose" / f"{name}.png").is_file()
        assert list((run / "wandb").rglob(f"*{name}*.png")), "the pictures were not logged to W&B"
    if experiment == "pose_gpt":
        rows = [row for row in read_metrics(run / "metrics.jsonl") if "val/pose_diversity_within_deg" in row]
        assert rows and all(row["val/pose_range_ratio"] is not None for row in rows)
        assert (
            "generated heads" in json.loads((run / "metrics.json").read_text())["val/pose_diversity_within_deg"]["of"]
        )

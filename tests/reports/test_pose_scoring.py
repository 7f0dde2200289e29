"""Numbers of heads: what perfect, still and held heads score, whose references count, who is held out, and what is printed."""

import math

import numpy as np
import pytest
import torch

from networks.pose_methods import PoseClip
from networks.style_retrieval import StyleClip
from reports.pose_meaning import gesture_meaning, has_words, unit_information
from reports.pose_measures import measure_heads, metadata, sample_diversity, summarise_clips
from reports.pose_methods import PoseSplit, controls, read_split
from reports.pose_recognition import split_by_person
from reports.pose_table import print_pose_table


def smooth(frames: int, seed: int) -> torch.Tensor:
    noise = torch.randn(frames + 20, 3, generator=torch.Generator().manual_seed(seed)).cumsum(0)
    return 0.01 * noise.unfold(0, 21, 1).mean(-1)


@pytest.fixture
def truths() -> list[torch.Tensor]:
    return [smooth(frames, frames) for frames in (80, 60, 70)]


def sounds(truths: list[torch.Tensor]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(640 * len(head), generator=generator) for head in truths]


def test_the_truth_is_perfect_and_other_heads_are_not(truths: list[torch.Tensor]) -> None:
    turned = [head + torch.tensor([0.0, math.radians(5), 0.0]) for head in truths]
    still = [head.mean(0).expand_as(head) for head in truths]
    codes = {"turned": [torch.arange(len(head)) for head in truths]}
    rows, sets = measure_heads({"turned": turned, "still": still}, truths, sounds(truths), codes)
    assert sets["truth"]["frechet_pose"] < 1e-9 < sets["turned"]["frechet_pose"]
    assert all(row["head_error_deg"] == pytest.approx(0, abs=1e-4) for row in rows["truth"])
    assert all(row["posture_error_deg"] == pytest.approx(5, rel=0.05) for row in rows["turned"])
    assert all(row["pose_range_deg"] == 0 for row in rows["still"])
    assert all(row["code_repeat_rate"] == 0 for row in rows["turned"]) and "code_repeat_rate" not in rows["still"][0]


def test_means_are_over_speakers_and_what_has_no_value_is_left_out() -> None:
    rows = {"model": [{"a": 1.0, "b": math.nan}, {"a": 3.0, "b": math.nan}, {"a": 8.0, "b": math.nan}]}
    found = summarise_clips(rows, {"model": {"c": 5.0}}, ["ada", "ada", "bob"])
    assert found["model"]["a"]["mean"] == pytest.approx(5.0) and found["model"]["a"]["value"] == pytest.approx(4.0)
    assert found["model"]["a"]["speakers"] == 2 and found["model"]["a"]["low"] == 2 and found["model"]["a"]["high"] == 8
    assert found["model"]["c"] == {"value": 5.0} and "b" not in found["model"]


def test_every_metric_says_its_unit_and_direction() -> None:
    found = metadata(["frechet_pose", "code_nll_no_speech", "head_jerk_ratio", "posture_error_deg"])
    assert found["code_nll_no_speech"]["unit"] == "nats a code" and found["head_jerk_ratio"]["best"] == "one"
    assert not found["frechet_pose"]["per_clip"] and found["posture_error_deg"]["per_clip"]


def test_equal_draws_have_no_diversity(truths: list[torch.Tensor]) -> None:
    assert sample_diversity([truths, truths]) == [0, 0, 0]
    assert min(sample_diversity([truths, [head.flip(0) for head in truths]])) > 0


def test_controls_know_the_person_only_by_references(truths: list[torch.Tensor]) -> None:
    clips = [
        PoseClip(f"c{i}", "ada", sound, head)
        for i, (sound, head) in enumerate(zip(sounds(truths), truths, strict=True))
    ]
    references = [[StyleClip("ada", 0.5 + smooth(50, 9), None)]] * 3
    split = PoseSplit(clips, [{}] * 3, [None] * 3, references, [False] * 3)
    found = controls(split, [smooth(40, 5)])
    assert all(torch.equal(head[:50], references[0][0].head) for head in found["template_copy"])
    assert all((head == head[0]).all() for head in found["still"])
    assert {name: [len(head) for head in of] for name, of in found.items()} == {name: [80, 60, 70] for name in found}


def test_references_are_other_clips_of_the_person(made_up_corpus) -> None:
    from datamodules.speech_face import SpeechFaceDataModule

    split = read_split(SpeechFaceDataModule(root=made_up_corpus, eval_batch=1, global_batch=4), "test")
    assert [clip.key for clip in split.clips] == sorted(clip.key for clip in split.clips) and not any(
        split.own_reference
    )
    for clip, reference in zip(split.clips, split.references, strict=True):
        assert all(not torch.equal(clip.head, part.head) for part in reference)
        frames = [len(part.head) for part in reference]
        assert sum(frames[:-1]) < 250


def test_the_last_fifth_of_each_persons_clips_is_held_out() -> None:
    speakers = ["ada"] * 10 + ["bob"] * 2 + ["cyd"] * 3
    fitted, held_out = split_by_person(speakers)
    assert held_out == [8, 9, 14] and sorted(fitted + held_out) == list(range(15))


def test_gestures_and_units_are_counted_for_every_method(truths: list[torch.Tensor]) -> None:
    words = [{"text": "no", "tags": ["negation", "stressed"], "start_s": 1.0, "end_s": 1.3}, {"text": "a", "tags": []}]
    metas = [{"extra": {"words": words}}] * 3
    assert has_words(metas) and not has_words([{}, {"extra": {"words": words[1:]}}])
    found = gesture_meaning({"truth": truths, "model": truths}, metas, ["ada", "bob", "cyd"])
    assert set(found["truth"]) == {"nods_on_stress", "nods_on_affirmation", "shakes_on_negation"}
    assert str(found["truth"]) == str(found["model"])
    units = [np.random.default_rng(n).integers(0, 5, len(head)) for n, head in enumerate(truths)]
    assert unit_information(units, {"same": units})["same"]["excess"] > 1


def test_the_table_says_where_numbers_are_from(capsys: pytest.CaptureFixture[str], truths: list[torch.Tensor]) -> None:
    rows, sets = measure_heads({"model": truths}, truths, sounds(truths), {})
    scores = summarise_clips(rows, sets, ["ada", "ada", "bob"])
    print_pose_table({
        "run": "r", "checkpoint": "c", "split": "test", "synthetic": True, "averaging": "", "scores": scores,
        "metrics": metadata(list(scores["model"])), "summary": {"num_clips": 3, "num_speakers": 2},
    })  # fmt: skip
    said = capsys.readouterr().out
    assert "SYNTHETIC" in said and "head_jerk_ratio" in said and "3 clips, 2 speakers" in said

"""Numbers of heads: what perfect, still and held heads score, whose references count, who is held out, and what is printed."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from networks.pose_methods import PoseClip
from networks.style_retrieval import StyleClip
from reports.metric_choice import choose_metrics, scorable_names
from reports.pose_meaning import gesture_meaning, has_words, unit_information
from reports.pose_measures import PER_CLIP, PER_SET, Measured, measure_heads, metadata, summarise_heads
from reports.pose_methods import PoseSplit, controls, read_split
from reports.pose_recognition import split_by_person
from reports.pose_table import print_pose_table
from reports.score_summary import summarise
from reports.scoring import Predicted, score_clips

KEYS, SPEAKERS = ["c0", "c1", "c2"], ["ada", "ada", "bob"]


def smooth(frames: int, seed: int) -> torch.Tensor:
    noise = torch.randn(frames + 20, 3, generator=torch.Generator().manual_seed(seed)).cumsum(0)
    return 0.01 * noise.unfold(0, 21, 1).mean(-1)


@pytest.fixture
def truths() -> list[torch.Tensor]:
    return [smooth(frames, frames) for frames in (80, 60, 70)]


def sounds(truths: list[torch.Tensor]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    noise = [0.1 * torch.randn(len(head), 640, generator=generator) for head in truths]
    # Syllables of unequal length, so that clips differ in how many onsets they have.
    return [
        (frames * (torch.arange(len(frames)) % (6 + 3 * clip) > 2)[:, None]).flatten()
        for clip, frames in enumerate(noise)
    ]


def test_the_truth_is_perfect_and_other_heads_are_not(truths: list[torch.Tensor]) -> None:
    turned = [head + torch.tensor([0.0, math.radians(5), 0.0]) for head in truths]
    still = [head.mean(0).expand_as(head) for head in truths]
    codes = {"turned": [torch.arange(len(head)) for head in truths]}
    measured = measure_heads({"turned": turned, "still": still}, truths, sounds(truths), KEYS, codes)
    rows, scores = measured.rows, summarise_heads(measured, SPEAKERS)
    assert scores["truth"]["frechet_pose"]["value"] < 1e-9 < scores["turned"]["frechet_pose"]["value"]
    assert all(row["head_error_deg"] == pytest.approx(0, abs=1e-4) for row in rows["truth"])
    assert all(row["posture_error_deg"] == pytest.approx(5, rel=0.05) for row in rows["turned"])
    assert all(row["pose_range_deg"] == 0 for row in rows["still"])
    assert all(row["code_repeat_rate"] == 0 for row in rows["turned"]) and "code_repeat_rate" not in rows["still"][0]


def test_means_are_over_speakers_and_what_has_no_value_is_left_out() -> None:
    measured = Measured(KEYS, {}, {})
    measured.add("model", "a", [1.0, 3.0, 8.0])
    measured.add("model", "b", [math.nan] * 3, [False] * 3)
    found = summarise_heads(measured, SPEAKERS)
    assert found["model"]["a"]["mean"] == pytest.approx(5.0) and found["model"]["a"]["value"] == pytest.approx(4.0)
    assert found["model"]["a"]["speakers"] == 2 and math.isnan(found["model"]["a"]["low"])
    assert "b" not in found["model"]


def test_every_metric_says_its_unit_and_direction() -> None:
    found = metadata(["frechet_pose", "code_nll_no_speech", "head_jerk_ratio", "posture_error_deg"])
    assert found["code_nll_no_speech"]["unit"] == "nats a code" and found["head_jerk_ratio"]["best"] == "one"
    assert not found["frechet_pose"]["per_clip"] and found["posture_error_deg"]["per_clip"]


def test_equal_draws_have_no_diversity(truths: list[torch.Tensor]) -> None:
    measured = Measured(KEYS, {}, {})
    measured.add_samples("same", [truths, truths])
    measured.add_samples("other", [truths, [head.flip(0) for head in truths]])
    values = {method: [row["pose_diversity_samples_deg"] for row in rows] for method, rows in measured.rows.items()}
    assert values["same"] == [0, 0, 0] and min(values["other"]) > 0
    assert summarise_heads(measured, SPEAKERS)["other"]["pose_diversity_samples_deg"]["clips"] == 3


def test_the_same_heads_get_the_same_numbers_as_a_pose_run_and_as_motion_files(truths: list[torch.Tensor]) -> None:
    heads = [1.3 * head.roll(4, 0) + 0.01 * smooth(len(head), 5) for head in truths]
    audios = sounds(truths)
    ours = summarise_heads(measure_heads({"model": heads}, truths, audios, KEYS, {}), SPEAKERS)["model"]
    chosen = [info for info in choose_metrics(scorable_names(), True) if info.name in PER_CLIP + PER_SET]
    batches = [batch_of(*each) for each in zip(KEYS, SPEAKERS, truths, audios, strict=True)]
    predicted = dict(zip(KEYS, heads, strict=True))

    def model(batch: SimpleNamespace) -> Predicted:
        return Predicted(batch.expression, batch.jaw, predicted[batch.keys[0]][None])

    theirs = summarise(score_clips(batches, {"model": model}, None, chosen, None), chosen)["model"]
    assert set(theirs) == {*PER_CLIP, *PER_SET}
    for name, found in theirs.items():
        assert ours[name] == found and math.isfinite(found["value"]), name
    counted = ours["beat_consistency"]
    assert counted["value"] != counted["mean"], "onsets weigh alike in one, speakers in the other"


def batch_of(key: str, speaker: str, head: torch.Tensor, audio: torch.Tensor) -> SimpleNamespace:
    frames = len(head)
    still = torch.zeros(1, frames, 3)
    return SimpleNamespace(
        keys=[key], speakers=[speaker], metas=[{"reference_key": "r"}], num_frames=torch.tensor([frames]),
        expression=torch.zeros(1, frames, 52), jaw=still, head=head[None], audio=audio[None],
        mask=torch.ones(1, frames, dtype=torch.bool), reference_expression=torch.zeros(1, 5, 52),
        reference_jaw=still[:, :5], reference_mask=torch.ones(1, 5, dtype=torch.bool),
    )  # fmt: skip


@pytest.mark.parametrize("frame", [0, 30, -1])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_head_that_is_not_finite_spoils_every_number_and_is_named(
    truths: list[torch.Tensor], frame: int, value: float
) -> None:
    broken = [head.clone() for head in truths]
    broken[1][frame] = value
    codes = {"model": [torch.arange(len(head)) for head in truths]}
    measured = measure_heads({"model": broken}, truths, sounds(truths), KEYS, codes)
    measured.add_samples("model", [broken, truths])
    found = summarise_heads(measured, SPEAKERS)
    for name, of in found["model"].items():
        assert of["bad_clips"] == ["c1"] and math.isnan(of["value"]), name
        assert name in PER_SET or (math.isnan(of["mean"]) and of["clips"] == 3), name
    assert set(found["truth"]) <= set(found["model"])
    assert all("bad_clips" not in of and math.isfinite(of["value"]) for of in found["truth"].values())


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
    broken = [truths[0], torch.full_like(truths[1], math.nan), truths[2]]
    scores = summarise_heads(measure_heads({"model": broken}, truths, sounds(truths), KEYS, {}), SPEAKERS)
    print_pose_table({
        "run": "r", "checkpoint": "c", "split": "test", "synthetic": True, "averaging": "", "scores": scores,
        "metrics": metadata(list(scores["model"])), "summary": {"num_clips": 3, "num_speakers": 2},
    })  # fmt: skip
    said, warned = capsys.readouterr()
    assert "not finite: c1" in warned
    assert "SYNTHETIC" in said and "head_jerk_ratio" in said and "3 clips, 2 speakers" in said

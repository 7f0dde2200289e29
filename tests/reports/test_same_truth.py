"""Runs of head motion, of faces, and motion files that have both, beside each other."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from made_up_runs import make_motions, make_run

import compare
from reports.comparison import compare as compare_methods
from reports.entrants import group_by_settings, read_entrant
from reports.errors import ReportError
from reports.pose_methods import PoseSplit, read_split
from reports.pose_scoring import _table
from reports.scoring import truth_hashes


def make_pose_run(folder: Path, error: float) -> Path:
    """As score.py writes it of a run of head motion: no face, of the truth the head alone."""
    make_run(folder, error, name="pose_gpt", face="no (head motion only)")
    change(folder, lambda row: row["truth"].pop("face"))
    file = folder / "scores-test.json"
    scores = json.loads(file.read_text())
    kept = {name: facts for name, facts in scores["metrics"].items() if name == "pose_range_deg"}
    file.write_text(json.dumps(scores | {"metrics": kept, "metric": "pose_range_deg"}))
    return folder


def change(folder: Path, each_clip) -> None:
    file = folder / "scores-test.json"
    scores = json.loads(file.read_text())
    for row in scores["clips"]:
        each_clip(row)
    file.write_text(json.dumps(scores))


def compared(*folders: Path):
    return compare_methods(group_by_settings([read_entrant(folder, "test") for folder in folders]), "test")


def test_a_run_of_head_motion_and_motions_with_a_head_are_compared_in_the_head(tmp_path: Path) -> None:
    pose, motions = make_pose_run(tmp_path / "pose", 2.0), make_motions(tmp_path / "theirs", 3.0)
    found = compared(pose, motions)
    assert list(found.metrics) == ["pose_range_deg"] and len(found.clips) == 24
    assert compare.main([str(motions), str(pose), "--out", str(tmp_path / "r.html")]) == 0


def test_a_part_of_the_truth_that_both_have_must_be_the_same(tmp_path: Path) -> None:
    pose, motions = make_pose_run(tmp_path / "pose", 2.0), make_motions(tmp_path / "theirs", 3.0)
    change(motions, lambda row: row["truth"].update(face="another face"))
    assert len(compared(pose, motions).clips) == 24, "a pose run says nothing of faces"
    with pytest.raises(ReportError, match="no clip is the same"):
        compared(make_run(tmp_path / "face", 2.0), motions)
    change(
        motions,
        lambda row: row["truth"].update(head="another head" if row["key"].endswith("3") else row["truth"]["head"]),
    )
    assert len(compared(pose, motions).clips) == 21


def test_a_face_without_a_head_and_a_run_of_head_motion_are_told_apart_in_a_true_sentence(tmp_path: Path) -> None:
    pose, face = make_pose_run(tmp_path / "pose", 2.0), make_run(tmp_path / "face", 3.0)
    file = face / "scores-test.json"
    scores = json.loads(file.read_text())
    del scores["metrics"]["pose_range_deg"]
    file.write_text(json.dumps(scores))
    for order in ((pose, face), (face, pose)):
        with pytest.raises(
            ReportError, match="pose was scored in its head motion and face in its face, which"
        ) as raised:
            compared(*order)
        assert "--face" not in str(raised.value)


def test_both_ways_of_scoring_have_one_hash_of_a_head(made_up_corpus: Path) -> None:
    from datamodules.speech_face import SpeechFaceDataModule

    data = SpeechFaceDataModule(root=made_up_corpus, eval_batch=1, global_batch=4)
    split: PoseSplit = read_split(data, "test")
    ours = {row["key"]: row["truth"] for row in _table(split, {})}
    theirs = {batch.keys[0]: truth_hashes(batch) for batch in data.evaluation_dataloader("test")}
    assert ours == {key: {"head": parts["head"]} for key, parts in theirs.items()} and len(ours) > 1
    assert all(parts["face"] != parts["head"] for parts in theirs.values())


def test_padding_is_no_part_of_a_truth() -> None:
    parts = {name: torch.randn(1, 9, width) for name, width in (("expression", 52), ("jaw", 3), ("head", 3))}
    short = {name: part[:, :6] for name, part in parts.items()}
    assert truth_hashes(SimpleNamespace(num_frames=[6], **parts)) == truth_hashes(
        SimpleNamespace(num_frames=[6], **short)
    )

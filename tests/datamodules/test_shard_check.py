import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_up_clips import make_clip, make_corpus_clips, write_corpus
from rich.console import Console

from corpora.clip import SpeechClip
from datamodules.errors import ShardError
from datamodules.shard_check import check_shards, print_report


def _printed(report) -> str:
    console = Console(record=True, width=160, file=io.StringIO())
    print_report(report, console)
    return console.export_text()


def test_a_sound_corpus_has_no_problems_and_is_summed_up(corpus: Path) -> None:
    report = check_shards(corpus)
    assert report.ok and report.outliers == [] and report.clips_read == 66
    text = _printed(report)
    assert "synthetic, no person" in text and "problems: none" in text
    frames = np.concatenate([c.motion.expression for c in make_corpus_clips()])
    assert f"{frames.max():.3f}" in text


def test_a_damaged_sample_is_a_problem_and_the_rest_is_still_read(corpus: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(corpus, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    shard = manifest["shards"][1]
    offset, size = shard["index"][2]["members"]["motion.npz"]
    with (copy / shard["file"]).open("r+b") as file:
        file.seek(offset + size // 2)
        file.write(b"\xff\xff\x7f")
    report = check_shards(copy)
    assert len(report.problems) == 2 and report.clips_read == 65
    assert "sha256" in report.problems[0] and shard["index"][2]["key"] in report.problems[1]
    assert check_shards(copy, full=False).ok
    assert "problems: 2" in _printed(report)


def _changed(key: str, audio: np.ndarray | None = None, **fields) -> SpeechClip:
    clip = make_clip(key, 40)
    return SpeechClip(key, clip.audio if audio is None else audio, clip.motion.replace(**fields), clip.meta)


def _check(tmp_path: Path, clip: SpeechClip):
    return check_shards(write_corpus(tmp_path / "c", [make_clip(f"a{i}", 40) for i in range(8)] + [clip]))


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (_changed("x", expression=np.full((40, 52), 1.2)), "expression ranges from 1.200 to 1.200"),
        (_changed("x", head=np.full((40, 3), 2.0)), "head turns by 3.46 rad"),
    ],
)
def test_values_out_of_their_range_are_problems(tmp_path: Path, clip: SpeechClip, message: str) -> None:
    assert [p for p in _check(tmp_path, clip).problems if message in p and ", x:" in p]


def _with_one_frame_far_off() -> SpeechClip:
    head = make_clip("x", 40).motion.head.copy()
    head[17, 1] = 3.0
    return _changed("x", head=head)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (_changed("x", audio=np.zeros(640 * 40, np.float32)), "silent"),
        (_changed("x", expression=np.full((40, 52), 0.3)), "frozen: no coefficient moves"),
        (_with_one_frame_far_off(), r"head[1] is"),
    ],
)
def test_odd_clips_are_outliers_not_problems(tmp_path: Path, clip: SpeechClip, message: str) -> None:
    report = _check(tmp_path, clip)
    assert report.ok and [o for o in report.outliers if message in o and ", x:" in o]


def test_a_manifest_that_contradicts_itself_or_the_samples_is_a_problem(corpus: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(corpus, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    first, second = manifest["shards"][1]["index"][:2]
    first["speaker"] = "vera"
    second["num_frames"] += 1
    manifest["shards"][2]["index"][0]["key"] = manifest["shards"][2]["index"][1]["key"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    problems = "\n".join(check_shards(copy).problems)
    assert "speaker vera is in several splits: train, val" in problems
    assert f"{second['key']}: {second['num_frames'] - 1} frames, the manifest says {second['num_frames']}" in problems
    assert "is used twice in the manifest" in problems and "is not where the index says" in problems


def test_a_folder_without_corpus_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"no manifest\.json"):
        check_shards(tmp_path)

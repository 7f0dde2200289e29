"""From a sweep file to the page by three commands, with the shipped table of head motion made tiny."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_clips import make_corpus_clips, write_corpus
from tiny_runs import SHORT

import compare
import score
import sweep
from runtime.sweeps.files import SWEEPS

TINY = [*SHORT, "net.width=16", "trainer.max_steps=4", "trainer.val_every_steps=2"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """As the made-up corpus, with three people in its test split: of one person there are no intervals."""
    clips = make_corpus_clips()
    for number, clip in enumerate(clips):
        if clip.meta.split == "test":
            clips[number] = replace(clip, meta=replace(clip.meta, speaker=f"theo{number % 3}"))
    return write_corpus(tmp_path / "corpus", clips)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """pose_table and what it builds on, of two seeds."""
    for name in ("pose_table_codes", "pose_table"):
        text = (SWEEPS / f"{name}.yaml").read_text().replace("seeds: [1, 2, 3]", "seeds: [1, 2]")
        text = text.replace("first: [pose_table_codes]", f"first: [{tmp_path / 'pose_table_codes.yaml'}]")
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path / "pose_table.yaml"


@pytest.mark.slow
def test_a_sweep_is_trained_scored_and_compared_by_three_commands(table: Path, corpus: Path, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "report.html"
    assert sweep.main([str(table), f"data.root={corpus}", f"run.root={runs}", *TINY]) == 0
    (folder,) = (runs / "sweeps").glob("pose_table-*")
    assert score.main([str(folder)]) == 0
    assert compare.main([str(folder), "--out", str(out)]) == 0
    text = out.read_text()
    table_text = text[text.index('<table id="metrics">') : text.index('<table id="tests">')]
    header = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)", table_text)
    assert header[1:3] == ["pose_gpt", "pose_regression"] and text.count("mean of 2 seeds") == 2
    assert {"template copy", "random retrieval", "still", "truth"} < {name.strip() for name in header}
    for metric in (
        "pose_<wbr>range_<wbr>deg",
        "pose_<wbr>speed_<wbr>deg_<wbr>per_<wbr>s",
        "posture_<wbr>error_<wbr>deg",
    ):
        row = table_text[table_text.index(f">{metric} <small>") :]
        cells = re.findall(r"<td>(.*?)</td>", row[: row.index("</tr>")], re.DOTALL)
        assert len(cells) == 2 and all(re.search(r"<strong>|^[-\d]", cell) for cell in cells), metric
        assert all("<small>-</small>" in cell for cell in cells), "fewer than five speakers have no interval"
    assert re.search(r"Left out \(pose_regression was not scored with it\): [^<]*code_nll", text)

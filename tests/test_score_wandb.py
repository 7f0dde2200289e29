"""score.py --wandb: what joins the run there, under which names, and what happens where W&B fails."""

import json
import re
import shutil
from pathlib import Path

import pytest
from made_up_clips import make_corpus_clips, write_corpus

import score

LVE = "lip_vertex_error_mm"
FEW = ["--metrics", LVE, "expression_dispersion_ratio"]


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy, so that scores written here are nobody else's."""
    return shutil.copytree(tiny_run, tmp_path / "run")


class SeenSession:
    """In place of W&B's: what it was told."""

    seen: list

    def __init__(self, description) -> None:
        type(self).seen = [description]

    def start(self) -> None:
        self.seen.append("start")

    def add_to_config(self, values: dict) -> None:
        self.seen.append(values)

    def log(self, row: dict, step: int) -> None:
        self.seen.append((row, step))

    def finish(self, exit_code: int) -> None:
        self.seen.append(exit_code)


def test_scores_join_the_run_in_wandb_under_the_average_of_their_definition_with_what_they_mean(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime import wandb_scores

    monkeypatch.setattr(wandb_scores, "WandbSession", SeenSession)
    assert score.main([str(run), *FEW, "--wandb", "offline"]) == 0
    description, start, meanings, (row, step), code = SeenSession.seen
    assert description.mode == "offline" and description.run_id.startswith("expression_pretraining-")
    assert start == "start" and step > 0 and code == 0
    result = json.loads((run / "scores-test.json").read_text())
    for name in (LVE, "expression_dispersion_ratio"):
        found = result["scores"]["model"][name]
        assert row[f"test/{name}"] == found["value"] and row[f"test/{name}_over_speakers"] == found["mean"]
    # One speaker has no interval.
    assert len(row) == 4 and set(meanings) == {f"metric/{name}" for name in row}
    defined, over = meanings[f"metric/test/{LVE}"], meanings[f"metric/test/{LVE}_over_speakers"]
    assert "unit mm, vertices lips, average frames, best lower" in defined and "then speakers (1)" in over
    assert f"fingerprint {result['data']['fingerprint'][:12]}" in defined and "checkpoint" in defined


def test_scores_on_another_corpus_go_to_names_of_their_own_in_wandb(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime import wandb_scores

    monkeypatch.setattr(wandb_scores, "WandbSession", SeenSession)
    fewer = write_corpus(tmp_path / "corpus", make_corpus_clips()[:-1])
    same = write_corpus(tmp_path / "moved", make_corpus_clips())
    few = ["--metrics", LVE, "--wandb", "offline", "--out", str(tmp_path / "scores.json")]
    for data, prefix in ((same, r"test/[a-z_]+$"), (fewer, r"test/[\w-]+-[0-9a-f]{8}/[a-z_]+$")):
        assert score.main([str(run), "--data", str(data), *few]) == 0
        row, _ = SeenSession.seen[3]
        assert all(re.match(prefix, name) for name in row), (prefix, list(row))


def test_scores_stay_where_wandb_fails(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from runtime import wandb_scores

    def refuse(description) -> None:
        raise RuntimeError("no such project\nand a long story")

    monkeypatch.setattr(wandb_scores, "WandbSession", refuse)
    (run / "scores-test.json").unlink(missing_ok=True)
    assert score.main([str(run), *FEW, "--wandb", "online"]) == 2
    error = capsys.readouterr().err.strip()
    assert "W&B did not take them (RuntimeError: no such project)" in error and len(error.splitlines()) == 1
    assert (run / "scores-test.json").is_file()

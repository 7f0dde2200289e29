import json
import sys
from pathlib import Path

import pytest

from runtime.sweeps.definition import SweepError
from runtime.sweeps.offline_sync import offline_segments, upload


def make_segment(run: Path, stamp: str, synced: bool = False) -> Path:
    segment = run / "wandb" / f"offline-run-{stamp}-abc"
    segment.mkdir(parents=True)
    (run / "config.yaml").write_text("{}")
    (segment / "run-abc.wandb").write_text("")
    if synced:
        (segment / "run-abc.wandb.synced").write_text("")
    return segment


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make_segment(tmp_path / "a", "20260103_000000")
    make_segment(tmp_path / "a", "20260101_000000", synced=True)
    make_segment(tmp_path / "b", "20260102_120000")
    make_segment(tmp_path / "a", "20260102_110000")
    return tmp_path


def test_segments_of_all_runs_come_in_order_of_start_without_those_uploaded(runs: Path) -> None:
    stamps = [path.name.split("-")[2] for path in offline_segments([runs / "b", runs / "a", runs / "a"])]
    assert stamps == ["20260102_110000", "20260102_120000", "20260103_000000"]


def test_a_sweeps_folder_stands_for_its_runs(runs: Path) -> None:
    folder = runs / "sweeps" / "s-1"
    folder.mkdir(parents=True)
    lines = []
    for name in ("a", "b", "gone"):
        lines.append({"trial": name, "event": "start", "attempt": 1})
        lines.append({"trial": name, "event": "end", "status": "finished", "folder": str(runs / name)})
    (folder / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert offline_segments([folder]) == offline_segments([runs / "a", runs / "b"])


def test_a_single_segment_can_be_named_and_another_folder_is_refused(runs: Path) -> None:
    segment = offline_segments([runs / "b"])[0]
    assert offline_segments([segment]) == [segment]
    with pytest.raises(SweepError, match="neither a run folder"):
        offline_segments([runs])


@pytest.mark.parametrize("fails_at", [None, 2])
def test_uploads_go_one_by_one_and_stop_at_the_first_failure(fails_at: int | None, runs: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    script = (
        "import pathlib, sys; log = pathlib.Path(sys.argv[1]); done = log.read_text() if log.exists() else ''; "
        f"log.write_text(done + sys.argv[2] + chr(10)); sys.exit(len(done.split()) + 1 == {fails_at!r})"
    )
    segments = offline_segments([runs / "a", runs / "b"])
    code = upload(segments, [sys.executable, "-S", "-c", script, str(log)])
    tried = log.read_text().split()
    assert tried == [str(s) for s in segments[: fails_at or 3]] and code == (1 if fails_at else 0)

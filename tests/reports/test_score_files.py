import json
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import make_run

from reports.errors import ReportError
from reports.score_files import FORMAT, READ, read_scores


def drop(value: Any, path: list[str]) -> None:
    """Take away what lies at `path`; `*` is the first entry."""
    name, *rest = path
    if name == "*":
        name = next(iter(value)) if isinstance(value, dict) else 0
    if rest:
        drop(value[name], rest)
    else:
        del value[name]


@pytest.mark.parametrize("name", READ)
def test_a_file_without_a_key_that_is_read_says_to_score_again(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "a", 5.0)
    assert read_scores(run, "test")["format"] == FORMAT
    file = run / "scores-test.json"
    scores = json.loads(file.read_text())
    drop(scores, name.split("."))
    file.write_text(json.dumps(scores))
    with pytest.raises(ReportError) as raised:
        read_scores(run, "test")
    said = str(raised.value)
    assert f"lacks {name}" in said or f", {name}" in said
    assert said.endswith(f"score it first: python score.py {run} --split test") and "\n" not in said


def test_a_file_without_clips_is_refused(tmp_path: Path) -> None:
    file = make_run(tmp_path / "a", 5.0) / "scores-test.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"clips": []}))
    with pytest.raises(ReportError, match="holds no clips"):
        read_scores(file.parent, "test")

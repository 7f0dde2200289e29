import pytest

from runtime.code_version import source_hash
from runtime.outcome import read_outcome, record_outcome


def test_an_outcome_is_read_back_and_replaced(tmp_path) -> None:
    assert read_outcome(tmp_path)["status"] == "unknown"
    record_outcome(tmp_path, "running")
    record_outcome(tmp_path, "diverged", 12, "loss nan", keys=["clip-7"])
    found = read_outcome(tmp_path)
    assert (found["status"], found["step"], found["reason"], found["keys"]) == ("diverged", 12, "loss nan", ["clip-7"])
    with pytest.raises(ValueError, match="expected one of running"):
        record_outcome(tmp_path, "done")


def test_the_source_hash_changes_with_any_source_and_with_nothing_else(tmp_path) -> None:
    (tmp_path / "runtime").mkdir()
    (tmp_path / "train.py").write_text("x = 1\n")
    source = tmp_path / "runtime" / "a.py"
    source.write_text("y = 1\n")
    hashed = source_hash.__wrapped__
    before = hashed(tmp_path)
    (tmp_path / "runtime" / "notes.txt").write_text("no code")
    assert hashed(tmp_path) == before
    source.write_text("y = 2\n")
    assert hashed(tmp_path) != before

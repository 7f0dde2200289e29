from pathlib import Path

import pytest
import torch

from runtime.checkpoint_io import AtomicCheckpointIO, choose_checkpoint, find_resumable, load_checkpoint, problem_with
from runtime.run_folder import RunError


def save(folder: Path, step: int) -> Path:
    path = folder / f"step-{step:08d}.ckpt"
    AtomicCheckpointIO().save_checkpoint({"global_step": step, "state_dict": {"w": torch.arange(1000.0)}}, path)
    return path


def test_what_was_saved_is_loaded_again(tmp_path: Path) -> None:
    path = save(tmp_path, 3)
    assert torch.equal(load_checkpoint(path)["state_dict"]["w"], torch.arange(1000.0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000003.ckpt", "step-00000003.ckpt.json"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "no manifest", "damaged manifest"])
def test_a_damaged_checkpoint_is_skipped_said_and_the_one_before_it_used(tmp_path: Path, damage: str) -> None:
    good, bad = save(tmp_path, 10), save(tmp_path, 20)
    content = bytearray(bad.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        bad.write_bytes(content)
    elif damage == "truncate":
        bad.write_bytes(content[:-7])
    elif damage == "empty":
        bad.write_bytes(b"")
    elif damage == "no manifest":
        bad.with_name(bad.name + ".json").unlink()
    else:
        bad.with_name(bad.name + ".json").write_text("{")
    said: list[str] = []
    assert find_resumable(tmp_path, said.append) == good
    assert len(said) == 1 and "step-00000020" in said[0]
    assert bad.with_name(bad.name + ".corrupt").exists()


def test_a_checkpoint_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (print, ("code from data ran",))

    path = tmp_path / "step-00000001.ckpt"
    AtomicCheckpointIO().save_checkpoint({"global_step": 1, "evil": Evil()}, path)
    assert problem_with(path) is None
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        load_checkpoint(path)


def test_a_failed_save_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 5)
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_are_chosen_by_name_or_step(tmp_path: Path) -> None:
    save(tmp_path, 10), save(tmp_path, 20)
    assert choose_checkpoint(tmp_path, "best").name == "step-00000020.ckpt"
    assert choose_checkpoint(tmp_path, "10").name == "step-00000010.ckpt"
    with pytest.raises(RunError, match="no checkpoint '15'"):
        choose_checkpoint(tmp_path, "15")
    with pytest.raises(RunError, match="no checkpoint yet"):
        choose_checkpoint(tmp_path / "empty", "last")

"""Checkpoints are whole or absent: whatever kills a save, a run finds one it can load and says what it skipped."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from endless_saves import save_for_ever
from run_processes import Training, tiny_overrides

from runtime.checkpoint_io import find_resumable, load_checkpoint, manifest_of
from runtime.metrics_log import read_metrics

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]


def test_a_kill_at_a_random_point_of_fifty_saves_always_leaves_the_newest_finished_one(tmp_path: Path) -> None:
    # Not forked from here: threads of torch that this process has had are gone in a fork, which would wait for them.
    choice, step, server = random.Random(0), 0, multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["torch", "runtime.checkpoint_io"])
    for kill in range(50):
        receiver, sender = server.Pipe(duplex=False)
        saver = server.Process(target=save_for_ever, args=(tmp_path, step, sender), daemon=True)
        saver.start()
        sender.close()
        assert receiver.poll(60), f"no save within a minute before kill {kill}"
        finished = receiver.recv()
        time.sleep(choice.random() * 0.05)
        os.kill(saver.pid, signal.SIGKILL)
        saver.join()
        while receiver.poll():
            try:
                finished = receiver.recv()
            except EOFError:
                break
        newest = find_resumable(tmp_path, print)
        assert newest is not None, f"nothing to load after kill {kill}"
        loaded = load_checkpoint(newest)
        step = loaded["global_step"]
        # The save that was under way may have been whole already; an older one than the last finished is a loss.
        assert step in (finished, finished + 1)
        assert (loaded["state_dict"]["w"] == step).all()
        assert not list(tmp_path.glob("*.tmp"))
        for old in sorted(tmp_path.glob("step-*.ckpt"))[:-2]:
            old.unlink()
            manifest_of(old).unlink(missing_ok=True)


@pytest.mark.parametrize("harm", ["a flipped byte", "an empty file", "a missing manifest", "a manifest of nonsense"])
def test_a_harmed_checkpoint_is_skipped_and_said_and_the_run_goes_on_from_the_one_before(
    harm: str, made_up_corpus: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    overrides = tiny_overrides(
        made_up_corpus,
        "data.global_batch=4",
        "checkpoint.every_steps=2",
        "trainer.val_every_steps=4",
        "trainer.max_steps=8",
    )
    first = Training(folder, overrides)
    assert first.end() == 0, first.output()
    newest = folder / "checkpoints" / "step-00000008.ckpt"
    if harm == "a flipped byte":
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    elif harm == "an empty file":
        newest.write_bytes(b"")
    elif harm == "a missing manifest":
        manifest_of(newest).unlink()
    else:
        manifest_of(newest).write_text('{"sha256": 7')
    again = Training(folder, overrides)
    assert again.end() == 0, again.output()
    assert (
        "skipped checkpoint step-00000008.ckpt" in again.output()
        and "resuming from step-00000006.ckpt" in again.output()
    )
    assert (folder / "checkpoints" / "step-00000008.ckpt.corrupt").exists()
    assert load_checkpoint(newest)["global_step"] == 8
    assert [line["step"] for line in read_metrics(folder / "metrics.jsonl") if "train/loss" in line] == list(range(8))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root, to mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_fails_saves_but_not_the_run_and_room_made_later_is_used(
    small_disk: Path, made_up_corpus: Path, tmp_path: Path
) -> None:
    ballast = small_disk / "ballast"
    folder = small_disk / "run"
    overrides = tiny_overrides(
        made_up_corpus, "data.global_batch=4", "checkpoint.every_steps=20", "trainer.val_every_steps=1000", "trainer.max_steps=2000",
        "callbacks.save_and_stop.max_failures=1000", "callbacks.batch_record.enabled=false",
    )  # fmt: skip
    training = Training(folder, overrides)
    training.wait_for_step(45)
    fill(ballast)
    training.wait_until(lambda: "could not be written" in training.output(), 60, "a failed save")
    ballast.unlink()
    before = newest_step(folder)
    training.wait_until(lambda: newest_step(folder) > before, 60, "a save after room was made")
    os.kill(training.process.pid, signal.SIGTERM)
    assert training.end() == 143, training.output()
    resumable = find_resumable(folder / "checkpoints", print)
    assert resumable is not None and load_checkpoint(resumable)["global_step"] == newest_step(folder)


def test_a_disk_that_stays_full_ends_the_run_with_one_sentence_and_a_loadable_checkpoint(
    small_disk: Path, made_up_corpus: Path, tmp_path: Path
) -> None:
    folder = small_disk / "run"
    overrides = tiny_overrides(
        made_up_corpus, "data.global_batch=4", "checkpoint.every_steps=20", "trainer.val_every_steps=1000", "trainer.max_steps=5000",
        "callbacks.batch_record.enabled=false",
    )  # fmt: skip
    training = Training(folder, overrides)
    training.wait_for_step(45)
    fill(small_disk / "ballast")
    assert training.end() == 2, training.output()
    assert "3 checkpoints in a row could not be written" in training.output() and "Traceback" not in training.output()
    assert find_resumable(folder / "checkpoints", print) is not None


def newest_step(folder: Path) -> int:
    whole = [path for path in (folder / "checkpoints").glob("step-*.ckpt") if manifest_of(path).exists()]
    return max((int(path.stem.removeprefix("step-")) for path in whole), default=0)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as handle:
        try:
            while True:
                handle.write(b"\0" * 4096)
        except OSError:
            return

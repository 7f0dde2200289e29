import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stub_wandb import StubWandb, fail, hang

from runtime.wandb_feed import WandbFeed
from runtime.wandb_session import RunDescription, WandbSession

ROOT = Path(__file__).parents[2]


def feed_of(folder: Path, said: list[str], queue_rows: int = 100, **description: Any) -> WandbFeed:
    told = RunDescription(run_id="run-1", folder=folder, project="p", **{"timeout_s": 60.0, **description})
    return WandbFeed(WandbSession(told, said.append), queue_rows, said.append)


def log_rows(feed: WandbFeed, count: int) -> None:
    for step in range(count):
        feed.offer(lambda session, step=step: session.log({"train/loss": 1.0}, step))  # type: ignore[misc]


def test_all_calls_are_made_in_one_thread_that_is_not_the_training_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, said = StubWandb().install(monkeypatch), []
    feed = feed_of(tmp_path, said)
    log_rows(feed, 20)
    feed.close(0)
    assert {thread for _, thread in stub.calls} == {"wandb"}
    assert [row["trainer/global_step"] for row in stub.rows] == list(range(20))
    assert said == []


def test_a_slow_service_costs_rows_of_the_view_and_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    stub, said = StubWandb(log=lambda _: release.wait(20)).install(monkeypatch), []
    feed = feed_of(tmp_path, said, queue_rows=5)
    log_rows(feed, 50)
    release.set()
    feed.close(0)
    shown = len(stub.rows)
    assert 5 <= shown <= 6  # the queue, and the row in hand
    assert said == [
        f"W&B does not show {50 - shown} of 50 logged rows ({50 - shown} came faster than W&B took them); the run folder has them all"
    ]


def test_rows_that_still_wait_at_the_end_leave_a_quarter_of_the_time_for_finishing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, said = SimpleNamespace(now=0.0), []
    monkeypatch.setattr("runtime.wandb_feed.time", SimpleNamespace(monotonic=lambda: clock.now))
    feed = feed_of(tmp_path, said, timeout_s=40.0)

    def take_a_second(_: dict[str, Any]) -> None:
        feed._closing.wait(60)
        clock.now += 1

    stub = StubWandb(log=take_a_second).install(monkeypatch)
    log_rows(feed, 60)
    feed.close(0)
    assert len(stub.rows) == 30
    assert stub.calls[-2:] == [("finish", "wandb"), ("teardown", "wandb")]
    assert len(said) == 1 and "still waiting" in said[0]


def test_a_raising_service_is_named_once_and_later_rows_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_early(row: dict[str, Any]) -> None:
        if row["trainer/global_step"] < 3:
            raise ConnectionError("the service is down")

    stub, said = StubWandb(log=refuse_early).install(monkeypatch), []
    feed = feed_of(tmp_path, said)
    log_rows(feed, 10)
    feed.close(0)
    assert [row["trainer/global_step"] for row in stub.rows] == list(range(3, 10))
    assert "ConnectionError: the service is down" in said[0]
    assert said[1:] == ["W&B does not show 3 of 10 logged rows (3 were refused); the run folder has them all"]


@pytest.mark.parametrize("call", ["setup", "init", "define_metric"])
def test_a_service_that_cannot_be_started_is_given_up_with_a_sentence(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StubWandb(**{call: fail}).install(monkeypatch)
    said: list[str] = []
    feed = feed_of(tmp_path, said)
    log_rows(feed, 1000)  # more than the queue holds
    feed.close(0)
    assert "not used any more (ConnectionError" in said[0]
    assert "1000 of 1000" in said[-1]


def test_a_missing_package_is_a_sentence_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    said: list[str] = []
    feed = feed_of(tmp_path, said)
    log_rows(feed, 1)
    feed.close(0)
    assert "import of wandb halted" in said[0]


@pytest.mark.parametrize("call", ["init", "log", "finish", "teardown"])
def test_a_hanging_service_is_abandoned_within_the_time_limit(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StubWandb(**{call: hang}).install(monkeypatch)
    said: list[str] = []
    feed = feed_of(tmp_path, said, timeout_s=0.3)
    log_rows(feed, 1)
    closing = threading.Thread(target=feed.close, args=(0,), daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert "was abandoned" in said[0]


def test_an_unreachable_server_means_offline_and_the_failed_attempt_is_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_online(arguments: dict[str, Any]) -> None:
        if arguments["mode"] == "online":
            fail(arguments)

    stub, said = StubWandb(init=refuse_online).install(monkeypatch), []
    feed = feed_of(tmp_path, said, mode="online")
    log_rows(feed, 1)
    feed.close(0)
    assert [arguments["mode"] for arguments in stub.opened] == ["offline"]
    names = [name for name, _ in stub.calls]
    assert names.index("teardown") < len(names) - names[::-1].index("init")
    assert len(stub.rows) == 1 and len(said) == 1 and "logged offline" in said[0]


@pytest.mark.parametrize(("exit_code", "marked"), [(0, False), (1, False), (143, True)])
def test_only_a_preempted_run_is_marked_as_one_that_goes_on(
    exit_code: int, marked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = StubWandb().install(monkeypatch)
    feed = feed_of(tmp_path, [])
    log_rows(feed, 1)
    feed.close(exit_code)
    assert any(name == "mark_preempting" for name, _ in stub.calls) is marked


def test_a_trial_that_a_wandb_sweep_ends_is_not_queued_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep9")
    stub = StubWandb().install(monkeypatch)
    feed = feed_of(tmp_path, [])
    log_rows(feed, 1)
    feed.close(143)
    names = [name for name, _ in stub.calls]
    assert "finish" in names and "mark_preempting" not in names


HANGING_PACKAGE = """
import atexit, threading
hang = lambda *a, **k: threading.Event().wait()
Settings = dict
class Run:
    define_metric = log = mark_preempting = lambda *a, **k: None
    finish = hang
def init(**arguments):
    def teardown_atexit():
        hang()
    atexit.register(teardown_atexit)
    return Run()
setup = teardown = lambda *a: None
"""

PROGRAM = """
import atexit, sys, time
from pathlib import Path
from runtime.wandb_feed import WandbFeed
from runtime.wandb_session import RunDescription, WandbSession
atexit.register(lambda: print("other hooks still run"))
feed = WandbFeed(WandbSession(RunDescription(run_id="a", folder=Path("."), project="p", timeout_s=1.0)), 10)
feed.offer(lambda session: session.log({"train/loss": 1.0}, 0))
while feed._shown < 1:
    time.sleep(0.01)
feed.close(0)
sys.exit(7)
"""


def test_a_process_ends_although_finish_and_the_exit_hook_of_the_package_hang_for_ever(tmp_path: Path) -> None:
    (tmp_path / "wandb.py").write_text(HANGING_PACKAGE)
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert "in `finish` and was abandoned" in done.stderr
    assert "other hooks still run" in done.stdout

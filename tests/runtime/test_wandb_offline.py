"""The real wandb package, offline, its files read back."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from wandb_files import Segment, wandb_files

from runtime.wandb_feed import WandbFeed
from runtime.wandb_session import RunDescription, WandbSession

ROOT = Path(__file__).parents[2]
CONFIG = {
    "net.width": 128,
    "data.emotions": None,
    "data/synthetic": True,
    "choice/net": "small",
    "run_hash": "0a1b2c3d",
}


def feed_of(folder: Path, said: list[str], **description: Any) -> WandbFeed:
    told: dict[str, Any] = {
        "run_id": "expression-0a1b2c3d", "folder": folder, "project": "faces", "group": "ablation", "tags": ("net:small", "x" * 80),
        "config": CONFIG, **description,
    }  # fmt: skip
    return WandbFeed(WandbSession(RunDescription(**told), said.append), 1000, said.append)


def log_steps(feed: WandbFeed, steps: range) -> None:
    for step in steps:
        row = {"train/loss": 1.0 / (step + 1), "val/lip_vertex_error_mm": abs(step - 3.0)}
        feed.offer(lambda session, row=row, step=step: session.log(row, step))  # type: ignore[misc]


@pytest.fixture(scope="module")
def interrupted_run(tmp_path_factory: pytest.TempPathFactory) -> list[Segment]:
    """Steps 0 to 5, preempted; then again from step 4, as after a checkpoint of step 4."""
    folder = tmp_path_factory.mktemp("run")
    said: list[str] = []
    for resume_count, (steps, exit_code) in enumerate([(range(6), 143), (range(4, 8), 0)]):
        time.sleep(1.1 * resume_count)  # W&B names its folders by the second
        feed = feed_of(folder, said, resume_count=resume_count)
        log_steps(feed, steps)
        feed.close(exit_code)
    assert said == []
    return [Segment(path) for path in wandb_files(folder)]


def test_the_run_says_what_dashboards_group_and_filter_by(interrupted_run: list[Segment]) -> None:
    first = interrupted_run[0]
    assert (first.run.run_id, first.run.display_name) == ("expression-0a1b2c3d", "expression-0a1b2c3d")
    assert (first.run.run_group, first.run.project, first.run.job_type) == ("ablation", "faces", "train")
    assert sorted(first.run.tags) == ["net:small", "x" * 64]
    assert CONFIG.items() <= first.config.items()


def test_every_metric_is_drawn_over_the_global_step(interrupted_run: list[Segment]) -> None:
    assert interrupted_run[0].metrics["*"].step_metric == "trainer/global_step"


def test_a_resumed_run_has_the_same_id_and_loses_no_row_although_its_steps_go_back(
    interrupted_run: list[Segment],
) -> None:
    assert len(interrupted_run) == 2
    assert {segment.run.run_id for segment in interrupted_run} == {"expression-0a1b2c3d"}
    rows = [(row["trainer/global_step"], row["run/resume_count"]) for s in interrupted_run for row in s.history]
    assert rows == [(step, 0) for step in range(6)] + [(step, 1) for step in range(4, 8)]


def test_of_repeated_steps_the_highest_resume_count_is_the_run_that_went_on(interrupted_run: list[Segment]) -> None:
    rows = sorted(
        (row for segment in interrupted_run for row in segment.history), key=lambda row: row["run/resume_count"]
    )
    kept = {row["trainer/global_step"]: row for row in rows}
    assert sorted(kept) == list(range(8))
    assert [step for step, row in kept.items() if row["run/resume_count"] == 1] == [4, 5, 6, 7]


def test_the_summary_holds_the_last_value_of_each_metric(interrupted_run: list[Segment]) -> None:
    expected = {"trainer/global_step": 7, "run/resume_count": 1, "train/loss": 0.125, "val/lip_vertex_error_mm": 4.0}
    assert expected.items() <= interrupted_run[1].summary.items()


def test_the_exit_code_tells_a_preempted_run_from_a_finished_one(interrupted_run: list[Segment]) -> None:
    assert [segment.exit_codes for segment in interrupted_run] == [[143], [0]]
    assert [segment.has_preempting for segment in interrupted_run] == [True, False]


ONLINE = """
import sys, time
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from test_wandb_offline import feed_of, log_steps
from wandb_files import wandb_files
said = []
feed = feed_of(Path(sys.argv[3]), said, mode="online", timeout_s=float(sys.argv[4]))
log_steps(feed, range(3))
while not any("offline-run" in str(path) for path in wandb_files(Path(sys.argv[3]))):
    time.sleep(0.05)
feed.close(0)
print(said)
"""


@pytest.mark.parametrize(
    ("key", "timeout_s"),
    [pytest.param("", 90, id="no key"), pytest.param("0123456789" * 4, 4, id="no server", marks=pytest.mark.slow)],
)
def test_online_without_a_key_or_a_server_goes_on_offline_and_says_so(
    key: str, timeout_s: float, tmp_path: Path
) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    environment |= {"WANDB_API_KEY": key} if key else {}
    done = subprocess.run(
        [sys.executable, "-c", ONLINE, str(ROOT), str(Path(__file__).parent), str(tmp_path), str(timeout_s)],
        env=environment, capture_output=True, text=True, timeout=200, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.stdout.count("W&B") == 1 and "logged offline" in done.stdout, done.stdout + done.stderr
    [offline] = [Segment(path) for path in wandb_files(tmp_path) if "offline-run" in str(path)]
    assert [row["trainer/global_step"] for row in offline.history] == [0, 1, 2]


SERVICE_FAULT = """
import os, signal, sys, time
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from test_wandb_offline import feed_of, log_steps, service_of
from wandb_files import wandb_files
said = []
feed = feed_of(Path(sys.argv[3]), said, timeout_s=3.0)
log_steps(feed, range(3))
while not wandb_files(Path(sys.argv[3])):
    time.sleep(0.05)
service = service_of(os.getpid())
print(service)
os.kill(service, getattr(signal, sys.argv[4]))
time.sleep(0.5)
log_steps(feed, range(3, 6))
feed.close(0)
print(said)
sys.exit(7)
"""


def service_of(process: int) -> int:
    """The W&B service that a process started."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            facts = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue  # it ended meanwhile
        if facts["PPid"] == str(process) and facts["Name"].startswith("wandb-core"):
            return int(facts["Pid"])
    raise AssertionError("no W&B service is running")


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["SIGSTOP", "SIGKILL"])
def test_a_service_that_hangs_or_dies_is_a_sentence_and_the_process_ends_with_its_own_code(
    fault: str, tmp_path: Path
) -> None:
    begun = subprocess.Popen(
        [sys.executable, "-c", SERVICE_FAULT, str(ROOT), str(Path(__file__).parent), str(tmp_path), fault],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert begun.stdout is not None
    service = int(begun.stdout.readline())
    try:
        assert begun.wait(60) == 7
    finally:
        begun.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(service, signal.SIGKILL)
    assert "was abandoned" in (said := begun.stdout.read()) or "not used any more" in said, said

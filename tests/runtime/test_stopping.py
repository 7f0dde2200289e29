import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from runtime.exit_codes import DIVERGED, INTERRUPTED, PREEMPTED, STATUS
from runtime.stopping import Reason, RunStopped, StopRequest


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGTERM, Reason.PREEMPTED), (signal.SIGUSR1, Reason.PREEMPTED), (signal.SIGINT, Reason.INTERRUPTED)],
)
def test_a_signal_is_remembered_and_nothing_else_happens(number: signal.Signals, reason: Reason) -> None:
    with StopRequest().listening() as stop:
        assert stop.agreed() is Reason.NONE
        os.kill(os.getpid(), number)
        assert stop.agreed() is reason and stop.detail == number.name


def test_the_handlers_before_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    with StopRequest().listening():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before


def test_repeated_termination_does_not_end_the_process_before_it_saved() -> None:
    with StopRequest().listening() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.agreed() is Reason.PREEMPTED


def test_a_second_interruption_from_the_keyboard_ends_the_process_at_once_and_a_bouncing_key_does_not() -> None:
    program = """
import os, signal, types, runtime.stopping as stopping
stopping.time = types.SimpleNamespace(monotonic=lambda: now)
with stopping.StopRequest().listening():
    for now in (100.0, 100.0 + 0.9 * stopping.REPEAT_S, 100.0 + 1.1 * stopping.REPEAT_S):
        print("again", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
    print("never reached", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == INTERRUPTED and done.stdout.split() == ["again"] * 3, done.stderr
    assert done.stderr.count("again to end at once") == 1


def test_the_wall_clock_asks_like_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("runtime.stopping.time", SimpleNamespace(monotonic=lambda: clock.now))
    stop = StopRequest(time_limit_s=10.0)
    clock.now += 9.9
    assert stop.agreed() is Reason.NONE
    clock.now += 0.2
    assert stop.agreed() is Reason.TIME_LIMIT


def test_the_graver_reason_counts_and_says_why() -> None:
    stop = StopRequest()
    stop.ask(Reason.DIVERGED, "loss nan")
    stop.ask(Reason.PREEMPTED, "SIGTERM")
    assert stop.agreed() is Reason.DIVERGED and stop.detail == "loss nan"


def test_reasons_have_the_exit_codes_that_schedulers_read() -> None:
    codes = {reason: reason.exit_code for reason in Reason if reason}
    assert codes == {
        Reason.TIME_LIMIT: PREEMPTED, Reason.PREEMPTED: PREEMPTED, Reason.INTERRUPTED: INTERRUPTED, Reason.DIVERGED: DIVERGED,
    }  # fmt: skip
    assert not Reason.DIVERGED.is_saved and Reason.TIME_LIMIT.is_saved
    assert str(RunStopped(Reason.TIME_LIMIT, 40)) == "time limit at step 40"
    assert {STATUS[code] for code in codes.values()} == {"preempted", "interrupted", "diverged"}

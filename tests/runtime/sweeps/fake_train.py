"""Stands in for train.py in the tests of sweeps: starts at once, makes a run folder and a record, and ends as it is told.

    fake_train.py EXPERIMENT key=value ...

`run.label` is `how` or `how:argument`: ok, diverge, fail, bad_input, stall, slow:S (S seconds a step), stubborn (slow and deaf to SIGTERM),
grandchild (slow, and starts a process that is deaf to SIGTERM; grandchild:own, in a session of its own as ranks are), die:N (SIGKILLs itself at step N of its first attempt),
hold:N (waits after step N of its first attempt until it is ended). The metric falls
with net.width and rises with run.seed and task.optimizer.lr.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

IGNORE_SIGTERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
ENDINGS = {"diverge": (65, "diverged"), "fail": (1, "failed"), "stall": (70, "stalled")}


def main() -> int:
    values = dict(text.split("=", 1) for text in sys.argv[2:] if not text.startswith("logger."))
    how, _, argument = values.get("run.label", "ok").strip("'").partition(":")
    run = (
        Path(values.get("run.root", "runs"))
        / f"fake-{hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:8]}"
    )
    first = not run.exists()
    run.mkdir(parents=True, exist_ok=True)
    print(f"run: {run}", flush=True)
    (run / "data.json").write_text(json.dumps({"facts": {"synthetic": True}}))
    with (run / "starts.jsonl").open("a") as handle:
        handle.write(
            json.dumps({"pid": os.getpid(), "arguments": sys.argv[1:], "environment": dict(os.environ)}) + "\n"
        )
    deaf = how == "stubborn"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else lambda *_: end(run, 143, "preempted"))
    if how == "grandchild":
        subprocess.Popen([sys.executable, "-S", "-c", IGNORE_SIGTERM], start_new_session=argument == "own")
    if how == "bad_input":
        print("train.py: no such corpus", file=sys.stderr)
        return 2
    record = run / "metrics.jsonl"
    done = len(record.read_text().splitlines()) if record.exists() else 0
    worth = (
        100 / float(values.get("net.width", 10))
        + float(values["run.seed"])
        + 1000 * float(values.get("task.optimizer.lr", 0))
    )
    for step in range(done, int(values.get("trainer.max_steps", 10))):
        time.sleep(
            (float(argument) if how == "slow" and argument else 0.2)
            if how in ("slow", "stubborn", "grandchild")
            else 0.002
        )
        line = {
            "step": step,
            "time": time.time(),
            "val/lip_vertex_error_mm": worth + 1 / (step + 1),
            "val/loss": float(step),
        }
        with record.open("a") as handle:
            handle.write(json.dumps(line) + "\n")
        if how == "die" and first and step == int(argument):
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hold" and first and step == int(argument):
            time.sleep(600)
    end(run, *ENDINGS.get(how, (0, "finished")))
    return 0


def end(run: Path, code: int, status: str) -> None:
    (run / "outcome.json").write_text(
        json.dumps({"status": status, "step": 3, "reason": f"{status} at step 3, clip007"})
    )
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())

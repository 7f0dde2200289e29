"""`outcome.json` in a run folder: how the run stands or ended, for people and sweeps that look at it later."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from runtime.run_folder import write_atomically

FILE = "outcome.json"
STATUSES = ("running", "finished", "preempted", "interrupted", "diverged", "stalled", "failed")


def record_outcome(folder: Path, status: str, step: int = 0, reason: str = "", **details: Any) -> None:
    """Replace the folder's outcome; `status` is one of STATUSES, `details` are plain JSON values."""
    if status not in STATUSES:
        raise ValueError(f"outcome {status!r}; expected one of {', '.join(STATUSES)}")
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    values = {"status": status, "step": step, "reason": reason, "time": when, **details}
    try:
        write_atomically(folder / FILE, json.dumps(values, indent=1))
    except OSError as error:  # must not hide why the run ended
        print(
            f"{folder / FILE} could not be written ({error.strerror}): {status}, {reason}", file=sys.stderr, flush=True
        )


def read_outcome(folder: Path) -> dict[str, Any]:
    """The recorded outcome; `{"status": "unknown"}` where there is none."""
    try:
        return json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {"status": "unknown", "step": 0, "reason": ""}

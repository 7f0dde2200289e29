"""Scores of a finished run in W&B: one more row of that run, under the step of the checkpoint that was scored."""

from __future__ import annotations

from dataclasses import replace

from runtime.run_folder import RunFolder
from runtime.wandb_session import WandbSession
from runtime.wandb_view import describe


def upload_scores(run: RunFolder, row: dict[str, float], step: int, mode: str) -> None:
    """Log `row` (logged name -> value) in the run's own W&B record; `mode` is `online` or `offline` (then `sweep.py sync` uploads it).

    Waits for the package, and raises what it raises: whoever asks for an upload wants to know that it failed.
    """
    session = WandbSession(replace(describe(run), mode=mode))
    session.start()
    session.log(row, step)
    session.finish(0)

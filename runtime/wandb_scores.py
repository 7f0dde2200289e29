"""Scores of a finished run in W&B: one more row of that run, under the step of the checkpoint that was scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runtime.run_folder import RunError, RunFolder
from runtime.wandb_session import WandbSession, first_line
from runtime.wandb_view import describe, described_metrics


def upload_scores(
    run: RunFolder, row: dict[str, float], meanings: Mapping[str, Mapping[str, str]], step: int, mode: str
) -> None:
    """Log `row` (logged name -> value) in the run's own W&B record, and what its numbers mean in its configuration; `mode` is `online` or `offline` (then `sweep.py sync` uploads it).

    Waits for the package; raises RunError with the first line of what it raises.
    """
    try:
        session = WandbSession(replace(describe(run), mode=mode))
        session.start()
        session.add_to_config(described_metrics(meanings))
        session.log(row, step)
        session.finish(0)
    except Exception as error:
        raise RunError(
            f"the scores of {run.path} are written, but W&B did not take them ({first_line(error)})"
        ) from error

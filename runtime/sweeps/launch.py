"""Running a whole sweep on this machine, and saying how it ended."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from runtime.sweeps.definition import Sweep
from runtime.sweeps.display import Display
from runtime.sweeps.folder import FINISHED, PENDING, STOPPED, SweepFolder, open_sweep
from runtime.sweeps.local import GridSource, Workers, missing
from runtime.sweeps.tables import print_results, write_results
from runtime.sweeps.trial_process import TRAIN
from runtime.sweeps.trials import Trial, grid_trials


def run_local(
    sweep: Sweep, jobs: int = 1, grace_s: float = 120.0, gpus: Sequence[str] = (), command: Sequence[str] = TRAIN
) -> int:
    """Do what is missing of a sweep, then print its table; 0 only when every trial finished or was stopped on purpose."""
    trials = grid_trials(sweep)
    folder = open_sweep(sweep, trials[0].run_root)
    todo = missing(trials, folder)
    print(f"sweep: {folder.path}", flush=True)
    if len(todo) < len(trials):
        print(f"{len(trials) - len(todo)} of {len(trials)} trials are done already", file=sys.stderr)
    ended_by = None
    if todo:
        display = Display(sweep.name, len(trials), sweep.metric, jobs)
        ended_by = Workers(
            GridSource(trials, folder), folder, sweep.metric, display, jobs, command, grace_s, gpus
        ).run()
    print_results(write_results(folder), sweep)
    if ended_by is not None:
        print("sweep.py: interrupted; all trials have ended, the same command does the rest", file=sys.stderr)
        return 128 + ended_by
    return verdict(trials, folder)


def verdict(trials: Sequence[Trial], folder: SweepFolder) -> int:
    """0 where all trials finished or were stopped on purpose, else 1 and a sentence."""
    attempts = folder.attempts()
    statuses = Counter(attempts[t.id].status if t.id in attempts else PENDING for t in trials)
    bad = {status: count for status, count in statuses.items() if status not in (FINISHED, STOPPED)}
    if not bad:
        return 0
    counts = ", ".join(f"{count} {status}" for status, count in sorted(bad.items()))
    print(
        f"sweep.py: {sum(bad.values())} of {len(trials)} trials did not finish: {counts}; see {folder.path / 'logs'}",
        file=sys.stderr,
    )
    return 1

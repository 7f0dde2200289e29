"""Running a whole sweep or one trial of it on this machine, and saying how it ended."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

from runtime import exit_codes
from runtime.sweeps.definition import Sweep, SweepError
from runtime.sweeps.display import Display
from runtime.sweeps.folder import DIVERGED, FINISHED, PENDING, PREEMPTED, STOPPED, SweepFolder, open_sweep
from runtime.sweeps.local import GridSource, Source, Workers, is_outdated, missing
from runtime.sweeps.results import best_trial
from runtime.sweeps.search import SearchSource
from runtime.sweeps.tables import print_results, write_results
from runtime.sweeps.trial_process import TRAIN
from runtime.sweeps.trials import Trial, corner_trials, grid_cells, grid_trials, make_trials

EXIT_CODES = {
    FINISHED: exit_codes.FINISHED,
    STOPPED: exit_codes.FINISHED,
    DIVERGED: exit_codes.DIVERGED,
    PREEMPTED: exit_codes.PREEMPTED,
}


def run_local(
    sweep: Sweep, jobs: int = 1, grace_s: float = 120.0, gpus: Sequence[str] = (), command: Sequence[str] = TRAIN
) -> int:
    """Do what is missing of a sweep, then print its table; 0 only when every trial finished or was stopped on purpose."""
    checked = check(sweep)
    folder = open_sweep(sweep, checked[0].run_root)
    print(f"sweep: {folder.path}", flush=True)
    source: Source
    if sweep.search is None:
        total = len(checked)
        source = GridSource(checked, folder)
        done = total - len(missing(checked, folder))
        _say_outdated(checked, folder)
    else:
        total = sweep.search.trials
        source = SearchSource(sweep, folder, checked[0])
        done = sum(bool(attempt.end) for attempt in folder.attempts().values())
    if done:
        print(f"{done} of {total} trials are done already", file=sys.stderr)
    display = Display(sweep.name, total, sweep.metric, jobs)
    ended_by = Workers(source, folder, sweep.metric, display, jobs, command, grace_s, gpus).run()
    print_results(write_results(folder), sweep)
    if ended_by is not None:
        print("sweep.py: interrupted; all trials have ended, the same command does the rest", file=sys.stderr)
        return 128 + ended_by
    if isinstance(source, SearchSource):
        print_best(sweep, folder)
        print(source.best_of_all, end="\n" if source.best_of_all else "")
    return verdict(sweep, folder)


def check(sweep: Sweep) -> list[Trial]:
    """Compose every trial of a grid, or the ends of a search's space; raises SweepError with all problems."""
    return grid_trials(sweep) if sweep.search is None else corner_trials(sweep)


def is_settled(sweep: Sweep) -> bool:
    """Whether nothing of a grid is left to do."""
    trials = grid_trials(sweep)
    return not missing(trials, open_sweep(sweep, trials[0].run_root))


def run_trial(
    folder: SweepFolder,
    trial: Trial | None,
    grace_s: float = 120.0,
    command: Sequence[str] = TRAIN,
    of_agent: bool = False,
) -> int:
    """One trial of a sweep, or for None the next one that its search draws; the exit code is train.py's.

    As a SLURM array task: SIGUSR1, sent ahead of the time limit, saves and puts the task back into the queue. As a command of a
    W&B agent (`of_agent`): SIGTERM ends the trial for good.
    """
    sweep = folder.sweep
    source: Source
    if trial is not None:
        source = GridSource([trial], folder)
    else:
        source = SearchSource(sweep, folder, corner_trials(sweep)[0], limit=1)
    before = {trial_id: attempt.number for trial_id, attempt in folder.attempts().items()}
    display = Display(sweep.name, 1, sweep.metric, 1)
    ended_by = Workers(source, folder, sweep.metric, display, 1, command, grace_s, of_agent=of_agent).run()
    tried = [a for trial_id, a in folder.attempts().items() if a.number != before.get(trial_id)]
    status = tried[-1].status if tried else FINISHED
    if status == PREEMPTED and ended_by == signal.SIGUSR1:
        _requeue()
    return EXIT_CODES.get(status, exit_codes.FAILED)


def trial_at(sweep: Sweep, index: int) -> Trial:
    """The trial of a grid at a position of its list; composes only this one."""
    cells = grid_cells(sweep)
    if not 0 <= index < len(cells):
        raise SweepError(f"there is no trial {index}; {sweep.name} has trials 0 to {len(cells) - 1}")
    return make_trials(sweep, [cells[index]])[0]


def verdict(sweep: Sweep, folder: SweepFolder) -> int:
    """0 where all trials finished, with the metric, or were stopped on purpose; else 1 and a sentence."""
    attempts = folder.attempts()
    ids = list(attempts) if sweep.search is not None else [trial_id for trial_id, _, _ in grid_cells(sweep)]
    statuses = Counter(attempts[name].status if name in attempts else PENDING for name in ids)
    bad = {status: count for status, count in statuses.items() if status not in (FINISHED, STOPPED)}
    if bad:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(bad.items()))
        print(
            f"sweep.py: {sum(bad.values())} of {len(ids)} trials did not finish: {counts}; see {folder.path / 'logs'}",
            file=sys.stderr,
        )
        return 1
    silent = [name for name in ids if attempts[name].status == FINISHED and attempts[name].end.get("metric") is None]
    if silent:
        print(
            f"sweep.py: {len(silent)} finished trials never logged {sweep.metric.name} as a number; "
            f"look at the metrics.jsonl of {attempts[silent[0]].end.get('folder')} and correct `metric` in the sweep file",
            file=sys.stderr,
        )
        return 1
    return 0


def print_best(sweep: Sweep, folder: SweepFolder) -> None:
    """The command that trains the best trial of a search again, under a seed of one's choice."""
    best = best_trial(folder)
    if best is None:
        return
    start = folder.attempts()[best["trial"]].start
    kept = [text for text in start["overrides"] if not text.startswith(("logger.", "run.seed="))]
    command = shlex.join(["python", "train.py", start["experiment"], *kept])
    print(f"best: trial {best['trial']}, {sweep.metric.name} {best['values'][sweep.metric.name]:.6g}\n  {command}")


def _say_outdated(trials: Sequence[Trial], folder: SweepFolder) -> None:
    attempts = folder.attempts()
    old = [trial for trial in trials if trial.id in attempts and is_outdated(trial, attempts[trial.id])]
    if old:
        print(
            f"{len(old)} trials were trained before a file of experiments/ changed their configuration; they are trained anew "
            f"in run folders of their own, the old ones stay",
            file=sys.stderr,
        )


def _requeue() -> None:
    """Only before the time limit: a preempted job is put back by SLURM itself, a cancelled one must not be."""
    scontrol = shutil.which("scontrol")
    job = os.environ.get("SLURM_ARRAY_JOB_ID")
    if scontrol and job:
        subprocess.run([scontrol, "requeue", f"{job}_{os.environ['SLURM_ARRAY_TASK_ID']}"], check=False, timeout=60)

"""A sweep as one SLURM array job: a readable batch script, one array task a trial."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.run_folder import write_atomically
from runtime.sweeps.definition import Sweep, SweepError
from runtime.sweeps.folder import SweepFolder, open_sweep
from runtime.sweeps.launch import check
from runtime.sweeps.local import missing
from runtime.sweeps.search import SearchSource, drawn

OURS = ("array", "requeue", "signal", "output", "error", "open-mode", "job-name", "chdir")
SWEEP = Path(__file__).resolve().parents[2] / "sweep.py"
TEMPLATE = """#!/bin/bash
# Written by sweep.py for {name}: one array task a trial, {count} of them missing when this was written.
# Submit it by: {submit}
# A preempted task is queued again by SLURM (--requeue). Ahead of the time limit a task gets SIGUSR1: it saves, ends, and queues itself again.
# Options of your own (partition, time, gres, ...): `slurm:` in the sweep file.
#SBATCH --job-name={name}
#SBATCH --array={array}
#SBATCH --output={logs}/slurm-%a.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@180
{options}
cd {cwd}
# exec: signals for the batch shell reach the trial itself.
exec {python} {sweep} trial {folder} "$SLURM_ARRAY_TASK_ID"
"""


def submit(sweep: Sweep, jobs: int) -> int:
    """Write `sweep.sbatch` for what is missing, print the command that submits it, and submit where sbatch exists; at most `jobs` tasks at a time."""
    _check_options(sweep)
    trials = check(sweep)
    folder = open_sweep(sweep, trials[0].run_root)
    print(f"sweep: {folder.path}")
    if sweep.search is None:
        positions = {trial.id: position for position, trial in enumerate(trials)}
        indices = [positions[trial.id] for trial in missing(trials, folder)]
    else:
        study = SearchSource(sweep, folder, trials[0])
        indices = list(range(len(study.unfinished) + max(0, sweep.search.trials - drawn(study.study))))
    if not indices:
        print("nothing is missing; `python sweep.py table` prints the results")
        return 0
    command = write_script(sweep, folder, indices, jobs)
    print(shlex.join(command), flush=True)
    if shutil.which(command[0]) is None:
        print("sweep.py: there is no sbatch on this machine; run this command where there is one", file=sys.stderr)
        return 0
    return subprocess.run(command, check=False).returncode


def write_script(sweep: Sweep, folder: SweepFolder, indices: Sequence[int], jobs: int) -> list[str]:
    """Write the batch script; returns the command that submits it."""
    script = folder.path.resolve() / "sweep.sbatch"
    command = ["sbatch", str(script)]
    text = TEMPLATE.format(
        name=sweep.name,
        count=len(indices),
        submit=shlex.join(command),
        array=f"{ranges(indices)}%{jobs}",
        logs=folder.path.resolve() / "logs",
        options="\n".join(f"#SBATCH --{name}={value}" for name, value in sweep.slurm.items()),
        cwd=shlex.quote(str(Path.cwd())),
        python=shlex.quote(sys.executable),
        sweep=shlex.quote(str(SWEEP)),
        folder=shlex.quote(str(folder.path.resolve())),
    )
    write_atomically(script, text)
    return command


def ranges(indices: Sequence[int]) -> str:
    """`0-3,7` for [0, 1, 2, 3, 7], as SLURM writes arrays."""
    parts: list[list[int]] = []
    for index in sorted(indices):
        if parts and parts[-1][-1] == index - 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _check_options(sweep: Sweep) -> None:
    problems = [f"slurm.{name}: sweep.py sets this one itself" for name in sweep.slurm if name in OURS]
    for name, value in sweep.slurm.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", str(name)) or not isinstance(value, str | int) or "\n" in str(value):
            problems.append(
                f"slurm.{name}={value!r}: expected the long name of an sbatch option with text or a whole number"
            )
    if problems:
        raise SweepError("\n".join(problems))

"""`python sweep_with_fake.py FILE JOBS GRACE [key=value ...]`: sweep.py's local launcher over the stand-in for train.py, as a process to be killed.

`python sweep_with_fake.py trial FOLDER INDEX` and `python sweep_with_fake.py agent FILE key=value ...`: one trial.
"""

import sys
from pathlib import Path

from sweep_helpers import FAKE, quick_compose

from runtime.sweeps import trials
from runtime.sweeps.folder import existing_sweep
from runtime.sweeps.launch import run_local, run_trial, trial_at
from runtime.sweeps.reading import read_sweep
from runtime.sweeps.wandb_agent import agent_trial

trials.compose = quick_compose  # type: ignore[assignment]
what, *rest = sys.argv[1:]
if what == "trial":
    folder = existing_sweep(rest[0])
    sys.exit(run_trial(folder, trial_at(folder.sweep, int(rest[1])), 10.0, FAKE))
if what == "agent":
    fixed = [text.removeprefix("--fixed=") for text in rest if text.startswith("--fixed=")]
    folder, trial = agent_trial(read_sweep(Path(rest[0]), fixed), [t for t in rest[1:] if not t.startswith("--fixed=")])
    sys.exit(run_trial(folder, trial, 10.0, FAKE, of_agent=True))
sys.exit(run_local(read_sweep(Path(what), rest[2:]), int(rest[0]), float(rest[1]), command=FAKE))

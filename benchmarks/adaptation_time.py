"""How long does a persona take? `adapt.py` from its start to the written folder, at the small and the released size.

python -m benchmarks.adaptation_time [--reference data/people#synthetic-012] [--data data/synthetic] [--threads 2]

The bases have trained one step on `--data`: a step costs the same whatever the weights are. Each size is measured with all steps of the experiment
(nothing stops it early) and as it comes, with early stopping, which from such a base takes long to stop.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import print_rows

SIZES = ("small", "released")
NEVER = "callbacks.early_stopping.patience=1000000"


def make_base(folder: Path, size: str, data: str) -> Path:
    """A run of `size` after one step."""
    short = [
        "trainer.max_steps=1",
        "trainer.val_every_steps=1",
        "checkpoint.every_steps=1",
        "data.global_batch=2",
        "data.max_clips=40",
    ]
    options = [
        f"net={size}",
        f"data.root={data}",
        f"run.folder={folder}",
        "callbacks.media.every_steps=0",
        "logger=none",
        *short,
    ]
    _run(["train.py", "expression_pretraining", *options])
    return folder


def time_adaptation(reference: str, base: Path, out: Path, *options: str) -> tuple[float, float]:
    """Wall and processor seconds of one `adapt.py`."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    _run(
        [
            "adapt.py",
            reference,
            "--expression",
            str(base),
            "--out",
            str(out),
            f"run.root={out.parent}",
            "logger=none",
            *options,
        ]
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", default="data/people#synthetic-012")
    parser.add_argument("--data", default="data/synthetic")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", nargs="+", default=SIZES, choices=SIZES)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            base = make_base(Path(folder) / size, size, options.data)
            for name, more in (("all steps", [NEVER]), ("with early stopping", [])):
                out = Path(folder) / f"{size}-{name.split()[0]}" / "persona"
                out.parent.mkdir()
                wall, cpu = time_adaptation(options.reference, base, out, *more)
                rows += [
                    {"name": f"{size}, {name}: wall", "value": wall, "unit": "s"},
                    {"name": f"{size}, {name}: processor", "value": cpu, "unit": "s"},
                ]
    print_rows(rows)


if __name__ == "__main__":
    main()

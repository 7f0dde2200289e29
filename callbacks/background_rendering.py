"""Drawing in processes of their own, so that no rank waits: what was saved is rendered at low priority and logged once it is there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl

AFTER_TRAINING_S = 120


class BackgroundRendering:
    """Starts `python -m MODULE FOLDER ...`; `done(folder, step)` is called, in the training process, for each that ended well."""

    def __init__(self, done: Callable[[pl.Trainer, Path, int], None]) -> None:
        self._done = done
        self._running: list[tuple[int, Path, subprocess.Popen[bytes]]] = []

    def start(self, module: str, folder: Path, step: int, *options: str) -> None:
        """What the process says goes to `folder/render.log`."""
        with (folder / "render.log").open("wb") as log:
            command = [sys.executable, "-m", module, str(folder), *options]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[1])
        self._running.append((step, folder, process))

    def collect(self, trainer: pl.Trainer) -> None:
        """Log what has ended since the last call; a failure is said on stderr and stops nothing."""
        pending = []
        for step, folder, process in self._running:
            if process.poll() is None:
                pending.append((step, folder, process))
            elif process.returncode != 0:
                log = folder / "render.log"
                print(f"rendering {folder} failed (exit {process.returncode}); see {log}", file=sys.stderr)
            else:
                self._done(trainer, folder, step)
        self._running = pending

    def finish(self, trainer: pl.Trainer) -> None:
        """After training: wait two minutes for each, then end it."""
        for _, folder, process in self._running:
            try:
                process.wait(timeout=AFTER_TRAINING_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                told = f"rendering {folder} took over {AFTER_TRAINING_S} s after training and was ended"
                print(f"{told}; see render.log there", file=sys.stderr)
        self.collect(trainer)

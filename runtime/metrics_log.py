"""`metrics.jsonl`: the record of a run, one JSON object a logged step; and W&B as a view of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from runtime.run_folder import RunFolder, flatten


class JsonlLogger(Logger):
    """Appends `{"step": .., "time": .., "<metric>": ..}` lines; on resume cuts what was logged after the checkpoint's step."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return self.path.parent.name

    @property
    @rank_zero_experiment
    def experiment(self) -> Path:
        return self.path

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {name: _plain(value) for name, value in metrics.items() if name != "epoch"}
        line = json.dumps({"step": int(step or 0), "time": round(time.time(), 3), **values})
        with self.path.open("a") as handle:
            handle.write(line + "\n")

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's config.yaml is the record."""

    @rank_zero_only
    def rewind(self, step: int) -> int:
        """Remove the lines of steps that will be done again (and a half-written last line); returns how many."""
        if not self.path.exists():
            return 0
        kept, removed = [], 0
        for line in self.path.read_text().splitlines():
            try:
                keep = json.loads(line)["step"] < step
            except (ValueError, KeyError):
                keep = False
            if keep:
                kept.append(line)
            else:
                removed += 1
        temporary = self.path.with_name(self.path.name + ".tmp")
        temporary.write_text("".join(line + "\n" for line in kept))
        temporary.replace(self.path)
        return removed


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All logged lines of a run, in order."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def make_loggers(run: RunFolder) -> list[Logger]:
    """The record, and W&B unless `logger=none`. Offline runs are uploaded later with `wandb sync <run>/wandb/offline-run-*`."""
    loggers: list[Logger] = [JsonlLogger(run.metrics_file)]
    settings = run.config.logger
    if settings.mode != "none":
        loggers.append(
            WandbLogger(
                project=settings.project,
                name=run.run_id,
                id=run.run_id,
                group=settings.group or run.config.run.name,
                job_type="train",
                tags=[str(t) for t in settings.tags],
                save_dir=str(run.path),
                offline=settings.mode == "offline",
                resume="allow",
                config=flatten(run.config),
                log_model=False,
            )
        )
    return loggers


def close_loggers(loggers: list[Logger]) -> None:
    """End the W&B run, so that another run trained by this process does not log into it."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()


def _plain(value: Any) -> float | int | None:
    number = float(value)
    if math.isnan(number) or math.isinf(number):
        return None  # JSON has no NaN; null keeps the line readable by every reader
    return int(number) if number.is_integer() and abs(number) < 2**53 else number

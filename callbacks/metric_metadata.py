"""What each number of a validation means (unit, vertices, averaging, direction, source), kept beside the numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from runtime.run_folder import write_atomically

METADATA = "metrics.json"


class MetricMetadata(pl.Callback):
    """Writes `<run>/metrics.json`, `{"val/<metric>": {metric, of, unit, vertices, average, best, source}}`, when training starts, and shows it in
    W&B's configuration. Of the module and of every callback with `metadata()`. Rank 0 alone; a resume writes the same again. Whatever fails is told on stderr, and
    training goes on.
    """

    def __init__(self, run_folder: str) -> None:
        self.path = Path(run_folder) / METADATA

    # Callbacks that learn in `setup` what they log are complete by then.
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        try:
            found = metadata_of(trainer)
            if not found:
                return
            for logger in trainer.loggers:
                if hasattr(logger, "log_metric_metadata"):
                    logger.log_metric_metadata(found)
            write_atomically(self.path, json.dumps(found, indent=1) + "\n")
        except Exception as error:  # noqa: BLE001 - a description of numbers must not end the run that makes them
            print(f"{self.path} is not written ({type(error).__name__}: {error}); training goes on", file=sys.stderr)


def metadata_of(trainer: pl.Trainer) -> dict[str, dict[str, str]]:
    """By the logged name, in alphabetical order."""
    found: dict[str, Any] = {}
    for each in (trainer.lightning_module, *trainer.callbacks):  # type: ignore[attr-defined]
        if hasattr(each, "metadata"):
            found |= each.metadata()
    return dict(sorted(found.items()))

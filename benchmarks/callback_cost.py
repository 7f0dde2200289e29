"""What watching a training costs: processor time of the validation callbacks as a share of the training between two validations.

python -m benchmarks.callback_cost [DATA] [EXPERIMENT] [STEPS]

Runs STEPS steps and one validation on all validation clips of DATA, with everything else as the experiment has it, and scales the steps to the
experiment's own distance between validations. Media are saved and rendered in that validation, though by default only every second one does so.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from runtime.assemble import build_module
from runtime.compose import compose
from runtime.instantiate import build
from runtime.run_folder import open_run
from runtime.stopping import StopRequest
from runtime.trainer import make_trainer, quieten

HOOKS = ("on_validation_epoch_start", "on_validation_batch_end", "on_validation_epoch_end")
WARM_UP = 5


class Clock(pl.Callback):
    """Processor time at the end of every training batch and around the validation."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.validation = 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps.append(time.process_time())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validation = -time.process_time()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validation += time.process_time()


def rows(data_root: str = "data/synthetic", experiment: str = "expression_pretraining", steps: int = 25) -> list[dict]:
    """One row for each callback and their sum, in percent of the training between two validations."""
    if not Path(data_root, "manifest.json").is_file():
        return [{"name": "cost of validation callbacks", "value": None, "unit": f"no corpus at {data_root}"}]
    quieten()
    with tempfile.TemporaryDirectory() as scratch:
        return _measured(data_root, experiment, steps, Path(scratch))


def _measured(data_root: str, experiment: str, steps: int, scratch: Path) -> list[dict]:
    every = int(compose(experiment, [f"data.root={data_root}"]).trainer.val_every_steps)
    config = compose(
        experiment,
        [f"data.root={data_root}", f"run.folder={scratch / 'run'}", f"trainer.max_steps={steps}", f"trainer.val_every_steps={steps}",
         "trainer.accelerator=cpu", "logger=none", *_media_due(experiment, steps)],
    )  # fmt: skip
    data = build(config.data)
    run = open_run(config, data.facts)
    module = build_module(config, data.facts)
    module.take_statistics(data)
    trainer = make_trainer(config, run, False, StopRequest())  # type: ignore[arg-type]
    spent: dict[str, float] = defaultdict(float)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        for hook in HOOKS:
            setattr(callback, hook, _timed(getattr(callback, hook), type(callback).__name__, spent))
    clock = Clock()
    trainer.callbacks.insert(0, clock)  # type: ignore[attr-defined]
    children = _children_seconds()
    trainer.fit(module, datamodule=data)
    rendering = _children_seconds() - children
    step = float(np.median(np.diff(clock.steps)[WARM_UP:]))
    whole = every * step
    found = [
        {"name": f"{experiment}: training step, processor time", "value": 1000 * step, "unit": "ms"},
        {
            "name": f"validation on {len(data.chosen['val'])} clips, every {every} steps",
            "value": clock.validation,
            "unit": "s",
        },
    ]
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        found.append({"name": f"  {name}", "value": 100 * seconds / whole, "unit": "% of training"})
    found.append(
        {"name": "all callbacks of a validation", "value": 100 * sum(spent.values()) / whole, "unit": "% of training"}
    )
    # Loader processes are children too: an upper bound.
    found.append({"name": "rendering and loading, in other processes", "value": rendering, "unit": "s"})
    return found


def _media_due(experiment: str, steps: int) -> list[str]:
    return [
        f"callbacks.{name}.every_steps={steps}" for name in compose(experiment, []).callbacks if name.endswith("media")
    ]


def _timed(function: Any, name: str, spent: dict[str, float]) -> Any:
    def timed(*arguments: Any, **options: Any) -> Any:
        before = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] += time.process_time() - before

    return timed


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    from benchmarks.table import print_rows

    given = sys.argv[1:]
    print(f"{os.cpu_count()} cores")
    print_rows(rows(*given[:2], *(int(steps) for steps in given[2:3])))


if __name__ == "__main__":
    main()

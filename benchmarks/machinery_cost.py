"""What surviving costs: a training step with checkpoints, seeding, agreement on stops, watchdog, divergence check, record and W&B (offline)
against the same module, data and Trainer without any of it.

python -m benchmarks.machinery_cost [BLOCKS] [STEPS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from runtime.assemble import build_module
from runtime.compose import compose
from runtime.instantiate import build
from runtime.metrics_log import close_loggers, make_loggers
from runtime.run_folder import open_run
from runtime.stopping import StopRequest
from runtime.trainer import make_trainer, quieten

WARM_UP = 15  # steps; W&B opens its run meanwhile, once in a run


class StepClock(pl.Callback):
    """Wall and processor time at the end of every batch. Processor time hardly feels what else runs on the machine."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.times.append((time.perf_counter(), time.process_time()))


def rows(blocks: int = 4, steps: int = 40) -> list[dict]:
    """Median step with the machinery over median step without, in blocks that take turns, and the time of one save."""
    quieten()
    with tempfile.TemporaryDirectory() as scratch:
        corpus = _corpus(Path(scratch))
        seconds: dict[bool, list[np.ndarray]] = {True: [], False: []}
        saves: list[float] = []
        shares: list[float] = []
        for block in range(2 * blocks):
            on = block % 2 == (block // 2) % 2  # on, off, off, on, ...: drift of the machine hits both alike
            seconds[on].append(_step_seconds(corpus, Path(scratch), block, steps, on, saves, shares))
    with_it, without = (np.concatenate(seconds[on]) for on in (True, False))
    found = [
        {"name": "training step without the machinery, small", "value": 1000 * _median(without[:, 0]), "unit": "ms"}
    ]
    for column, kind in enumerate(("wall", "processor")):
        # Step k has the same samples in every block: pairs do not vary with the length of references.
        ratios = with_it[:, column] / without[:, column]
        low, high = _interval(ratios)
        name = f"machinery: extra {kind} time a step (95 % {low - 1:+.1%} to {high - 1:+.1%})"
        found.append({"name": name, "value": 100 * (_median(ratios) - 1), "unit": "%"})
    return [
        *found,
        {
            "name": "machinery: time in its hooks a step",
            "value": 100 * float(np.median(shares)),
            "unit": "% of step",
        },
        {
            "name": "machinery: one checkpoint (every 200 steps by default)",
            "value": 1000 * float(np.median(saves)),
            "unit": "ms",
        },
    ]


def _step_seconds(
    corpus: Path, scratch: Path, block: int, steps: int, on: bool, saves: list[float], shares: list[float]
) -> np.ndarray:
    """[steps, 2] wall and processor seconds of one short run."""
    config = compose(
        "expression_pretraining",
        [f"data.root={corpus}", f"run.folder={scratch / f'run-{block}'}", f"trainer.max_steps={steps}", "trainer.val_every_steps=100000",
         "trainer.accelerator=cpu", "callbacks.media.every_steps=0", f"checkpoint.every_steps={steps}"],
    )  # fmt: skip
    data = build(config.data)
    run = open_run(config, data.facts)
    module = build_module(config, data.facts)
    module.net.set_statistics(*data.statistics)
    clock = StepClock()
    if on:
        loggers = make_loggers(run)
        trainer = make_trainer(config, run, loggers, StopRequest())
        spent = _watch_hooks(trainer, saves)
    else:
        loggers = []
        trainer = make_trainer(_without_callbacks(config), run, False, StopRequest())  # type: ignore[arg-type]
        spent = None
    trainer.callbacks.insert(0, clock)  # type: ignore[attr-defined]
    trainer.fit(module, datamodule=data)
    close_loggers(loggers)
    durations = np.diff(np.asarray(clock.times), axis=0)[WARM_UP:]
    if spent is not None:
        shares.append(sum(spent[WARM_UP + 1 : steps]) / max(1e-9, float(durations[:, 0].sum())))
    return durations


def _median(values: np.ndarray) -> float:
    return float(np.median(values))


def _watch_hooks(trainer: pl.Trainer, saves: list[float]) -> list[float]:
    """Time spent a step in the hooks around a training batch; saving is timed apart."""
    spent = [0.0] * (trainer.max_steps + 2)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        for hook in ("on_train_batch_start", "on_train_batch_end"):
            setattr(callback, hook, _timed(getattr(callback, hook), trainer, spent))
        if hasattr(callback, "_save_step"):
            whole = callback._save_step

            def save(*arguments: Any, whole: Any = whole) -> Any:
                before = time.perf_counter()
                result = whole(*arguments)
                saves.append(time.perf_counter() - before)
                return result

            callback._save_step = save  # type: ignore[attr-defined]
    for logger in trainer.loggers:
        logger.log_metrics = _timed(logger.log_metrics, trainer, spent)  # type: ignore[method-assign]
    return spent


def _timed(function: Any, trainer: pl.Trainer, spent: list[float]) -> Any:
    def timed(*arguments: Any, **options: Any) -> Any:
        before = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[trainer.global_step] += time.perf_counter() - before

    return timed


def _without_callbacks(config: DictConfig) -> DictConfig:
    plain: Any = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    plain.callbacks = {}
    return plain


def _interval(values: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    generator = np.random.default_rng(0)
    low, high = np.percentile([_median(generator.choice(values, len(values))) for _ in range(2000)], [2.5, 97.5])
    return float(low), float(high)


def _corpus(scratch: Path) -> Path:
    import prepare

    root = scratch / "corpus"
    arguments = [
        "synthetic",
        "--out",
        str(root),
        "--speakers",
        "8",
        "--clips-per-speaker",
        "8",
        "--val-speakers",
        "1",
        "--test-speakers",
        "1",
    ]
    if prepare.main(arguments):
        raise RuntimeError("the synthetic corpus could not be made")
    return root


def main() -> None:
    from benchmarks.table import print_rows

    print_rows(rows(*(int(argument) for argument in sys.argv[1:])))


if __name__ == "__main__":
    main()

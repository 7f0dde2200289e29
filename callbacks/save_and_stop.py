"""What happens between two steps: checkpoints are saved, and a run that was asked to stop stops, on all ranks together."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from runtime.checkpoint_io import BEST, manifest_of
from runtime.loop_position import go_on_from
from runtime.ranks import highest
from runtime.run_folder import RunError
from runtime.stopping import Reason, RunStopped, StopRequest


class SaveAndStop(pl.callbacks.Checkpoint):
    """Saves `step-<8 digits>.ckpt` every `every_steps` and at the end, keeps the newest `keep`, and weights only as `best.ckpt` when
    `monitor` falls to a new lowest value.

    It acts when the next batch starts: then the metrics of the step are logged and its validation is done, so a resumed run neither
    repeats nor skips any of it. A save that fails (full disk) is said and training goes on; after `max_failures` in a row it ends with
    RunError. Raises RunStopped, after saving, when any rank was asked to stop.
    """

    def __init__(
        self,
        checkpoint_folder: str,
        stop: StopRequest,
        every_steps: int = 200,
        keep: int = 2,
        monitor: str = "val/loss",
        max_failures: int = 3,
    ) -> None:
        if every_steps < 1 or keep < 1:
            raise RunError(f"checkpoint.every_steps={every_steps}, checkpoint.keep={keep}; expected at least 1 of each")
        self.folder, self.stop = Path(checkpoint_folder), stop
        self.every_steps, self.keep, self.monitor, self.max_failures = every_steps, keep, monitor, max_failures
        self.best_value, self.best_step = math.inf, 0
        self._saved_step, self._failures = -1, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved_step = trainer.global_step
        if trainer.global_step:
            go_on_from(trainer, trainer.global_step)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx % trainer.accumulate_grad_batches:
            return
        step, reason = trainer.global_step, self.stop.agreed()
        is_due = step % self.every_steps == 0 or bool(reason)
        if step != self._saved_step and is_due and reason.is_saved:
            self._save_step(trainer, step)
        if reason:
            raise RunStopped(reason, step, self.stop.detail if reason == self.stop.reason else "")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        step, reason = trainer.global_step, self.stop.agreed()
        if reason is Reason.DIVERGED:
            raise RunStopped(reason, step, self.stop.detail)
        if step != self._saved_step and not self._save_step(trainer, step):
            raise RunError(
                f"the last checkpoint of the run could not be written to {self.folder}; free space there and run the same command again"
            )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        if self.monitor not in trainer.callback_metrics:
            names = ", ".join(sorted(n for n in trainer.callback_metrics if n.startswith("val/")))
            raise RunError(f"checkpoint.monitor={self.monitor!r} is not measured in validation; there are: {names}")
        value = float(trainer.callback_metrics[self.monitor])
        # Rank 0 decides; the value could differ in its last digit elsewhere.
        if highest(int(trainer.is_global_zero and value < self.best_value)) and self._write(
            trainer, self.folder / BEST, weights_only=True
        ):
            self.best_value, self.best_step = value, trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        return {"best_value": self.best_value, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_value, self.best_step = state_dict["best_value"], state_dict["best_step"]

    def _save_step(self, trainer: pl.Trainer, step: int) -> bool:
        for logger in trainer.loggers:
            getattr(logger, "sync", logger.save)()  # what a checkpoint stands on must be as safe as the checkpoint
        if not self._write(trainer, self.folder / f"step-{step:08d}.ckpt", weights_only=False):
            self._failures += 1
            if self._failures >= self.max_failures:
                raise RunError(
                    f"{self._failures} checkpoints in a row could not be written to {self.folder}; the run ends before more work is lost"
                )
            return False
        self._saved_step, self._failures = step, 0
        if trainer.is_global_zero:
            self._remove_old()
        return True

    def _write(self, trainer: pl.Trainer, path: Path, weights_only: bool) -> bool:
        """Rank 0 writes; all ranks learn whether it worked."""
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only)
        failed = False
        if trainer.is_global_zero:
            try:
                trainer.strategy.checkpoint_io.save_checkpoint(checkpoint, path)
            except OSError as error:
                failed = True
                print(
                    f"checkpoint {path.name} could not be written ({error}); training goes on",
                    file=sys.stderr,
                    flush=True,
                )
        return not highest(int(failed))

    def _remove_old(self) -> None:
        whole = [path for path in sorted(self.folder.glob("step-*.ckpt")) if manifest_of(path).is_file()]
        for path in whole[: -self.keep]:
            manifest_of(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)

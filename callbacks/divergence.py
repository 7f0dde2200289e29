"""Ends a run whose loss is not finite, on all ranks, naming the batch: training on would only cost time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from runtime.stopping import Reason, StopRequest


class Divergence(pl.Callback):
    """Checks every loss; the first that is NaN or infinite is written to `<run>/diverged.jsonl` with step, rank and the keys of its batch,
    and asks all ranks to stop. No checkpoint is saved of that moment.
    """

    def __init__(self, run_folder: str, stop: StopRequest) -> None:
        self.file, self.stop = Path(run_folder) / "diverged.jsonl", stop

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is None or self.stop.reason is Reason.DIVERGED or bool(torch.isfinite(loss)):
            return
        keys = list(getattr(batch, "keys", []))
        found = {"step": trainer.global_step, "rank": trainer.global_rank, "loss": str(float(loss)), "keys": keys}
        with self.file.open("a") as handle:
            handle.write(json.dumps(found) + "\n")
        detail = f"loss {found['loss']} on rank {trainer.global_rank}, batch {', '.join(keys)}"
        print(f"diverged at step {trainer.global_step}: {detail}", file=sys.stderr, flush=True)
        self.stop.ask(Reason.DIVERGED, detail)

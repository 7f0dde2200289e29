"""An audit of the data order: which clips, windows and sounds every step trained on."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, TextIO

import pytorch_lightning as pl

from speech.audio import SAMPLES_PER_FRAME


class BatchRecord(pl.Callback):
    """With `enabled`, appends one line a batch to `<run>/batches/<start>-rank-<r>.jsonl`: step, and of each sample its key, first frame,
    reference, and a hash of the augmented sound and the target. Two runs trained on the same data in the same order exactly if the lines of every
    step, over all ranks, are the same set.
    """

    def __init__(self, run_folder: str, enabled: bool = False) -> None:
        self.folder, self.enabled = Path(run_folder) / "batches", enabled
        self._file: TextIO | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.enabled:
            return
        self.folder.mkdir(exist_ok=True)
        name = f"{trainer.global_step:08d}-{os.getpid()}-rank-{trainer.global_rank}.jsonl"
        self._file = (self.folder / name).open("a")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._file is None:
            return
        samples = []
        for row, (key, meta) in enumerate(zip(batch.keys, batch.metas, strict=True)):
            frames = int(batch.num_frames[row])  # padding depends on how a global batch is shared out
            sound, target = batch.audio[row, : frames * SAMPLES_PER_FRAME], batch.expression[row, :frames]
            content = sound.cpu().numpy().tobytes() + target.cpu().numpy().tobytes()
            window = [meta["start_frame"], meta["reference_key"], meta["reference_start_frame"]]
            samples.append([key, *window, hashlib.sha256(content).hexdigest()[:16]])
        self._file.write(json.dumps({"step": trainer.global_step, "samples": samples}) + "\n")
        self._file.flush()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

"""The progress bar of a training on a terminal; logs get lines instead (`callbacks.throughput`)."""

from __future__ import annotations

from pytorch_lightning.callbacks import RichProgressBar


class TrainingBar(RichProgressBar):
    """Lightning's bar without its count of epochs: trainings here are counted in steps, and "Epoch 0/-2" tells nobody anything."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"{'Training':{len(self.validation_description)}}"

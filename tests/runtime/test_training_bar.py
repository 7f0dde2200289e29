"""The bar of a training counts steps and names no epochs."""

from __future__ import annotations

import io

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks.progress import rich_progress
from rich.console import Console
from torch.utils.data import DataLoader

from runtime.training_bar import TrainingBar


class Line(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        return (self.weight * batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_terminal_sees_training_and_steps_and_no_epoch(monkeypatch, tmp_path) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(rich_progress, "get_console", lambda: console)
    trainer = pl.Trainer(
        max_steps=3,
        max_epochs=-1,
        callbacks=[TrainingBar()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        accelerator="cpu",
    )
    trainer.fit(Line(), DataLoader(torch.ones(8, 1)))
    shown = screen.getvalue()
    assert "Training" in shown and "3/3" in shown
    assert "Epoch" not in shown

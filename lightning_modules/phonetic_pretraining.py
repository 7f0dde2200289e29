"""Pretraining of the phonetic encoder: which phoneme is spoken in every 20 ms of synthesised speech?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.logged_numbers import described, described_loss
from lightning_modules.optimization import MakeOptimizer, MakeScheduler, optimizer_and_schedule
from metrics.weighted_mean import WeightedMean
from networks.phonetic_encoder import PhoneticEncoder, save_phonetic_encoder
from speech.phonemes import PHONEMES, UNLABELLED
from speech.synthesis import SILENCE


class PhoneticPretraining(pl.LightningModule):
    """Joins encoder, frame cross-entropy and optimiser; holds no layers of its own.

    Batches are `PhonemeBatch`es. Logs `train/loss` and `train/frame_accuracy`, and of validation voices `val/loss` and, for each of `conditions`,
    `val/frame_accuracy_<condition>` over all labelled 20 ms and `val/phoneme_accuracy_<condition>` over those that are not silence. Every 20 ms
    weighs the same in validation, every clip in training: so the gradient does not depend on the number of ranks.
    """

    def __init__(
        self,
        net: PhoneticEncoder,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
        conditions: tuple[str, ...] = ("clean", "noisy"),
    ) -> None:
        super().__init__()
        self.net = net
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        names = ["loss", *(f"{kind}_accuracy_{condition}" for condition in conditions for kind in ("frame", "phoneme"))]
        self.conditions = tuple(conditions)
        self.means = torch.nn.ModuleDict({name: WeightedMean() for name in names})

    def take_statistics(self, data: Any) -> None:
        """Log-mel is at unit scale by itself."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        logits = self.net(batch.audio, batch.num_frames)
        labelled = batch.labels != UNLABELLED
        loss = (_frame_losses(logits, batch.labels).sum(1) / labelled.sum(1).clamp(min=1)).mean()
        accuracy = (logits.argmax(-1) == batch.labels)[labelled].float().mean()
        self.log_dict(
            {"train/loss": loss, "train/frame_accuracy": accuracy}, batch_size=len(batch), on_step=True, on_epoch=False
        )
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        logits = self.net(batch.audio, batch.num_frames)
        labelled = batch.labels != UNLABELLED
        self._count("loss", _frame_losses(logits, batch.labels), labelled)
        right = (logits.argmax(-1) == batch.labels).float()
        spoken = labelled & (batch.labels != PHONEMES.index(SILENCE))
        for condition in self.conditions:
            rows = torch.tensor([name == condition for name in batch.conditions], device=right.device)[:, None]
            self._count(f"frame_accuracy_{condition}", right, labelled & rows)
            self._count(f"phoneme_accuracy_{condition}", right, spoken & rows)

    def metadata(self) -> dict[str, dict[str, str]]:
        over = {"frame": "20 ms frames with a label", "phoneme": "20 ms frames with a label other than silence"}
        return described_loss("20 ms frames") | {
            f"val/{kind}_accuracy_{condition}": described(
                f"{kind}_accuracy",
                "share",
                frames,
                of=f"{condition} speech",
                best="higher",
                source="the likeliest of all classes",
            )
            for condition in self.conditions
            for kind, frames in over.items()
        }

    def _count(self, name: str, values: Tensor, weights: Tensor) -> None:
        mean = cast(WeightedMean, self.means[name])
        mean.update(values, weights)
        self.log(f"val/{name}", mean, batch_size=1, on_step=False, on_epoch=True)

    def save_weights(self, path: Path) -> None:
        """Write the encoder for `speech=phonetic`, see `save_phonetic_encoder`."""
        save_phonetic_encoder(path, self.net)

    def configure_optimizers(self) -> Any:
        return optimizer_and_schedule(self.net, self.make_optimizer, self.make_scheduler, self.trainer.max_steps)


def _frame_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every 20 ms `[B, L]`, zero where there is no label."""
    return functional.cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=UNLABELLED, reduction="none")

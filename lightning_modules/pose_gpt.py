"""Training of PoseGPT: the next pose code from those before it, the speech and the style."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.logged_numbers import described, described_loss
from lightning_modules.optimization import MakeOptimizer, MakeScheduler, optimizer_and_schedule
from metrics.weighted_mean import WeightedMean
from networks.controls import time_shuffled
from networks.pose_adapter import PoseAdapter, PoseCodes, style_name

# What `val/<name>` is of.
VALIDATION_METRICS = {
    "code_nll": "prediction",
    "code_nll_unigram": "the shares that codes have in training",
    "code_nll_no_speech": "prediction that hears nothing",
    "code_nll_shuffled_speech": "prediction that hears shuffled speech",
    "code_accuracy": "prediction",
}

# Of each person, for where the styles begin: enough to know how somebody moves, and large corpora begin soon.
START_CLIPS = 10


class CodePrediction(NamedTuple):
    """True `codes` `[B, S]`, their `mask` `[B, S]`, the `likeliest` code of each step given the true past `[B, S]`, and what a generation
    starts from: the speech as `heard` `[B, S, width]` and the `style` vectors `[B, style_width]`.
    """

    codes: Tensor
    mask: Tensor
    likeliest: Tensor
    heard: Tensor
    style: Tensor


class PoseGPTStep(NamedTuple):
    """What validation hands to callbacks."""

    loss: Tensor
    prediction: CodePrediction


class PoseGPTTraining(pl.LightningModule):
    """Joins network and optimiser; holds no layers of its own. Codes are made on the fly by the network's frozen VQ-VAE.

    Trains on the cross-entropy of the true codes given the true past, clips weighing the same. Validation logs, in nats
    a code, every valid code weighing the same: `val/code_nll`, and what it must beat: `val/code_nll_unigram` (how often
    each code came in the training so far, one added to each), `val/code_nll_no_speech` (the same network, nothing heard)
    and `val/code_nll_shuffled_speech` (blocks of 0.2 s in another order); `val/code_accuracy` is the share of codes that
    are the likeliest. People whose style the network does not know have its unknown style.
    """

    code_counts: Tensor

    def __init__(self, net: PoseAdapter, optimizer: MakeOptimizer, scheduler: MakeScheduler | None = None) -> None:
        super().__init__()
        self.net = net
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.validation_loss = WeightedMean()
        self.metrics = torch.nn.ModuleDict({name: WeightedMean() for name in VALIDATION_METRICS})
        self.register_buffer("code_counts", torch.zeros(net.gpt.settings.num_codes, dtype=torch.int64))

    def take_statistics(self, data: Any) -> None:
        """Begin the styles with those of a datamodule's training clips, where the network asks for that. The VQ-VAE keeps the statistics that it was
        trained with: its codes mean nothing with others.
        """
        if self.net.style_start == "statistics":
            chosen = self._clips_of_styles(data)
            self.net.begin_styles((name, torch.from_numpy(data.index.read_motion(i).head)) for name, i in chosen)

    def _clips_of_styles(self, data: Any) -> list[tuple[str, int]]:
        """Name of the style and number of the first `START_CLIPS` training clips of each."""
        found: dict[str, list[int]] = {}
        for i in data.indices("train"):
            entry = data.index.entries[i]
            found.setdefault(style_name(self.net.style_by, entry.speaker, entry.source), []).append(i)
        return [(name, i) for name, clips in found.items() for i in clips[:START_CLIPS]]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        net = self.net
        truth = net.tokenize(batch.head, batch.num_frames)
        style = net.style_indices(batch)
        logits = net(truth.codes, batch.audio, batch.num_frames, style, net.features_of(batch))
        nll = code_nll(logits, truth)
        loss = clip_mean(nll, truth.mask)
        self._count(truth)
        values = {"train/loss": loss, "train/code_accuracy": _accuracy(logits, truth)}
        self.log_dict(values, batch_size=len(nll), on_step=True, on_epoch=False)
        return loss

    # Lightning hands the returned value to callbacks as it is; its type hints are narrower than that.
    def validation_step(self, batch: Any, batch_idx: int) -> PoseGPTStep:  # type: ignore[override]
        net, frames = self.net, batch.num_frames
        truth, style, features = net.tokenize(batch.head, frames), net.style_indices(batch), net.features_of(batch)
        heard = net.gpt.hear(batch.audio, frames, features)
        logits = net.predict_codes(truth.codes, heard, style)
        shuffled = time_shuffled(batch.audio, frames, batch.keys)
        shuffled_features = None if features is None else time_shuffled(features, frames, batch.keys)
        shuffled_logits = net(truth.codes, shuffled, frames, style, shuffled_features)
        nothing = logits.new_zeros(*truth.codes.shape, net.gpt.settings.width)
        nll = code_nll(logits, truth)
        counts = self.code_counts + 1.0
        values = {
            "code_nll": nll,
            "code_nll_unigram": -(counts / counts.sum()).log()[truth.codes],
            "code_nll_no_speech": code_nll(net.predict_codes(truth.codes, nothing, style), truth),
            "code_nll_shuffled_speech": code_nll(shuffled_logits, truth),
            "code_accuracy": (logits.argmax(-1) == truth.codes).float(),
        }
        size = len(nll)
        for name, value in values.items():
            metric = cast(WeightedMean, self.metrics[name])
            metric.update(value, truth.mask)
            self.log(f"val/{name}", metric, batch_size=size, on_step=False, on_epoch=True)
        loss = clip_mean(nll, truth.mask)
        self.validation_loss.update(loss, size)
        self.log("val/loss", self.validation_loss, batch_size=size, on_step=False, on_epoch=True)
        return PoseGPTStep(loss, CodePrediction(*truth, logits.argmax(-1), heard, net.gpt.styles(style)))

    def metadata(self) -> dict[str, dict[str, str]]:
        found = described_loss()
        for name, of in VALIDATION_METRICS.items():
            if name == "code_accuracy":
                kind = described(
                    name, "share", "codes", of=of, best="higher", source="the likeliest code is the true one"
                )
            else:
                kind = described(
                    "code_nll", "nats a code", "codes", of=of, source="of the true codes, given the true past"
                )
            found[f"val/{name}"] = kind
        return found

    def configure_optimizers(self) -> Any:
        return optimizer_and_schedule(self.net, self.make_optimizer, self.make_scheduler, self.trainer.max_steps)

    def _count(self, truth: PoseCodes) -> None:
        """Count the codes of all ranks: the unigram control is then the same on each."""
        counts = torch.bincount(truth.codes[truth.mask], minlength=len(self.code_counts))
        self.code_counts += self.trainer.strategy.reduce(counts, reduce_op="sum")


def code_nll(logits: Tensor, truth: PoseCodes) -> Tensor:
    """Negative log-likelihood `[B, S]` of the true codes in nats, from logits `[B, S, K]`; padding counts nowhere."""
    return functional.cross_entropy(logits.float().transpose(1, 2), truth.codes, reduction="none")


def clip_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over clips of each clip's mean over valid steps: no clip's gradient depends on which others share its batch."""
    return (torch.where(mask, values, 0.0).sum(1) / mask.sum(1).clamp(min=1)).mean()


def _accuracy(logits: Tensor, truth: PoseCodes) -> Tensor:
    return (logits.argmax(-1) == truth.codes)[truth.mask].float().mean()

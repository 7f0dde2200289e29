"""Adaptation to one person: a frozen expression adapter whose weights are changed by a small trained part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from lightning_modules.expression_pretraining import ExpressionPretraining, Prediction, StepOutput
from losses.expression_loss import ExpressionLoss
from networks.expression_adapter import AdapterOutput, ExpressionAdapter
from networks.persona import PERSON
from networks.speech_front_end import speech_of
from networks.style_encoder import Style
from networks.weight_adapters import AdapterSpec, attach, hold_in_evaluation, people_of, report, switch, train_only


class MoLoRAAdaptation(ExpressionPretraining):
    """As `ExpressionPretraining`, but `net` is a trained base of which nothing is changed: `adapter(net)` says which weights get a trained change
    beside them, by MoLoRA or any other method of `networks.weight_adapters`; without one nothing is trained, and steps do nothing.

    Modules that match `held` stay in evaluation mode (so do batch norms): the style of a person's own recording is one vector, neither
    masked nor dropped. `identity_fits` says whether the identities of the batches are of the base's kind; else they count as unknown. `seed`
    is that of the change's first values. Raises `AdapterError` for a change or a held module that does not fit.
    """

    def __init__(
        self,
        net: ExpressionAdapter,
        loss: ExpressionLoss,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer, int], LRScheduler] | None = None,
        metrics: dict[str, Metric] | None = None,
        adapter: Callable[[torch.nn.Module], AdapterSpec] | None = None,
        held: Sequence[str] = ("style_encoder",),
        identity_fits: bool = True,
        seed: int = 1,
    ) -> None:
        super().__init__(net, loss, optimizer, scheduler, metrics)
        self.identity_fits = identity_fits
        net.requires_grad_(False)
        hold_in_evaluation(net, held)
        self.left_out: tuple[str, ...] = ()
        if adapter:
            spec = adapter(net)
            self.left_out = spec.left_out
            attach(net, spec, PERSON, seed)
            train_only(net, PERSON)
        # A loaded base is in evaluation mode, and Lightning leaves modes as it finds them.
        net.train()

    @property
    def is_adapted(self) -> bool:
        return PERSON in people_of(self.net)

    def on_fit_start(self) -> None:
        if self.trainer.is_global_zero:
            print(self.summary(), flush=True)

    def trained(self) -> dict[str, Any]:
        """What is trained, for the record: `trained_values`, how many; `trained_layers`, where; `left_out`, default layers too small for the sizes."""
        table = report(self.net, PERSON) if self.is_adapted else None
        names = [row.parameter.rpartition(".")[0] for row in table.rows] if table else []
        values = table.trained if table else 0
        return {
            "trained_values": values,
            "trained_layers": list(dict.fromkeys(names)),
            "left_out": list(self.left_out),
        }

    def summary(self) -> str:
        """`trained` in one line."""
        record = self.trained()
        line = f"{record['trained_values']:,} trained values in {len(record['trained_layers'])} layers"
        return f"{line}; left out, too small: {', '.join(self.left_out)}" if self.left_out else line

    def take_statistics(self, data: Any) -> None:
        """The base's statistics stay: its weights mean nothing with others."""

    @contextmanager
    def unadapted(self) -> Iterator[None]:
        """Meanwhile the network computes as its base."""
        if not self.is_adapted:
            yield
            return
        switch(self.net, None)
        try:
            yield
        finally:
            switch(self.net, PERSON)

    def _step(self, batch: Any) -> StepOutput:
        return super()._step(self.with_fitting_identity(batch))

    def _output(self, batch: Any, reference: Tensor) -> AdapterOutput:
        """Encodes a style that all rows share once: of the small size's training step that is a quarter."""
        net, frames = self.net, batch.reference_num_frames
        if net.style_encoder.training or not _is_one_for_all(reference) or not _is_one_for_all(frames):
            return super()._output(batch, reference)
        one = net.style_encoder(reference[:1], frames[:1])
        style = Style(*(part.expand(len(frames), -1) for part in one))
        content = net.encode_audio(speech_of(net.front_end, batch), batch.num_frames)
        return net.decode(content, batch.num_frames, style, net.encode_identity(batch.identity, batch.identity_known))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:  # type: ignore[override]
        return super().training_step(batch, batch_idx) if self.is_adapted else None

    @torch.no_grad()
    def predict(self, batch: Any, guidance: float = 1.0) -> Prediction:
        return super().predict(self.with_fitting_identity(batch), guidance)

    @torch.no_grad()
    def evaluate(self, batch: Any) -> StepOutput:
        """Loss and prediction of a batch in evaluation mode."""
        was_training = self.training
        self.eval()
        try:
            return self._step(batch)
        finally:
            self.train(was_training)

    def configure_optimizers(self) -> Any:
        return super().configure_optimizers() if self.is_adapted else None

    def with_fitting_identity(self, batch: Any) -> Any:
        if self.identity_fits:
            return batch
        unknown = torch.zeros_like(batch.identity_known)
        return dataclasses.replace(
            batch,
            identity=batch.expression.new_zeros(len(unknown), self.net.identity_encoder.num_identity),
            identity_known=unknown,
        )


def _is_one_for_all(rows: Tensor) -> bool:
    return torch.equal(rows, rows[:1].expand_as(rows))

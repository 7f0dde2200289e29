"""Expression pre-training: what it logs, what it optimises, what its checkpoints hold."""

from dataclasses import dataclass, replace
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchmetrics import MeanAbsoluteError

from lightning_modules.expression_pretraining import ExpressionPretraining
from lightning_modules.parameter_groups import parameter_groups
from lightning_modules.schedules import warmup_cosine
from losses.expression_loss import ExpressionLoss
from networks.conformer import Conformer, ConformerSettings
from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import LogMelFrontEnd, PretrainedFrontEnd


@dataclass
class Batch:
    """The fields of a speech-face batch that the module reads."""

    audio: torch.Tensor
    num_frames: torch.Tensor
    expression: torch.Tensor
    jaw: torch.Tensor
    identity: torch.Tensor
    identity_known: torch.Tensor
    reference_expression: torch.Tensor
    reference_jaw: torch.Tensor
    reference_num_frames: torch.Tensor
    features: torch.Tensor | None = None

    @property
    def mask(self) -> torch.Tensor:
        return torch.arange(self.expression.shape[1]) < self.num_frames[:, None]


def make_batch(lengths: list[int], seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    size, frames = len(lengths), max(lengths)
    return Batch(
        audio=0.1 * torch.randn(size, 640 * frames),
        num_frames=torch.tensor(lengths),
        expression=torch.rand(size, frames, 52),
        jaw=torch.zeros(size, frames, 3),
        identity=torch.randn(size, 4),
        identity_known=torch.ones(size, dtype=torch.bool),
        reference_expression=torch.rand(size, 20, 52),
        reference_jaw=torch.zeros(size, 20, 3),
        reference_num_frames=torch.full((size,), 20),
    )


def make_module(front_end=None, **options) -> ExpressionPretraining:
    torch.manual_seed(0)
    net = ExpressionAdapter(
        front_end or LogMelFrontEnd(16), num_identity=4, width=16, num_heads=2, feed_forward=32, kernel_size=5
    )
    net.set_statistics(
        torch.cat([torch.full((52,), 0.5), torch.zeros(3)]), torch.cat([torch.full((52,), 0.3), torch.zeros(3)])
    )
    settings = {"optimizer": partial(torch.optim.AdamW, lr=1e-3), "scheduler": warmup_cosine} | options
    return ExpressionPretraining(net, ExpressionLoss(), **settings)


def make_trainer(tmp_path, max_steps: int = 2, **options) -> pl.Trainer:
    return pl.Trainer(
        max_steps=max_steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
        **options,
    )


def loader(*batches: Batch) -> DataLoader:
    return DataLoader(list(batches), batch_size=None)


class Recorder(pl.Callback):
    def __init__(self) -> None:
        self.outputs: list = []
        self.train: list[dict] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.train.append(dict(trainer.callback_metrics))

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.outputs.append(outputs)


def test_fit_logs_the_agreed_names_and_validation_hands_predictions_to_callbacks(tmp_path):
    recorder = Recorder()
    trainer = make_trainer(tmp_path, callbacks=[recorder])
    module = make_module(metrics={"expression_mae": MaskedError()})
    trainer.fit(module, loader(make_batch([8, 5]), make_batch([6, 6], 1)), loader(make_batch([8, 5], 2)))
    names = {"train/loss", "train/loss_mid", "train/loss_final", "train/loss_velocity"}
    assert names <= set(recorder.train[-1])
    assert {"val/loss", "val/expression_mae"} <= set(trainer.callback_metrics)
    prediction = recorder.outputs[0].prediction
    assert prediction.expression.shape == (2, 8, 52) and prediction.jaw.shape == (2, 8, 3)
    assert not prediction.expression.requires_grad
    assert module.training


class MaskedError(MeanAbsoluteError):
    def update(self, prediction, target, mask):
        super().update(prediction[mask], target[mask])


def test_validation_loss_weighs_every_clip_equally(tmp_path):
    module = make_module().eval()
    long, short = make_batch([30, 30]), make_batch([2, 3, 3], 1)
    trainer = make_trainer(tmp_path)
    trainer.validate(module, loader(long, short), verbose=False)
    with torch.no_grad():
        losses = [module._step(batch).loss.item() for batch in (long, short)]
    assert trainer.callback_metrics["val/loss"].item() == pytest.approx((2 * losses[0] + 3 * losses[1]) / 5)
    assert abs(losses[0] - losses[1]) > 1e-3


def test_a_nan_loss_shows_in_the_validation_loss(tmp_path):
    broken = make_batch([5])
    broken.expression[0, 0, 0] = float("nan")
    trainer = make_trainer(tmp_path)
    trainer.validate(make_module(), loader(make_batch([5]), broken), verbose=False)
    assert torch.isnan(trainer.callback_metrics["val/loss"])


def test_training_lowers_the_loss_on_one_batch():
    module, batch = make_module(), make_batch([12, 9])
    optimizer = torch.optim.AdamW(parameter_groups(module.net), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = module._step(batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_every_trainable_parameter_is_in_one_group_and_only_weights_decay():
    net = make_module().net
    net.head.weight.requires_grad_(False)
    decayed, undecayed = (group["params"] for group in parameter_groups(net))
    trainable = {id(p) for p in net.parameters() if p.requires_grad}
    grouped = [id(p) for p in decayed + undecayed]
    assert len(grouped) == len(set(grouped)) and set(grouped) == trainable
    weights = [m.weight for m in net.modules() if isinstance(m, nn.Linear | nn.Conv1d) and m.weight.requires_grad]
    assert {id(w) for w in weights} == {id(p) for p in decayed}


def test_relative_attention_biases_and_embeddings_do_not_decay():
    settings = ConformerSettings(width=8, num_heads=2, feed_forward=8, kernel_size=3, released=True)
    module = nn.ModuleList([Conformer(settings, 1), nn.Embedding(4, 8)])
    undecayed = {id(p) for p in parameter_groups(module)[1]["params"]}
    attention = module[0].blocks[0].attention.relative_position
    assert {id(attention.content_bias), id(attention.position_bias), id(module[1].weight)} <= undecayed
    assert id(attention.position.weight) not in undecayed


def test_schedule_uses_max_steps_and_never_the_estimate(tmp_path, monkeypatch):
    def forbidden(self):
        raise AssertionError("estimated_stepping_batches was read")

    monkeypatch.setattr(pl.Trainer, "estimated_stepping_batches", property(forbidden))
    seen = []

    def schedule(optimizer, max_steps):
        seen.append(max_steps)
        return warmup_cosine(optimizer, max_steps)

    make_trainer(tmp_path, 3).fit(make_module(scheduler=schedule), loader(*[make_batch([4])] * 3))
    assert seen == [3]
    with pytest.raises(ValueError, match=r"max_steps is -1"):
        make_trainer(tmp_path, -1, max_epochs=1).fit(make_module(), loader(make_batch([4])))


def test_warmup_cosine_rises_then_falls_to_its_final_ratio():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = warmup_cosine(optimizer, max_steps=100, warmup_steps=10, final_ratio=0.1)
    rates = []
    for _ in range(120):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.2) and rates[10] == pytest.approx(2.0)
    assert rates[:10] == sorted(rates[:10]) and rates[10:101] == sorted(rates[10:101], reverse=True)
    assert rates[100] == pytest.approx(0.2) and rates[119] == pytest.approx(0.2)


def test_checkpoints_hold_only_tensors_and_plain_containers(tmp_path):
    module = make_module()
    trainer = make_trainer(tmp_path)
    trainer.fit(module, loader(make_batch([4]), make_batch([4], 1)))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert "hyper_parameters" not in saved
    other = make_module()
    other.load_state_dict(saved["state_dict"])
    assert torch.equal(other.net.std, module.net.std)


def test_predict_gives_raw_units_and_leaves_the_module_training():
    module, batch = make_module(), make_batch([9, 4])
    expression, jaw = module.predict(batch)
    assert expression.shape == (2, 9, 52) and (jaw == 0).all()
    assert expression.min() >= 0 and expression.max() <= 1 and module.training
    output = module.eval()._step(batch).prediction
    torch.testing.assert_close(output.expression[0], expression[0])


def test_cached_features_are_used_where_the_front_end_takes_them():
    batch = replace(make_batch([6, 4]), features=torch.randn(2, 12, 5))
    cached = make_module(PretrainedFrontEnd(None, 16, feature_width=10))
    assert cached._step(batch).prediction.expression.shape == (2, 6, 52)
    plain = make_module().eval()
    torch.testing.assert_close(plain._step(batch).loss, plain._step(replace(batch, features=None)).loss)

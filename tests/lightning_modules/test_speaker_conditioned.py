"""Training steps of FaceFormer, CodeTalker and its prior, and of baselines in closed form, on made-up batches."""

from functools import partial
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from made_up_batches import make_batch
from torch.utils.data import DataLoader

from lightning_modules.fitted_baseline import FittedBaselineRun
from lightning_modules.motion_prior import MotionPriorTraining
from lightning_modules.speaker_conditioned import CodeTalkerTraining, FaceFormerTraining
from losses.expression_loss import ExpressionLoss
from losses.masked import masked_l1, masked_l2
from losses.motion_mse import MotionMSE
from networks.codetalker import CodeTalker
from networks.codetalker_prior import MotionPrior
from networks.faceformer import FaceFormer
from networks.fitted_baselines import RidgeFace
from networks.quantizers import build_quantizer
from networks.speech_front_end import LogMelFrontEnd

SIZES = {"width": 16, "blocks": 1, "num_heads": 2, "feed_forward": 32, "kernel_size": 3, "dropout": 0.0}
ADAM = partial(torch.optim.AdamW, lr=1e-2)
STATISTICS = (torch.cat([torch.full((52,), 0.5), torch.zeros(3)]), torch.cat([torch.full((52,), 0.3), torch.zeros(3)]))


def make_prior() -> MotionPrior:
    torch.manual_seed(1)
    return MotionPrior(build_quantizer("vq", 4, 16), components=3, **SIZES)


def make_module(name: str, loss=None):
    torch.manual_seed(0)
    front_end, loss = LogMelFrontEnd(16, voice_augmentation=False), loss or ExpressionLoss()
    if name == "faceformer":
        module = FaceFormerTraining(FaceFormer(front_end, ["ada", "bob"], **SIZES), loss, ADAM)
    elif name == "codetalker":
        prior = make_prior()
        prior.set_statistics(*STATISTICS)
        module = CodeTalkerTraining(CodeTalker(front_end, prior, ["ada", "bob"], **SIZES), loss, ADAM)
    else:
        module = MotionPriorTraining(make_prior(), ADAM)
    module.net.set_statistics(*STATISTICS)
    return module


def step_of(module, batch):
    found = module._step(batch)
    return found[0] if isinstance(found[0], tuple) else found


@pytest.mark.parametrize("name", ["faceformer", "codetalker", "prior"])
def test_training_lowers_the_loss_on_one_batch(name: str) -> None:
    module, batch = make_module(name).train(), make_batch([10, 7], speakers=["ada", "bob"])
    optimizer = ADAM([p for p in module.parameters() if p.requires_grad])
    losses = []
    for _ in range(15):
        loss = step_of(module, batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


@pytest.mark.parametrize("name", ["faceformer", "codetalker", "prior"])
def test_padded_frames_have_no_part_in_the_loss(name: str) -> None:
    module, batch = make_module(name).eval(), make_batch([10, 6], speakers=["ada", "bob"])
    loss = step_of(module, batch).loss
    batch.expression[1, 6:] = 7.0
    batch.audio[1, 6 * 640 :] = 1.0
    torch.testing.assert_close(step_of(module, batch).loss, loss)


def test_faceformer_minimises_the_objective_of_the_adapter_or_that_of_its_paper() -> None:
    batch = make_batch([10, 6], speakers=["ada", "bob"])
    for loss in (ExpressionLoss(mid=1.0, final=1.0, velocity=0.0), MotionMSE()):
        module = make_module("faceformer", loss).eval()
        net = module.net
        target = net.normalise(batch.expression, batch.jaw)
        reference = net.normalise(batch.reference_expression, batch.reference_jaw)
        output = net(batch.audio, batch.num_frames, net.style_of(reference, batch.reference_num_frames, batch.speakers))
        wanted = (
            masked_l2(output, target, batch.mask)
            if isinstance(loss, MotionMSE)
            else 2 * masked_l1(output, target, batch.mask)
        )
        torch.testing.assert_close(step_of(module, batch).loss, wanted)
    assert int(MotionMSE().weight(batch.mask)) == 2


def test_codetalker_is_judged_by_its_own_past_and_trained_on_the_true_one() -> None:
    module, batch = make_module("codetalker").eval(), make_batch([10], speakers=["nobody"])
    step = step_of(module, batch)
    torch.testing.assert_close(step.prediction.expression, module.predict(batch).expression)
    other = make_batch([10], speakers=["nobody"])
    other.expression = other.expression.flip(1)
    changed = step_of(module, other)
    torch.testing.assert_close(changed.prediction.expression, step.prediction.expression)
    assert abs(changed.loss - step.loss) > 1e-4 and step.terms["regularity"] > 0


def test_a_baseline_in_closed_form_runs_through_the_trainer_and_does_not_change(tmp_path) -> None:
    module = FittedBaselineRun(RidgeFace(context=0), ExpressionLoss())
    batches = [make_batch([12, 9], seed, speakers=["ada", "bob"]) for seed in range(3)]
    loader = DataLoader(batches, batch_size=None)
    data = SimpleNamespace(statistics=STATISTICS, chosen={"val": [0]}, evaluation_dataloader=lambda split: loader)
    module.take_statistics(data)
    fitted = module.net.regression.weight.clone()
    assert fitted.abs().max() > 0
    trainer = pl.Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=tmp_path, gradient_clip_val=1.0,
    )  # fmt: skip
    trainer.fit(module, loader, loader)
    assert trainer.global_step == 2 and torch.equal(module.net.regression.weight, fitted)
    step = module._step(batches[0])
    torch.testing.assert_close(step.prediction.expression, module.predict(batches[0]).expression)


def test_a_baseline_in_closed_form_refuses_several_ranks() -> None:
    module = FittedBaselineRun(RidgeFace(context=0), ExpressionLoss())
    module.trainer = SimpleNamespace(world_size=2)
    with pytest.raises(ValueError, match=r"fitted by one process, got 2 ranks; set trainer\.devices=1"):
        module.setup("fit")

"""Training of the regression from speech to head motion."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import torch

from callbacks.pose_reconstruction import PoseReconstructionCallback
from lightning_modules.parameter_groups import parameter_groups
from lightning_modules.pose_regression import PoseRegressionTraining
from networks.pose_baselines import HeadRegression


def make_module() -> PoseRegressionTraining:
    torch.manual_seed(0)
    module = PoseRegressionTraining(HeadRegression(width=16), partial(torch.optim.AdamW, lr=3e-3))
    head = SimpleNamespace(mean=np.array([0.1, 0.0, -0.05]), std=np.array([0.1, 0.1, 0.05]))
    module.take_statistics(SimpleNamespace(motion_statistics=SimpleNamespace(head=head)))
    return module


def make_batch() -> SimpleNamespace:
    generator = torch.Generator().manual_seed(0)
    frames, references = torch.tensor([20, 12]), torch.tensor([10, 15])
    head = 0.02 * torch.randn(2, 20, 3, generator=generator).cumsum(1) + 0.1
    return SimpleNamespace(
        audio=0.1 * torch.randn(2, 640 * 20, generator=generator), num_frames=frames, head=head,
        mask=torch.arange(20) < frames[:, None], reference_head=head[:, :15].clone(), reference_num_frames=references,
    )  # fmt: skip


def test_training_lowers_the_loss_and_the_error_in_degrees_on_one_batch() -> None:
    module, batch = make_module(), make_batch()

    def error() -> float:
        callback = PoseReconstructionCallback()
        _, channels = module.eval()._step(batch)
        head = module.net.representation.inverse(channels.detach())
        callback.update(batch, SimpleNamespace(head=head), module)
        return float(callback.metrics["head_error_deg"].compute())

    before, losses = error(), []
    optimizer = torch.optim.AdamW(parameter_groups(module.net), lr=1e-2)
    module.train()
    for _ in range(60):
        loss, _ = module._step(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert error() < 0.8 * before


def test_what_lies_in_the_padding_does_not_change_the_loss() -> None:
    module, batch = make_module().eval(), make_batch()
    loss, _ = module._step(batch)
    batch.head[1, 12:] = 3.0
    batch.audio[1, 640 * 12 :] = 0.5
    batch.reference_head[0, 10:] = -2.0
    assert torch.equal(module._step(batch)[0], loss)

"""Pose VQ-VAE training: what it optimises and logs, and what its predictions are."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from callbacks.code_usage import CodeUsageCallback
from callbacks.pose_reconstruction import PoseReconstructionCallback
from lightning_modules.parameter_groups import parameter_groups
from lightning_modules.pose_vqvae import PoseVQVAETraining
from losses.pose_reconstruction_loss import PoseReconstructionLoss
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer


def make_module(kind: str = "vq", stride: int = 1) -> PoseVQVAETraining:
    torch.manual_seed(0)
    quantizer = build_quantizer(kind, width=8, num_codes=16)
    net = PoseVQVAE(quantizer, width=16, num_heads=2, feed_forward=32, attention_span=6, stride=stride)
    module = PoseVQVAETraining(net, PoseReconstructionLoss(), partial(torch.optim.AdamW, lr=3e-3))
    head = SimpleNamespace(mean=np.array([0.1, 0.0, -0.05]), std=np.array([0.1, 0.1, 0.05]))
    module.take_statistics(SimpleNamespace(motion_statistics=SimpleNamespace(head=head)))
    return module


def make_batch(lengths: list[int], seed: int = 0) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(seed)
    head = 0.02 * torch.randn(len(lengths), max(lengths), 3, generator=generator).cumsum(1) + 0.1
    num_frames = torch.tensor(lengths)
    mask = torch.arange(max(lengths)) < num_frames[:, None]
    return SimpleNamespace(head=head, num_frames=num_frames, mask=mask)


def train(module: PoseVQVAETraining, batch: SimpleNamespace, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW(parameter_groups(module.net), lr=3e-3)
    losses = []
    for _ in range(steps):
        step, _ = module._step(batch)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        losses.append(float(step.loss.detach()))
    return losses


def measured(callback, batch, module) -> dict[str, float]:
    step, _ = module.eval()._step(batch)
    callback.update(batch, step.prediction, module)
    return {name: float(metric.compute()) for name, metric in callback.metrics.items()}


@pytest.mark.parametrize("kind", ["vq", "residual", "product", "fsq"])
def test_training_lowers_the_loss_on_one_batch_with_every_quantiser(kind: str) -> None:
    losses = train(make_module(kind), make_batch([40, 25]), 40)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_a_trained_reconstruction_is_nearer_in_degrees_than_the_mean_head() -> None:
    module, batch = make_module(), make_batch([40, 25])
    train(module, batch, 60)
    found = measured(PoseReconstructionCallback(), batch, module)
    assert found["head_error_deg"] < 0.5 * found["head_error_mean_head_deg"]
    # The mean head of the statistics, by a slow reference: the angle of R_mean^T R.
    from scipy.spatial.transform import Rotation

    true = Rotation.from_rotvec(batch.head[batch.mask].double().numpy())
    angle = np.degrees((Rotation.from_rotvec([0.1, 0.0, -0.05]).inv() * true).magnitude()).mean()
    assert found["head_error_mean_head_deg"] == pytest.approx(angle, rel=1e-4)
    ratio = found["head_jerk_deg_per_s3"] / found["head_jerk_truth_deg_per_s3"]
    assert found["head_jerk_ratio"] > 0 and ratio > 0


@pytest.mark.parametrize("stride", [1, 4])
def test_padding_changes_neither_loss_nor_any_metric(stride: int) -> None:
    module, batch = make_module(stride=stride), make_batch([21, 9])
    module.eval()
    longer = torch.cat([batch.head, torch.full((2, 7, 3), 5.0)], dim=1)
    mask = torch.arange(28) < batch.num_frames[:, None]
    padded = SimpleNamespace(head=longer, num_frames=batch.num_frames, mask=mask)
    torch.testing.assert_close(module._step(padded)[0].loss, module._step(batch)[0].loss)
    for make in (PoseReconstructionCallback, CodeUsageCallback):
        values = []
        for one in (batch, padded):
            callback = make()
            callback.setup(None, module, "fit")  # type: ignore[arg-type]
            values.append(measured(callback, one, module))
        assert values[0] == pytest.approx(values[1], rel=1e-4) and values[0]


@pytest.mark.parametrize(("kind", "names"), [("vq", {"code_usage", "code_perplexity"}), ("residual", None)])
def test_usage_and_perplexity_count_the_codes_of_valid_steps(kind: str, names: set[str] | None) -> None:
    module, batch = make_module(kind), make_batch([30, 11])
    callback = CodeUsageCallback()
    callback.setup(None, module, "fit")  # type: ignore[arg-type]
    found = measured(callback, batch, module)
    assert names is None or set(found) == names
    codes = module.net.tokenize(batch.head, batch.num_frames)
    for number in range(codes.shape[-1]):
        used = np.concatenate([codes[0, :30, number].numpy(), codes[1, :11, number].numpy()])
        share = np.bincount(used, minlength=16) / 41
        entropy = -sum(p * np.log(p) for p in share if p > 0)
        suffix = f"_{number + 1}" if number else ""
        assert found[f"code_usage{suffix}"] == pytest.approx((share > 0).mean())
        assert found[f"code_perplexity{suffix}"] == pytest.approx(np.exp(entropy))
    assert codes.shape[-1] == (4 if kind == "residual" else 1)


def test_validation_leaves_the_codebook_as_it_is_and_training_moves_it() -> None:
    module, batch = make_module(), make_batch([30, 11])
    vectors = module.net.quantizer.codebooks[0].vectors  # type: ignore[union-attr, index]
    before = vectors.clone()
    module.eval()._step(batch)
    assert torch.equal(vectors, before)
    module.train()._step(batch)
    assert not torch.equal(vectors, before)

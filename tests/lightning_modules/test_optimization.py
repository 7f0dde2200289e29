"""Optimisers as every lightning module makes them: one pass over the weights on a CPU, by the same update."""

import copy
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lightning_modules.optimization import optimizer_and_schedule, update_in_one_pass
from lightning_modules.schedules import warmup_cosine


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(19, 33), nn.LayerNorm(33), nn.Linear(33, 7)).double()


def train(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int, steps: int = 5) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(4, 19, dtype=torch.double, generator=generator)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam])
def test_one_pass_makes_the_updates_of_separate_operations(kind):
    plain, fused = network(), network()
    make = partial(kind, lr=1e-2, weight_decay=0.1)
    optimizer = optimizer_and_schedule(fused, make, None, 0)
    assert all(group["fused"] for group in optimizer.param_groups)
    reference = make([{"params": grouped(plain)[0]}, {"params": grouped(plain)[1], "weight_decay": 0.0}])
    train(fused, optimizer, seed=1)
    train(plain, reference, seed=1)
    torch.testing.assert_close(list(fused.parameters()), list(plain.parameters()))
    assert (fused[0].weight - network()[0].weight).abs().max() > 0.01


def grouped(net: nn.Module) -> list[list[nn.Parameter]]:
    return [[p for p in net.parameters() if p.ndim == dimensions] for dimensions in (2, 1)]


def test_what_was_asked_for_and_other_optimisers_stay_as_they_are():
    parameters = list(network().parameters())
    for optimizer in (
        torch.optim.AdamW(parameters, fused=False),
        torch.optim.AdamW(parameters, foreach=True),
        torch.optim.SGD(parameters, lr=0.1),
    ):
        before = [dict(group) for group in optimizer.param_groups]
        update_in_one_pass(optimizer)
        assert [dict(group) for group in optimizer.param_groups] == before


def test_a_run_that_began_with_separate_operations_goes_on_with_them_to_the_bit():
    net = network()
    before = torch.optim.AdamW(net.parameters(), lr=1e-2)
    train(net, before, seed=1)
    resumed = network()
    resumed.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(resumed.parameters(), lr=1e-2)
    update_in_one_pass(optimizer)
    optimizer.load_state_dict(copy.deepcopy(before.state_dict()))
    train(net, before, seed=2)
    train(resumed, optimizer, seed=2)
    assert not optimizer.param_groups[0]["fused"]
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), resumed.parameters(), strict=True))


class Small(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)

    def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
        return 100 * self.net(batch).square().mean()

    def configure_optimizers(self):
        schedule = partial(warmup_cosine, warmup_steps=1, final_ratio=0.1)
        return optimizer_and_schedule(self.net, partial(torch.optim.AdamW, lr=0.1), schedule, self.trainer.max_steps)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_can_be_clipped_in_every_precision(precision, tmp_path):
    module = Small()
    before = module.net.weight.detach().clone()
    trainer = pl.Trainer(
        max_steps=3,
        accelerator="cpu",
        precision=precision,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, torch.utils.data.DataLoader(torch.ones(6, 4), batch_size=2))
    assert trainer.optimizers[0].param_groups[0]["fused"]
    assert (module.net.weight - before).abs().max() > 0.01

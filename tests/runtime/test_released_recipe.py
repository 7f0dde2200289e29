"""The released AdaMesh recipe as files: sizes of `net=released`, loss and optimiser of `released_recipe`."""

import pytest
import torch

from benchmarks.network_speed import SIZES
from runtime.compose import compose
from runtime.instantiate import accepted, build

FLAME = {"space": "flame", "num_expression": 50, "num_identity": 100}


@pytest.fixture(scope="module")
def config():
    return compose("released_recipe", ["speech.cached_feature_width=2048"])  # two frames of HuBERT large side by side


@pytest.fixture(scope="module")
def module(config):
    with torch.device("meta"):
        net = build(config.net, **accepted(config.net, FLAME))
    return build(config.task, net=net)


def test_the_backbone_has_the_documented_parameter_count(module) -> None:
    """49,784,962 in the released model, of which 262,400 belong to a layer that is never used."""
    net = module.net
    parts = [net.front_end, net.audio_encoder, net.decoder_input, net.decoder, net.head, net.post_net]
    assert sum(p.numel() for part in parts for p in part.parameters()) == 49_784_962 - 262_400


def test_the_loss_is_that_of_coefficients_alone_summed_over_channels(module) -> None:
    weights = {"mid": 1.0, "final": 1.0, "velocity": 0.0, "lip_vertex": 0.0, "landmark": 0.0}
    assert module.loss.weights == weights and module.loss.reduction == "frame_sum"
    mid, final, target = torch.randn(3, 2, 6, 53, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(6) < torch.tensor([6, 2])[:, None]
    total, terms = module.loss(mid, final, target, mask)
    assert set(terms) == {"mid", "final"}
    torch.testing.assert_close(total, ((mid - target).abs() + (final - target).abs())[mask].sum() / 8)


def test_the_optimiser_keeps_its_rate_in_every_step_and_nothing_is_clipped(config, module) -> None:
    optimizer = module.make_optimizer([{"params": [torch.zeros(1, requires_grad=True)]}])
    assert type(optimizer) is torch.optim.AdamW
    assert (optimizer.defaults["lr"], optimizer.defaults["betas"]) == (1e-5, (0.9, 0.999))
    assert optimizer.defaults["weight_decay"] == 0.01
    schedule = module.make_scheduler(optimizer, 100)
    rates = set()
    for _ in range(120):
        rates.add(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert min(rates) == pytest.approx(1e-5, rel=1e-12) and max(rates) == pytest.approx(1e-5, rel=1e-12)
    assert config.data.global_batch == 8 and config.trainer.gradient_clip == 0.0
    assert config.trainer.precision == "32-true"


def test_benchmarks_measure_the_sizes_of_the_files() -> None:
    assert SIZES["released"]["released"] and not SIZES["small"]["released"]
    assert SIZES["released"]["width"] == 256 and SIZES["small"]["width"] == 128

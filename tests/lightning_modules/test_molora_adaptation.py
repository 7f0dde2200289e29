"""Adaptation of a frozen base: what is trained, what is not, and in which mode."""

import dataclasses
from functools import partial

import pytest
import torch
from test_expression_pretraining import loader, make_batch, make_trainer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_modules.molora_adaptation import MoLoRAAdaptation
from losses.expression_loss import ExpressionLoss
from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import LogMelFrontEnd
from networks.weight_adapters import AdapterError, base_hash, deltas, expression_spec


def make_adaptation(
    released: bool = False, method: str = "molora", sizes: dict | None = None, rate: float = 1e-2, **options
) -> MoLoRAAdaptation:
    torch.manual_seed(0)
    net = ExpressionAdapter(
        LogMelFrontEnd(16), num_identity=4, width=16, num_heads=2, feed_forward=32, kernel_size=5, released=released
    )
    net.set_statistics(torch.full((55,), 0.5), torch.full((55,), 0.3))
    net.eval()  # as a trained base is loaded
    sizes = sizes or ({"ranks": (2,)} if method == "molora" else {})
    adapter = None if method == "none" else partial(expression_spec, method=method, **sizes)
    return MoLoRAAdaptation(net, ExpressionLoss(), partial(torch.optim.AdamW, lr=rate), adapter=adapter, **options)


def dropouts(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if "Dropout" in type(m).__name__]


@pytest.mark.parametrize("released", [False, True])
def test_training_moves_the_change_and_not_a_bit_of_the_base(tmp_path, released):
    module = make_adaptation(released)
    before = base_hash(module.net)
    trainer = make_trainer(tmp_path, max_steps=3)
    trainer.fit(module, loader(make_batch([20, 15]), make_batch([18, 20], 1), make_batch([20, 20], 2)))
    assert trainer.global_step == 3
    assert base_hash(module.net) == before
    assert any(delta.abs().max() > 0 for delta in deltas(module.net, "person").values())


def test_only_the_change_gets_gradients():
    module = make_adaptation().train()
    module._step(make_batch([20, 15])).loss.backward()
    with_gradient = {name for name, p in module.net.named_parameters() if p.grad is not None}
    assert with_gradient and all("weight_adapters" in name for name in with_gradient)
    assert with_gradient == {name for name, p in module.net.named_parameters() if p.requires_grad}


def test_after_a_validation_training_goes_on_in_training_mode_and_with_gradients(tmp_path):
    """The official code never leaves evaluation mode after its first validation, and its LoRA layers then have no gradients."""
    module = make_adaptation(released=True)
    seen = []
    whole = module.training_step

    def watched(batch, batch_idx):
        free = [
            m
            for name, m in module.net.named_modules()
            if not name.startswith("style_encoder") and m in set(dropouts(module.net))
        ]
        norms = [m for m in module.net.modules() if isinstance(m, _BatchNorm)]
        assert free and norms
        loss = whole(batch, batch_idx)
        style_is_held = not any(m.training for m in module.net.style_encoder.modules())
        seen.append((all(m.training for m in free), any(m.training for m in norms), style_is_held, loss.requires_grad))
        return loss

    module.training_step = watched
    batches = loader(*(make_batch([12, 10], seed) for seed in range(4)))
    trainer = make_trainer(tmp_path, max_steps=4, val_check_interval=1)
    trainer.fit(module, batches, loader(make_batch([12], 9)))
    assert seen == [(True, False, True, True)] * 4


def test_the_style_of_a_recording_is_the_same_in_every_training_step():
    module = make_adaptation().train()
    batch = make_batch([20, 15])
    reference = module.net.normalise(batch.reference_expression, batch.reference_jaw)
    first, second = (module.net.style_encoder(reference, batch.reference_num_frames) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    free = make_adaptation(held=[]).train()
    drawn = [free.net.style_encoder(reference, batch.reference_num_frames).resting for _ in range(2)]
    assert not torch.equal(*drawn)


def test_unadapted_is_the_base_bit_for_bit_and_comes_back():
    module, base = make_adaptation(), make_adaptation(method="none")
    with torch.no_grad():
        for parameter in module.net.parameters():
            if parameter.requires_grad:
                parameter.normal_()
    batch = make_batch([20, 15])
    expected, adapted = base.evaluate(batch).prediction.expression, module.evaluate(batch).prediction.expression
    with module.unadapted():
        assert torch.equal(module.evaluate(batch).prediction.expression, expected)
    assert torch.equal(module.evaluate(batch).prediction.expression, adapted) and not torch.equal(adapted, expected)


def test_an_identity_of_another_kind_counts_as_unknown():
    module = make_adaptation(identity_fits=False)
    batch = make_batch([20, 15])
    batch.identity = torch.zeros(2, 0)
    unknown = make_batch([20, 15])
    unknown.identity_known = torch.zeros(2, dtype=torch.bool)
    expected = make_adaptation().evaluate(unknown).prediction.expression
    assert torch.equal(module.evaluate(batch).prediction.expression, expected)
    assert torch.equal(module.predict(batch).expression, module.predict(unknown).expression)


def test_the_statistics_of_the_base_stay():
    module = make_adaptation()
    before = module.net.mean.clone(), module.net.std.clone()

    class Elsewhere:
        statistics = (torch.zeros(55), torch.ones(55))

    module.take_statistics(Elsewhere())
    assert torch.equal(module.net.mean, before[0]) and torch.equal(module.net.std, before[1])


def test_the_first_values_of_the_change_are_of_the_seed():
    states = [make_adaptation(seed=seed).state_dict() for seed in (1, 1, 2)]
    names = [name for name in states[0] if "weight_adapters" in name]
    assert names and all(torch.equal(states[0][n], states[1][n]) for n in names)
    assert any(not torch.equal(states[0][n], states[2][n]) for n in names)


def test_a_held_module_that_is_not_there_is_named():
    with pytest.raises(AdapterError, match="style_encodr"):
        make_adaptation(held=["style_encodr"])


def test_a_style_that_all_rows_share_is_encoded_once_and_gives_the_same_loss_and_gradients():
    module, batch = make_adaptation(), make_batch([30, 20])
    reference = batch.reference_expression[:1].expand_as(batch.reference_expression)
    jaw = batch.reference_jaw[:1].expand_as(batch.reference_jaw)
    frames = batch.reference_num_frames[:1].expand_as(batch.reference_num_frames)
    shared = dataclasses.replace(batch, reference_expression=reference, reference_jaw=jaw, reference_num_frames=frames)
    found = []
    for make_output in (module._output, super(MoLoRAAdaptation, module)._output):
        rows = []
        handle = module.net.style_encoder.register_forward_hook(
            lambda _, given, __, rows=rows: rows.append(len(given[1]))
        )
        module._output = make_output
        torch.manual_seed(0)
        loss = module._step(shared).loss
        trained = [p for p in module.parameters() if p.requires_grad]
        found.append((rows, loss.detach(), torch.autograd.grad(loss, trained)))
        handle.remove()
    (once, loss, gradients), (each, other_loss, other_gradients) = found
    assert once == [1] and each == [2]
    torch.testing.assert_close(loss, other_loss)
    assert any(gradient.abs().max() > 0 for gradient in gradients)
    torch.testing.assert_close(gradients, other_gradients, rtol=1e-4, atol=1e-7)
    module.net.style_encoder.register_forward_hook(lambda _, given, __: rows.append(len(given[1])))
    module._step(batch)  # references of their own
    assert rows[-1] == 2


def test_what_is_trained_and_what_is_too_small_for_it_is_recorded_and_told_once(tmp_path, capsys):
    module = make_adaptation(sizes={"ranks": (8,)})
    record = module.trained()
    assert record["trained_values"] == sum(p.numel() for p in module.parameters() if p.requires_grad) > 0
    assert "fusion" in record["trained_layers"] and record["left_out"] == ["identity_encoder.layers.0"]
    assert not set(record["trained_layers"]) & set(record["left_out"])
    make_trainer(tmp_path, max_steps=1).fit(module, loader(make_batch([20, 15])))
    line = f"{record['trained_values']:,} trained values in {len(record['trained_layers'])} layers; left out, too small: identity_encoder.layers.0"
    assert capsys.readouterr().out.count(line) == 1
    assert "left out" not in make_adaptation().summary()
    assert make_adaptation(method="none").trained()["trained_values"] == 0


@pytest.mark.parametrize("rate", [-1, float("nan")])
def test_a_learning_rate_that_cannot_be_is_refused_before_anything_is_trained(rate):
    with pytest.raises(ValueError, match=r"^the optimiser refuses its settings \(Invalid learning rate"):
        make_adaptation(rate=rate)

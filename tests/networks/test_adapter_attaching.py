"""Changes attached to a base: no bit moves at first, which gradients, modes, switching, merging."""

import pytest
import torch
from torch import nn
from weight_adapter_cases import (
    SMALL_SIZES,
    attach_random,
    bits,
    expression_inputs,
    expression_net,
    same_bits,
    scramble,
)

from networks.expression_adapter import ExpressionAdapter
from networks.weight_adapters import (
    EXPRESSION_METHODS,
    AdapterError,
    AdapterSpec,
    attach,
    expression_spec,
    hold_in_evaluation,
    is_merged,
    merge,
    people_of,
    remove,
    switch,
    train_only,
    unmerge,
)

INPUTS = expression_inputs()


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("method", EXPRESSION_METHODS)
def test_attaching_changes_no_bit_of_the_output(method, released):
    net = expression_net(released)
    before, weights = net(*INPUTS).final, bits(net)
    changed = attach(net, expression_spec(net, method, **SMALL_SIZES.get(method, {})), "ada")
    assert changed and torch.equal(net(*INPUTS).final, before) and same_bits(bits(net), weights)


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("method", EXPRESSION_METHODS)
@torch.no_grad()  # with gradients attention takes another kernel, whose rounding is another
def test_merged_equals_unmerged_and_unmerging_restores_the_bits(method, released):
    net = expression_net(released)
    plain, weights = net(*INPUTS).final, bits(net)
    attach_random(net, method, "ada")
    adapted = net(*INPUTS).final
    assert (adapted - plain).abs().max() > 1e-4
    merge(net, "ada")
    assert is_merged(net) and not same_bits(bits(net), weights)
    torch.testing.assert_close(net(*INPUTS).final, adapted, atol=1e-6, rtol=0)
    unmerge(net)
    assert same_bits(bits(net), weights)
    assert torch.equal(net(*INPUTS).final, adapted)


@pytest.mark.parametrize("method", EXPRESSION_METHODS)
def test_gradients_reach_the_changes_and_nothing_else(method):
    net = expression_net(released=True)
    attach(net, expression_spec(net, method, **SMALL_SIZES.get(method, {})), "ada")
    parameters = train_only(net, "ada")
    scramble(parameters)  # behind a pair whose W_B is zero W_A has no gradient yet
    output = net.train()(*INPUTS)
    (output.mid.square().sum() + output.final.square().sum()).backward()
    own = {id(parameter) for parameter in parameters}
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad == (id(parameter) in own), name
        assert (parameter.grad is not None) <= (id(parameter) in own), name
    if method != "full":  # whose embeddings for what is unknown are not used in every batch
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)


def test_full_fine_tuning_has_the_gradients_of_the_plain_network():
    net, plain = expression_net(), expression_net()
    attach(net, expression_spec(net, "full"), "ada")
    train_only(net, "ada")
    for one in (net, plain):
        one(*INPUTS).final.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in plain.named_parameters()}
    compared = 0
    for name, parameter in net.named_parameters():
        if name.endswith(".change") and parameter.grad is not None:
            plain_name = name.replace("weight_adapters.", "").replace(".people.ada.change", "")
            torch.testing.assert_close(parameter.grad, gradients[plain_name], atol=1e-6, rtol=1e-5)
            compared += 1
    assert compared > 50


def test_the_decoder_alone_and_the_style_vector_alone_touch_what_their_names_say():
    net = expression_net()
    decoder = attach(net, expression_spec(net, "decoder"), "decoder")
    assert {name.split(".")[0] for name in decoder} == {"fusion", "decoder_input", "decoder", "head", "post_net"}
    assert attach(net, expression_spec(net, "style_vector"), "style") == ["style_encoder.output.bias"]
    scramble(train_only(net, "style"))
    style = net.style_encoder(*INPUTS[2:4])
    switch(net, None)
    plain = net.style_encoder(*INPUTS[2:4])
    change = net.style_encoder.output.weight_adapters["bias"].people["style"].change
    torch.testing.assert_close(style.embedding[0], plain.embedding[0] + change)


def test_batch_norm_does_not_move_while_a_person_is_trained():
    net = expression_net(released=True)
    before = bits(net)
    attach(net, expression_spec(net, "molora", ranks=(2,)), "ada")
    optimiser = torch.optim.SGD(train_only(net, "ada"), lr=0.1)
    for _ in range(2):
        net.train()
        optimiser.zero_grad()
        net(*INPUTS).final.square().mean().backward()
        optimiser.step()
        net.eval()
    net.train()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]
    assert norms and not any(module.training for module in norms)
    assert net.training and net.decoder.training
    assert same_bits(bits(net), before)


def test_modules_held_in_evaluation_mode_stay_there():
    net = expression_net()
    held = hold_in_evaluation(net, ["style_encoder"])
    assert held == ["style_encoder"]
    net.train()
    assert not any(module.training for module in net.style_encoder.modules())
    assert net.decoder.training
    with pytest.raises(AdapterError, match="'style' matches no module"):
        hold_in_evaluation(net, ["style"])


def test_switching_there_and_back_gives_the_same_bits():
    net = expression_net()
    plain = net(*INPUTS).final
    outputs = {None: plain}
    for seed, method in enumerate(("molora", "boft", "bias")):
        attach_random(net, method, method, seed)
        outputs[method] = net(*INPUTS).final
    assert people_of(net) == ["molora", "boft", "bias"]
    for person in ("boft", None, "molora", "bias", "boft", "molora", None):
        switch(net, person)
        assert torch.equal(net(*INPUTS).final, outputs[person])
    assert len({output.sum().item() for output in outputs.values()}) == 4


def test_first_values_do_not_depend_on_who_came_before():
    first, second = expression_net(), expression_net()
    spec = expression_spec(first, "molora", ranks=(2, 4))
    attach(second, expression_spec(second, "boft", **SMALL_SIZES["boft"]), "bob", seed=3)
    for net in (first, second):
        attach(net, spec, "ada", seed=5)
    attach(second, spec, "cleo", seed=6)
    pairs = [net.fusion.weight_adapters["weight"].people["ada"].down[0] for net in (first, second)]
    assert torch.equal(*pairs)
    assert not torch.equal(pairs[1], second.fusion.weight_adapters["weight"].people["cleo"].down[0])


def test_removing_the_last_person_leaves_the_plain_network():
    net, plain = expression_net(), expression_net()
    attach_random(net, "full", "ada")
    attach_random(net, "molora", "bob")
    remove(net, "ada")
    assert people_of(net) == ["bob"]
    remove(net, "bob")
    assert people_of(net) == [] and type(net) is ExpressionAdapter and type(net.fusion) is nn.Linear
    assert net.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(net(*INPUTS).final, plain(*INPUTS).final)


def test_names_and_orders_of_calls_that_cannot_be_are_refused():
    net = expression_net()
    spec = AdapterSpec("bias", ("fusion",))
    for name in ("", "a.b", "keys", "eval"):
        with pytest.raises(AdapterError, match="cannot be called"):
            attach(net, spec, name)
    attach(net, spec, "ada")
    with pytest.raises(AdapterError, match="attached already"):
        attach(net, spec, "ada")
    with pytest.raises(AdapterError, match="'bob' is not attached; attached are: ada"):
        switch(net, "bob")
    with pytest.raises(AdapterError, match="nobody is merged"):
        unmerge(net)
    merge(net, "ada")
    for call in (lambda: switch(net, None), lambda: train_only(net, "ada"), lambda: merge(net, "ada")):
        with pytest.raises(AdapterError, match="call unmerge first"):
            call()


def test_a_parameter_that_two_layers_share_is_refused():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    with pytest.raises(AdapterError, match=r"used as 0.weight and 1.weight"):
        attach(net, AdapterSpec("full", ("*",)), "ada")


def test_the_keys_of_a_base_mean_the_same_in_an_adapted_network_which_has_more():
    net = expression_net()
    base = bits(net)
    attach(net, expression_spec(net, "molora", ranks=(2,)), "ada")
    scramble(list(net.parameters()))
    with pytest.raises(RuntimeError, match=r"Missing key.*weight_adapters"):
        net.load_state_dict(base)
    missing, unexpected = net.load_state_dict(base, strict=False)
    assert missing and all("weight_adapters" in name for name in missing) and not unexpected
    assert same_bits(bits(net), base)

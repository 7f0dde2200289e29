"""People on one base: which layers, which gradients, switching, merging, and several people in a batch."""

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
    several_people,
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


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("methods", [("molora", "boft"), ("dora", "lora"), ("bias", "oft"), ("full", "decoder")])
def test_several_people_in_a_batch_equal_one_by_one(methods, released):
    net = expression_net(released)
    inputs = expression_inputs(6)
    for seed, method in enumerate(methods):
        attach_random(net, method, method, seed)
    people = [methods[0], None, methods[1], methods[0], None, methods[1]]
    with several_people(net, people):
        together = net(*inputs).final
    for row, person in enumerate(people):
        switch(net, person)
        alone = net(*(x[row : row + 1] for x in inputs)).final
        torch.testing.assert_close(together[row], alone[0], atol=2e-5, rtol=0)
    assert people_of(net) == list(methods)


@torch.no_grad()
def test_convolutions_with_masks_and_groups_are_adapted_where_they_stand():
    net = expression_net()
    plain = net(*INPUTS).final
    attach(net, AdapterSpec("molora", ("post_net.first", "post_net.second"), ranks=(1, 3)), "ada")
    scramble(train_only(net, "ada"))
    attach(net, AdapterSpec("molora", ("*.depthwise", "front_end.convolution"), ranks=(1,)), "bob")
    scramble(train_only(net, "bob"), 1)
    outputs = {}
    for person in ("ada", "bob"):
        switch(net, person)
        outputs[person] = net(*INPUTS).final
        assert (outputs[person] - plain).abs().max() > 1e-4
        merge(net, person)
        torch.testing.assert_close(net(*INPUTS).final, outputs[person], atol=1e-6, rtol=0)
        unmerge(net)
    with several_people(net, ["ada", "bob", None]):
        together = net(*INPUTS).final
    expected = torch.stack([outputs["ada"][0], outputs["bob"][1], plain[2]])
    torch.testing.assert_close(together, expected, atol=2e-5, rtol=0)


def test_several_people_get_the_gradients_of_their_own_rows():
    net = expression_net(released=True)
    for seed, person in enumerate(("ada", "bob")):
        attach_random(net, "molora", person, seed)
    parameters = train_only(net, "ada", "bob")
    with several_people(net, ["bob", "ada", "bob"]):
        net(*INPUTS).final.square().sum().backward()
    together = [parameter.grad.clone() for parameter in parameters]
    net.zero_grad()
    for row, person in enumerate(("bob", "ada", "bob")):
        switch(net, person)
        net(*(x[row : row + 1] for x in INPUTS)).final.square().sum().backward()
    for first, parameter in zip(together, parameters, strict=True):
        assert first.abs().sum() > 0
        torch.testing.assert_close(first, parameter.grad, atol=1e-3, rtol=1e-3)


def test_generating_for_several_people_needs_changes_of_layers_only():
    net = expression_net()
    attach_random(net, "molora", "ada")
    attach_random(net, "full", "bob", 1)
    audio, lengths, reference, reference_lengths, identity = INPUTS
    with several_people(net, ["ada", None, "ada"]):
        together = net.generate(audio, lengths, reference, reference_lengths, identity)[0]
    switch(net, "ada")
    alone = net.generate(audio[:1], lengths[:1], reference[:1], reference_lengths[:1], identity[:1])[0]
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)
    with several_people(net, ["ada", "bob", None]), pytest.raises(AdapterError, match="outside its module's forward"):
        net.generate(audio, lengths, reference, reference_lengths, identity)


def test_a_batch_of_another_size_than_its_people_is_refused():
    net = expression_net()
    attach_random(net, "molora", "ada")
    with several_people(net, ["ada", None]), pytest.raises(AdapterError, match=r"3 rows, but people are chosen for 2"):
        net(*INPUTS)
    with pytest.raises(AdapterError, match="'bob' is not attached"), several_people(net, ["bob"] * 3):
        pass


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


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (("lorra", ("*",), {}), "unknown method 'lorra'; expected one of lora, molora"),
        (("molora", ("decoder.blocks.0.attention.query_key_valeu",), {}), "near misses: .*attention.query_key_value"),
        (("molora", ("fusion", "*.norm"), {}), r"'\*.norm' matches \d+ modules \(.*LayerNorm.*\), none with a Linear"),
        (("molora", ("decoder",), {}), "none with a Linear, Conv1d or Conv2d layer"),
        (("molora", ("fusion",), {"ranks": (4, 17)}), r"fusion.weight: rank 17 is too large .* at most 16"),
        (("boft", ("fusion",), {"block_size": 64}), "multiple of 128"),
        (("boft", ("fusion",), {"ranks": (4,)}), "boft does not use ranks"),
        (("oft", ("fusion",), {"num_factors": 2}), "oft has one factor"),
        (("boft", ("fusion",), {"block_size": 3}), "of even size"),
        (("lora", ("fusion",), {"ranks": (4, 8)}), "lora takes one rank"),
        (("molora", ("fusion",), {"ranks": (0,)}), "whole numbers from 1"),
        (("molora", ("fusion",), {"ranks": (2, 4), "alphas": (1.0,)}), "one for each rank"),
        (("full", (), {}), "names no layers"),
    ],
)
def test_a_spec_that_cannot_be_is_refused_in_one_sentence(spec, message):
    net = expression_net()
    names = set(net.state_dict())
    method, layers, options = spec
    with pytest.raises(AdapterError, match=message) as refusal:
        attach(net, AdapterSpec(method, layers, **options), "ada")
    assert "\n" not in str(refusal.value)
    assert set(net.state_dict()) == names and people_of(net) == [] and type(net.fusion) is nn.Linear


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


def test_layers_of_the_default_spec_are_those_of_the_paper_that_fit():
    net = expression_net(released=True)
    spec = expression_spec(net, "molora", ranks=(2,), feed_forward=True)
    ends = {".".join(name.split(".")[-2:]) for name in spec.layers}
    assert {"attention.query_key_value", "attention.output", "relative_position.position"} <= ends
    assert {"convolution.expand", "convolution.project", "layers.0", "feed_forward_in.1", "fusion"} <= ends
    assert not any("depthwise" in name or "front_end" in name or "post_net" in name for name in spec.layers)
    without = set(expression_spec(net, "molora", ranks=(2,)).layers)
    assert {name for name in spec.layers if "feed_forward" in name} == set(spec.layers) - without
    with pytest.raises(AdapterError, match="no layer of this network is large enough"):
        expression_spec(net, "molora", ranks=(64,))

"""Several people in one batch on one base."""

import pytest
import torch
from weight_adapter_cases import (
    attach_random,
    expression_inputs,
    expression_net,
    scramble,
)

from networks.weight_adapters import (
    AdapterError,
    AdapterSpec,
    attach,
    merge,
    people_of,
    several_people,
    switch,
    train_only,
    unmerge,
)

INPUTS = expression_inputs()


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


@pytest.mark.parametrize("method", ["molora", "style_vector"])
def test_one_row_for_two_people_is_refused_in_one_sentence(method):
    net = expression_net()
    attach_random(net, method, "ada")
    attach_random(net, method, "bob", 1)
    one = expression_inputs(1)
    for run in (net, lambda *x: net.generate(*x)):
        refused = pytest.raises(AdapterError, match=r"given 1 row, but people are chosen for 2; give one row for each")
        with refused, several_people(net, ["ada", "bob"]):
            run(*one)
    with pytest.raises(RuntimeError, match="unrelated"), several_people(net, ["ada", None, "bob"]):
        net(*INPUTS)
        raise RuntimeError("unrelated")


def test_full_changes_of_several_people_go_through_forward_and_not_through_generate():
    net = expression_net()
    attach_random(net, "full", "ada")
    with several_people(net, ["ada", None, "ada"]):
        assert net(*INPUTS).final.shape[0] == 3
        with pytest.raises(AdapterError, match="read outside its module's forward"):
            net.generate(*INPUTS)

"""What a spec may say, which layers it names, and what it says when they are not there."""

import re

import pytest
from torch import nn
from weight_adapter_cases import SMALL_SIZES, expression_net

from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import LogMelFrontEnd
from networks.weight_adapters import (
    EXPRESSION_METHODS,
    AdapterError,
    AdapterSpec,
    attach,
    expression_spec,
    people_of,
    remove,
)
from networks.weight_adapters.spec import find_parameters


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


def test_layers_of_the_default_spec_are_those_of_the_paper_that_fit():
    net = expression_net(released=True)
    spec = expression_spec(net, "molora", ranks=(2,), feed_forward=True)
    ends = {".".join(name.split(".")[-2:]) for name in spec.layers}
    assert {"attention.query_key_value", "attention.output", "relative_position.position"} <= ends
    assert {"convolution.expand", "convolution.project", "layers.0", "feed_forward_in.1", "fusion"} <= ends
    assert not any("depthwise" in name or "front_end" in name or "post_net" in name for name in spec.layers)
    without = set(expression_spec(net, "molora", ranks=(2,)).layers)
    assert {name for name in spec.layers if "feed_forward" in name} == set(spec.layers) - without


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("molora", {"ranks": [True]}, r"ranks are \[True\]; expected whole numbers from 1"),
        ("molora", {"ranks": 4}, r"ranks are 4; expected a list of numbers, as \[4\]"),
        ("lora", {"ranks": "4"}, "ranks are '4'; expected a list"),
        ("molora", {"alphas": [0, 0, 0]}, r"alphas are \[0, 0, 0\]; expected numbers above 0"),
        ("molora", {"alphas": [1.0, float("nan"), 1.0]}, "expected numbers above 0"),
        ("molora", {"alphas": [1.0, float("inf"), 1.0]}, "expected numbers above 0"),
        ("molora", {"alphas": ["a", 1.0, 1.0]}, "expected numbers above 0"),
        ("molora", {"alphas": 8.0}, "alphas are 8.0; expected a list"),
        ("boft", {"block_size": "8"}, "block_size '8' and num_factors 2; expected whole numbers"),
        ("boft", {"num_factors": True}, "num_factors True; expected whole numbers"),
        ("boft", {"block_size": 8.0}, "block_size 8.0 "),
    ],
)
def test_sizes_that_are_no_numbers_of_their_kind_are_refused(method, options, message):
    with pytest.raises(AdapterError, match=message):
        AdapterSpec(method, ("fusion",), **options)


def test_whole_numbers_are_fine_as_alphas_and_lists_as_well_as_tuples():
    spec = AdapterSpec("molora", ("fusion",), ranks=[2, 4], alphas=[1, 0.5])
    assert spec.ranks == (2, 4) and spec.alphas == (1.0, 0.5)
    assert AdapterSpec.from_json(spec.to_json()) == spec


NEAR_MISSES = [
    ("molora", "audio_encodr.*", "audio_encoder.*"),
    ("molora", "audio_encodr", "audio_encoder.*"),
    ("full", "decodr", "decoder"),
    ("molora", "identity_encoder.layer.*", "identity_encoder.layers.*"),
    ("molora", "decoder.blcks.*.output", "decoder.blocks.*.output"),
    ("molora", "decoder.0.attention.output", "decoder.blocks.0.attention.output"),
    ("molora", "decoder.*.atention", "decoder.*.attention.*"),
    ("molora", "*.query_key_valeu", "*.query_key_value"),
    ("molora", "*.feed_forward_in.[1", "*.feed_forward_in.1"),
    ("bias", "decoder.*.dephtwise", "decoder.*.depthwise"),
    ("molora", "fusion.*", "fusion"),
]


@pytest.mark.parametrize(("method", "pattern", "meant"), NEAR_MISSES)
def test_the_nearest_pattern_to_a_misspelt_one_is_what_was_meant_and_names_something(method, pattern, meant):
    net = expression_net()
    with pytest.raises(AdapterError, match="matches no layer; near misses") as refusal:
        attach(net, AdapterSpec(method, (pattern,), **SMALL_SIZES.get(method, {})), "ada")
    suggestions = str(refusal.value).split("near misses: ")[1].split(", ")
    assert 1 <= len(suggestions) <= 3 and suggestions[0] == meant
    for person, suggestion in enumerate(suggestions):
        assert find_parameters(net, AdapterSpec(method, (suggestion,))), person


def test_a_module_that_is_no_layer_is_told_with_the_layers_beneath_it():
    net = expression_net()
    for pattern in ("decoder.blocks.0.attention", "decoder.*.attention"):
        with pytest.raises(AdapterError) as refusal:
            attach(net, AdapterSpec("lora", (pattern,), ranks=(2,)), "ada")
        message = str(refusal.value)
        assert f"{pattern}.* matches what is beneath: decoder.blocks.0.attention.query_key_value" in message
        attach(net, AdapterSpec("lora", (f"{pattern}.*",), ranks=(2,)), "ada")
        remove(net, "ada")
    with pytest.raises(AdapterError, match=r"none with a Linear, Conv1d or Conv2d layer for lora$"):
        attach(net, AdapterSpec("lora", ("*.norm",)), "ada")


@pytest.mark.parametrize("method", EXPRESSION_METHODS)
def test_no_layers_are_not_the_default_layers(method):
    with pytest.raises(AdapterError, match="names no layers"):
        expression_spec(expression_net(), method, layers=[])


@pytest.mark.parametrize("method", ["lora", "molora", "dora"])
def test_a_rank_beyond_every_default_layer_is_told_with_the_largest_possible_and_its_layer(method):
    net = expression_net()
    with pytest.raises(
        AdapterError, match=r"^rank 500 is larger than every layer .* possible is (\d+), in (\S+)$"
    ) as refusal:
        expression_spec(net, method, ranks=[500])
    largest, layer = re.search(r"possible is (\d+), in (\S+)$", str(refusal.value)).groups()
    assert (
        expression_spec(net, method, ranks=[int(largest)]).layers[0]
        and layer in expression_spec(net, method, ranks=[int(largest)]).layers
    )
    with pytest.raises(AdapterError, match="is larger than every layer"):
        expression_spec(net, method, ranks=[int(largest) + 1])


def test_blocks_beyond_every_default_layer_are_told():
    with pytest.raises(AdapterError, match="takes block_size 1024 and num_factors 2; give smaller ones"):
        expression_spec(expression_net(), "boft", block_size=1024)


def test_the_spec_records_the_default_layers_that_are_too_small_and_no_others():
    net = ExpressionAdapter(LogMelFrontEnd(16), "arkit", 4, 16, 1, 2, 32, 5)
    everything = expression_spec(net, "lora", ranks=[1])
    assert everything.left_out == ()
    some = expression_spec(net, "lora", ranks=[8])
    assert some.left_out == ("identity_encoder.layers.0",)
    assert set(some.layers) | set(some.left_out) == set(everything.layers) and len(some.layers) > 5
    assert expression_spec(net, "lora", ranks=[8], layers=["fusion"]).left_out == ()


@pytest.mark.parametrize("field", ["layers", "frozen"])
def test_patterns_that_are_no_list_of_text_are_refused_with_what_to_write(field):
    for given, said in (
        ("fusion", r"write \['fusion'\]"),
        ([1], r"are \[1\]; expected a list"),
        (5, "are 5; expected a list"),
    ):
        with pytest.raises(AdapterError, match=f"^{field} .*{said}"):
            AdapterSpec("lora", **{"layers": ("fusion",)} | {field: given})


@pytest.mark.parametrize("method", EXPRESSION_METHODS)
def test_layers_given_as_text_are_refused_for_every_method(method):
    with pytest.raises(AdapterError, match=r"layers is the text 'fusion'; .* write \['fusion'\]"):
        expression_spec(expression_net(), method, layers="fusion")


PARAMETRISED = {
    "weight norm": nn.utils.parametrizations.weight_norm,
    "spectral norm": nn.utils.parametrizations.spectral_norm,
    "old weight norm": nn.utils.weight_norm,
    "old spectral norm": nn.utils.spectral_norm,
}


@pytest.mark.parametrize("method", ["molora", "dora", "boft"])
@pytest.mark.parametrize("kind", PARAMETRISED)
def test_a_layer_whose_weight_is_computed_is_refused_by_name_and_left_out_aloud(kind, method):
    net = nn.Sequential(PARAMETRISED[kind](nn.Conv1d(8, 8, 3)), nn.Linear(16, 8))
    sizes = SMALL_SIZES[method]
    with pytest.raises(
        AdapterError, match=r"computed from other parameters .* which \w+ cannot change: 0; name others"
    ):
        attach(net, AdapterSpec(method, ("0",), **sizes), "ada")
    assert people_of(net) == []
    with pytest.warns(UserWarning, match=rf"{method} leaves out 0, whose weight is computed"):
        assert attach(net, AdapterSpec(method, ("*",), **sizes), "ada") == ["1.weight"]


def test_a_parameter_of_two_names_is_refused_under_either():
    for name in "01":
        net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        net[1].weight = net[0].weight
        with pytest.raises(AdapterError, match=r"used as 0.weight and 1.weight; shared parameters"):
            attach(net, AdapterSpec("lora", (name,), ranks=(2,)), "ada")
        assert people_of(net) == []

"""Which layers of an expression adapter the methods change by default."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from networks.weight_adapters.attaching import build_change
from networks.weight_adapters.low_rank import largest_rank
from networks.weight_adapters.spec import LOW_RANK_METHODS, ORTHOGONAL_METHODS, AdapterError, AdapterSpec

# AdaMesh draws MoLoRA in audio encoder, style encoder, identity encoder and decoder; the choice inside them is this project's.
ATTENTION = ("*.attention.query_key_value", "*.attention.output", "*.attention.relative_position.position")
POINTWISE = ("*.convolution.expand", "*.convolution.project")
FEED_FORWARD = ("*.feed_forward_in.*", "*.feed_forward_out.*")
OUTER = ("identity_encoder.layers.*", "fusion")
# A pretrained encoder knows speech, which a person's ten seconds do not teach; its weights would be most of what is saved.
FROZEN = ("front_end.encoder",)

TRIVIAL = {
    "full": ("full", ("*",)),
    "decoder": ("full", ("fusion", "decoder_input", "decoder", "head", "post_net")),
    "bias": ("bias", ("*",)),
    # A change of the style encoder's last bias is a free style vector beside the encoded one.
    "style_vector": ("bias", ("style_encoder.output",)),
}
EXPRESSION_METHODS = (*LOW_RANK_METHODS, *ORTHOGONAL_METHODS, *TRIVIAL)


def expression_spec(
    net: nn.Module, method: str, feed_forward: bool = False, layers: Sequence[str] | None = None, **options: Any
) -> AdapterSpec:
    """The spec of `method` for an `ExpressionAdapter`: one of `EXPRESSION_METHODS`.

    Low-rank and orthogonal methods take attention and pointwise convolutions of every Conformer block, the identity encoder and the
    fusion, with `feed_forward` also the feed-forward layers; front end, depthwise convolutions, norms and post-net stay frozen. A
    layer too small for the sizes (a short identity vector) is left out, which the spec records. `layers` are patterns to take instead; then
    nothing is left out. No method reaches the pretrained encoder of a front end. `options`: ranks, alphas, block_size, num_factors.
    Raises `AdapterError` where the options do not fit the method or no layer is large enough for them.
    """
    if method in TRIVIAL:
        kind, usual = TRIVIAL[method]
        return AdapterSpec(kind, usual if layers is None else layers, frozen=FROZEN, **options)
    if method not in EXPRESSION_METHODS:
        raise AdapterError(f"unknown method {method!r}; expected one of {', '.join(EXPRESSION_METHODS)}")
    spec = AdapterSpec(method, ("*",) if layers is None else layers, frozen=FROZEN, **options)
    if layers is not None:
        return spec
    patterns = ATTENTION + POINTWISE + (FEED_FORWARD if feed_forward else ()) + OUTER
    names = [
        name
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear)
        and not name.startswith("front_end.")
        and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]
    fitting = tuple(name for name in names if _fits(spec, net.get_submodule(name)))
    if not fitting:
        raise AdapterError(_none_fits(net, spec, names))
    return replace(spec, layers=fitting, left_out=tuple(name for name in names if name not in fitting))


def _none_fits(net: nn.Module, spec: AdapterSpec, names: list[str]) -> str:
    if not names:
        return f"{type(net).__name__} has none of the layers that {spec.method} changes by default; name some: layers"
    if spec.ranks is None:
        sizes = f"block_size {spec.block_size} and num_factors {spec.num_factors}"
        return f"no layer that {spec.method} changes by default takes {sizes}; give smaller ones"
    largest = {name: largest_rank(net.get_parameter(f"{name}.weight").shape) for name in names}
    widest = max(names, key=lambda name: largest[name])
    return (
        f"rank {max(spec.ranks)} is larger than every layer that {spec.method} changes by default; "
        f"the largest possible is {largest[widest]}, in {widest}"
    )


def _fits(spec: AdapterSpec, layer: nn.Module) -> bool:
    try:
        build_change(spec, layer, "weight", torch.Generator())
    except AdapterError:
        return False
    return True

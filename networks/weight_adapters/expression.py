"""Which layers of an expression adapter the methods change by default."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from networks.weight_adapters.attaching import build_change
from networks.weight_adapters.spec import LOW_RANK_METHODS, ORTHOGONAL_METHODS, AdapterError, AdapterSpec

# AdaMesh draws MoLoRA in audio encoder, style encoder, identity encoder and decoder; the choice inside them is this project's.
ATTENTION = ("*.attention.query_key_value", "*.attention.output", "*.attention.relative_position.position")
POINTWISE = ("*.convolution.expand", "*.convolution.project")
FEED_FORWARD = ("*.feed_forward_in.*", "*.feed_forward_out.*")
OUTER = ("identity_encoder.layers.*", "fusion")

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
    layer too small for the sizes (a short identity vector) is left out. `layers` are patterns to take instead; then nothing is left out.
    `options`: ranks, alphas, block_size, num_factors.
    """
    if method in TRIVIAL:
        kind, usual = TRIVIAL[method]
        return AdapterSpec(kind, tuple(layers or usual), **options)
    if method not in EXPRESSION_METHODS:
        raise AdapterError(f"unknown method {method!r}; expected one of {', '.join(EXPRESSION_METHODS)}")
    spec = AdapterSpec(method, tuple(layers or ("*",)), **options)
    if layers:
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
        raise AdapterError(
            f"no layer of this network is large enough for {method} with {options or 'its default sizes'}"
        )
    return replace(spec, layers=fitting)


def _fits(spec: AdapterSpec, layer: nn.Module) -> bool:
    try:
        build_change(spec, layer, "weight", torch.Generator())
    except AdapterError:
        return False
    return True

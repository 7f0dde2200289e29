"""Choosing PoseGPT's style vector for somebody it was not trained on, from some seconds of their speech and head motion.

`retrieved` is AdaMesh's way; the others answer its reviewers, who asked what happens when nobody known moves alike:
`mixed` lies between the nearest, `tuned` follows the gradient of the person's own codes, `predicted` regresses the vector on what
was measured of the motion, `predicted_from_s` on the semantic-aware style matrix. `unknown` (the vector trained for nobody in particular) and `random` (a known person's, drawn by `seed`) are controls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from networks.pose_adapter import PoseAdapter
from networks.pose_style_regression import predict_style, predict_style_from_s
from networks.pose_style_tuning import tune_style
from networks.style_bank import Metric, StyleBank, StyleBankError
from networks.style_retrieval import RetrievedStyle, StyleClip, mix_styles, retrieve_style

Method = Literal["retrieved", "mixed", "tuned", "predicted", "predicted_from_s", "unknown", "random"]
METHODS: tuple[Method, ...] = get_args(Method)


class ChosenStyle(NamedTuple):
    """The style vector `embedding` [style_width], the `method` that chose it and the `nearest` known style, whose distance tells
    how much like anybody known the person is.
    """

    embedding: Tensor
    method: Method
    nearest: RetrievedStyle


def choose_style(
    method: Method,
    net: PoseAdapter,
    bank: StyleBank,
    reference: Sequence[StyleClip],
    unit_fingerprint: str | None,
    seed: int = 0,
    metric: Metric = "statistics",
) -> ChosenStyle:
    """A style vector for the person of `reference` by one of `METHODS`; the network is left as it was.

    `bank` holds the styles that `net` was trained on, in its order. `unit_fingerprint` is that of the semantic units of the
    reference, None where it has none; `metric` is the distance of `retrieved` and `mixed`. `tuned` needs the clips' sound,
    `predicted_from_s` their units; `seed` only matters to `random`. Raises StyleBankError for another method, a bank of other styles, and whatever
    `retrieve_style` refuses.
    """
    if method not in METHODS:
        raise StyleBankError(f"unknown way to choose a pose style: {method!r}; expected one of {', '.join(METHODS)}")
    known = known_styles(net, bank)
    nearest = retrieve_style(reference, net.vqvae, bank, unit_fingerprint, metric)
    if method == "retrieved":
        embedding = known[nearest.style_index]
    elif method == "mixed":
        embedding = mix_styles(known, nearest.distances).embedding
    elif method == "tuned":
        # On validation people, starting from the nearest alone or from the unknown ended further from them.
        start = mix_styles(known, nearest.distances).embedding
        embedding = tune_style(net, reference, start).embedding
    elif method == "predicted":
        embedding = predict_style(known, net.vqvae, bank, reference)
    elif method == "predicted_from_s":
        if unit_fingerprint is None or any(clip.units is None for clip in reference):
            raise StyleBankError(
                "predicted_from_s reads the speech of the reference, which has none; choose another way"
            )
        bank.require_match(net.vqvae.fingerprint(), unit_fingerprint)
        embedding = predict_style_from_s(known, net.vqvae, bank, reference)
    elif method == "unknown":
        embedding = net.gpt.styles.weight[net.unknown_style].detach()
    else:
        embedding = known[int(torch.randint(len(known), (), generator=torch.Generator().manual_seed(seed)))]
    return ChosenStyle(embedding.clone(), method, nearest)


def known_styles(net: PoseAdapter, bank: StyleBank) -> Tensor:
    """The learned vectors `[N, style_width]` of the bank's styles, in its order. Raises StyleBankError where they are not the
    network's.
    """
    if tuple(bank.sources) != net.style_names:
        raise StyleBankError(
            f"the style bank holds {len(bank)} styles ({', '.join(bank.sources[:3])}, ...), the network was trained on "
            f"{len(net.style_names)} ({', '.join(net.style_names[:3])}, ...); build the bank of this network's training corpus"
        )
    return net.gpt.styles.weight[: len(bank)].detach()

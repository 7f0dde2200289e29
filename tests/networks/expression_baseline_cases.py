"""Small baselines and what to feed them."""

from types import SimpleNamespace

import torch
from made_up_batches import SPEAKERS, make_batch

from networks.codetalker import CodeTalker
from networks.codetalker_prior import MotionPrior
from networks.expression_baseline import ExpressionBaseline
from networks.faceformer import FaceFormer
from networks.fitted_baselines import MeanFace, RidgeFace
from networks.quantizers import build_quantizer
from networks.speech_front_end import LogMelFrontEnd
from networks.viseme_lookup import VisemeLookup

SIZES = {"width": 16, "blocks": 1, "num_heads": 2, "feed_forward": 32, "kernel_size": 3}
TRAINED, FITTED = ("faceformer", "codetalker"), ("mean_face", "ridge", "viseme_lookup")


def make_prior(kind: str = "vq", **options) -> MotionPrior:
    torch.manual_seed(1)
    prior = MotionPrior(build_quantizer(kind, 4, 16), components=3, **{**SIZES, "attention_span": 3} | options)
    give_statistics(prior)
    return prior.eval()


def make_baseline(name: str) -> ExpressionBaseline:
    """In evaluation mode, with random weights where it would be trained, fitted where it is fitted; the jaw does not move."""
    torch.manual_seed(0)
    if name == "faceformer":
        net = FaceFormer(LogMelFrontEnd(16), SPEAKERS, **SIZES, period=4)
        torch.nn.init.normal_(net.output.weight)
    elif name == "codetalker":
        net = CodeTalker(LogMelFrontEnd(16), make_prior(), SPEAKERS, **SIZES, period=4)
    else:
        net = {"mean_face": MeanFace, "ridge": RidgeFace, "viseme_lookup": lambda: VisemeLookup(num_sounds=8)}[name]()
    give_statistics(net)
    if name in FITTED:
        net.fit([make_batch([20, 30], seed=3)], None)
    return net.eval()


def give_statistics(net) -> None:
    still = torch.zeros(3)
    net.set_statistics(torch.cat([torch.full((52,), 0.5), still]), torch.cat([torch.full((52,), 0.3), still]))


def reference_of(batch: SimpleNamespace) -> torch.Tensor:
    return torch.cat([batch.reference_expression, batch.reference_jaw], dim=-1)

"""PoseGPT training: likelihoods, their controls, and that speech which matters is found to matter."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from lightning_modules.parameter_groups import parameter_groups
from lightning_modules.pose_gpt import VALIDATION_METRICS, PoseGPTTraining, clip_mean, code_nll
from networks.pose_adapter import PoseAdapter, PoseCodes
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer

CODES = 8


class SpeechTellsCodes(PoseAdapter):
    """The code of a frame is in its sound: the loudness of each of its frames is one of eight."""

    def tokenize(self, head: torch.Tensor, num_frames: torch.Tensor) -> PoseCodes:
        mask = torch.arange(head.shape[1]) < num_frames[:, None]
        return PoseCodes((head[..., 0].round().long() * mask), mask)


def make_module(**options) -> PoseGPTTraining:
    torch.manual_seed(0)
    vqvae = PoseVQVAE(build_quantizer("vq", 8, CODES), width=16, num_heads=2, feed_forward=32)
    sizes = {
        "width": 32,
        "layers": 1,
        "num_heads": 2,
        "feed_forward": 32,
        "style_width": 4,
        "context": 8,
        "dropout": 0.0,
    }
    net = SpeechTellsCodes(vqvae, ["ada"], **(sizes | {"look_ahead": 0} | options))
    net.gpt.augmentation = torch.nn.Identity()  # type: ignore[assignment]
    module = PoseGPTTraining(net, partial(torch.optim.AdamW, lr=3e-3))
    module._trainer = SimpleNamespace(  # type: ignore[assignment]
        strategy=SimpleNamespace(reduce=lambda value, reduce_op: value), barebones=False
    )
    module.log = lambda *a, **k: None  # type: ignore[method-assign, assignment]
    module.log_dict = lambda *a, **k: None  # type: ignore[method-assign, assignment]
    return module


def make_batch(lengths: list[int], seed: int = 0) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(seed)
    num_frames, longest = torch.tensor(lengths), max(lengths)
    codes = torch.randint(CODES, (len(lengths), longest), generator=generator)
    loudness = (0.5 * 0.4 ** codes.float()).repeat_interleave(640, 1)
    noise = torch.randn(len(lengths), 640 * longest, generator=generator)
    return SimpleNamespace(
        audio=loudness * noise,
        num_frames=num_frames,
        head=codes.float().unsqueeze(-1).expand(-1, -1, 3),
        mask=torch.arange(longest) < num_frames[:, None],
        speakers=["ada", "a stranger"][: len(lengths)],
        keys=[f"clip{row}" for row in range(len(lengths))],
        metas=[{}] * len(lengths),
    )


def validated(module: PoseGPTTraining, *batches: SimpleNamespace) -> dict[str, float]:
    module.eval()
    with torch.no_grad():
        for batch in batches:
            module.validation_step(batch, 0)
    values = {name: float(module.metrics[name].compute()) for name in VALIDATION_METRICS}  # type: ignore[operator]
    for name in VALIDATION_METRICS:
        module.metrics[name].reset()  # type: ignore[operator]
    return values


def test_where_speech_tells_the_code_the_model_beats_every_control() -> None:
    module = make_module(codes_replaced=0.0)
    optimizer = torch.optim.AdamW(parameter_groups(module.net), lr=1e-2)
    for step in range(120):
        loss = module.train().training_step(make_batch([40, 40], step), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = validated(module, make_batch([40, 33], 1000))
    controls = ("code_nll_unigram", "code_nll_no_speech", "code_nll_shuffled_speech")
    assert all(found["code_nll"] < found[control] - 0.5 for control in controls), found
    # Codes are drawn evenly: nothing but speech tells them.
    assert found["code_nll_unigram"] == pytest.approx(math.log(CODES), abs=0.05)
    assert found["code_nll_no_speech"] > math.log(CODES) - 0.1 and found["code_accuracy"] > 0.5


def test_padding_and_batching_change_no_metric() -> None:
    module = make_module()
    first, second = make_batch([30, 12]), make_batch([30, 12])
    second.head = torch.cat([second.head, torch.full((2, 5, 3), 3.0)], dim=1)
    second.audio = torch.cat([second.audio, torch.full((2, 5 * 640), 0.3)], dim=1)
    second.mask = torch.arange(35) < second.num_frames[:, None]
    # What lies behind the end of the shorter clip is sound and codes already; alone it has nothing there.
    alone = SimpleNamespace(
        **{
            name: getattr(first, name)[:1]
            for name in ("audio", "num_frames", "head", "mask", "speakers", "keys", "metas")
        }
    )
    rest = SimpleNamespace(
        audio=first.audio[1:, : 12 * 640], num_frames=first.num_frames[1:], head=first.head[1:, :12],
        mask=first.mask[1:, :12], speakers=first.speakers[1:], keys=first.keys[1:], metas=first.metas[1:],
    )  # fmt: skip
    together = validated(module, first)
    assert validated(module, second) == pytest.approx(together, rel=1e-4)
    assert validated(module, alone, rest) == pytest.approx(together, rel=1e-4)


def test_the_unigram_is_the_frequency_of_the_codes_trained_on_with_one_added() -> None:
    module, batch = make_module(), make_batch([30, 12])
    before = validated(module, batch)
    assert before["code_nll_unigram"] == pytest.approx(math.log(CODES))
    module.train().training_step(batch, 0)
    used = torch.cat([batch.head[0, :30, 0], batch.head[1, :12, 0]]).long()
    counts = torch.bincount(used, minlength=CODES)
    assert torch.equal(module.code_counts, counts)
    expected = -((counts + 1.0) / (42 + CODES)).log()[used].mean()
    assert validated(module, batch)["code_nll_unigram"] == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_is_the_mean_over_clips_of_log_probabilities_by_hand() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 6, CODES, dtype=torch.float64).float()
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    truth = PoseCodes(torch.randint(CODES, (2, 6)) * mask, mask)
    by_hand = []
    for row, length in enumerate((6, 2)):
        terms = [
            math.log(sum(math.exp(float(value)) for value in logits[row, step]))
            - float(logits[row, step, truth.codes[row, step]])
            for step in range(length)
        ]
        by_hand.append(sum(terms) / length)
    assert float(clip_mean(code_nll(logits, truth), mask)) == pytest.approx(sum(by_hand) / 2, rel=1e-5)

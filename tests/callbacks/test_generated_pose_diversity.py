from types import SimpleNamespace

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from callbacks.generated_heads import heads_from_heard
from callbacks.pose_diversity import GeneratedPoseDiversity
from lightning_modules.pose_gpt import CodePrediction
from metrics.pose_diversity import pose_diversity_within_deg, pose_range_deg, pose_speed_deg_per_s
from networks.code_sampling import NUCLEUS
from networks.pose_adapter import PoseAdapter
from networks.pose_methods import PoseClip, clip_seed, generated_heads
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer

LENGTHS = {"ada_0": 40, "ada_1": 33, "ada_2": 70, "bob_0": 55, "bob_1": 20, "cy_0": 48}
# Of three people with four clips asked for: the first of each, then the second of the first.
CHOSEN = ("ada_0", "bob_0", "cy_0", "ada_1")
MAX_FRAMES = 45


@pytest.fixture(scope="module", params=[1, 4], ids=["a code a frame", "a code every four frames"])
def net(request: pytest.FixtureRequest) -> PoseAdapter:
    torch.manual_seed(0)
    vqvae = PoseVQVAE(build_quantizer("vq", 4, 16), width=16, num_heads=2, feed_forward=32, stride=request.param)
    return PoseAdapter(vqvae, ["p0"], width=16, layers=1, num_heads=2, feed_forward=16, style_width=4).eval()


def heard_of(net: PoseAdapter, key: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Speech, style and true head of a clip, by its name alone."""
    generator = torch.Generator().manual_seed(clip_seed(key))
    frames = torch.tensor(LENGTHS[key])
    heard = torch.randn(int(net.vqvae.num_steps(frames)), 16, generator=generator)
    head = 0.02 * torch.randn(LENGTHS[key], 3, generator=generator).cumsum(0)
    return heard, torch.randn(4, generator=generator), head


def validated(net: PoseAdapter, batches: list[list[str]]) -> GeneratedPoseDiversity:
    """The callback of one rank after its batches, before ranks come together."""
    by_speaker: dict[str, list[int]] = {}
    for number, key in enumerate(LENGTHS):
        by_speaker.setdefault(key.split("_")[0], []).append(number)
    data = SimpleNamespace(
        chosen={"val": list(range(len(LENGTHS)))},
        clips_by_speaker=lambda split: by_speaker,
        index=SimpleNamespace(entries=[SimpleNamespace(key=key) for key in LENGTHS]),
    )
    callback = GeneratedPoseDiversity(num_clips=4, max_seconds=MAX_FRAMES / 25)
    logged: dict[str, torch.Tensor] = {}
    trainer = SimpleNamespace(datamodule=data, is_global_zero=True, sanity_checking=False, global_step=0)
    module = SimpleNamespace(net=net, device="cpu", log=lambda name, value, **_: logged.update({name: value}))
    callback.setup(trainer, module, "fit")  # type: ignore[arg-type]
    callback.on_validation_epoch_start(trainer, module)  # type: ignore[arg-type]
    for number, keys in enumerate(batches):
        heard, styles, heads = zip(*(heard_of(net, key) for key in keys), strict=True)
        batch = SimpleNamespace(
            keys=keys,
            head=pad_sequence(list(heads), batch_first=True),
            num_frames=torch.tensor([len(head) for head in heads]),
        )
        nothing = torch.zeros(0)
        prediction = CodePrediction(
            nothing, nothing, nothing, pad_sequence(list(heard), batch_first=True), torch.stack(styles)
        )
        callback.on_validation_batch_end(trainer, module, SimpleNamespace(prediction=prediction), batch, number)  # type: ignore[arg-type]
    callback.on_validation_epoch_end(trainer, module)  # type: ignore[arg-type]
    assert set(logged) == set(callback.metadata())
    return callback


def sums(*ranks: GeneratedPoseDiversity) -> dict[str, float]:
    """What ranks together report: their sums and weights added."""
    names = ranks[0].metrics
    return {
        name: float(sum(rank.metrics[name].total for rank in ranks) / sum(rank.metrics[name].weight for rank in ranks))  # type: ignore[arg-type, operator]
        for name in names
    }


ALL = list(LENGTHS)


def test_the_numbers_are_those_of_each_chosen_clip_generated_alone(net: PoseAdapter) -> None:
    found = sums(validated(net, [ALL]))
    rows: dict[str, list[float]] = {}
    for key in CHOSEN:
        heard, style, head = heard_of(net, key)
        frames = torch.tensor([min(len(head), MAX_FRAMES)])
        steps = int(net.vqvae.num_steps(frames))
        ours = heads_from_heard(net, heard[None, :steps], style[None], frames, [key])
        mask = torch.ones(1, int(frames), dtype=torch.bool)
        for name, curve in {"ours": ours, "truth": head[None, : int(frames)]}.items():
            for function in (pose_diversity_within_deg, pose_speed_deg_per_s, pose_range_deg):
                rows.setdefault(f"{name} {function.__name__}", []).append(float(function(curve, mask)))
    total = {name: sum(values) for name, values in rows.items()}
    assert total["ours pose_range_deg"] > 0
    assert found == pytest.approx(
        {
            "pose_diversity_within_deg": total["ours pose_diversity_within_deg"] / 4,
            "pose_diversity_within_truth_deg": total["truth pose_diversity_within_deg"] / 4,
            "pose_speed_ratio": total["ours pose_speed_deg_per_s"] / total["truth pose_speed_deg_per_s"],
            "pose_range_ratio": total["ours pose_range_deg"] / total["truth pose_range_deg"],
        },
        rel=1e-4,
    )


def test_neither_batches_nor_ranks_nor_the_validation_before_change_them(net: PoseAdapter) -> None:
    torch.manual_seed(1)
    whole = sums(validated(net, [ALL]))
    in_two = sums(validated(net, [ALL[3:], ALL[:3][::-1]]))
    on_ranks = sums(validated(net, [ALL[::2]]), validated(net, [ALL[1::2]]), validated(net, [["bob_1"]]))
    assert in_two == pytest.approx(whole, rel=1e-4) and on_ranks == pytest.approx(whole, rel=1e-4)


def test_a_heard_clip_gets_the_head_that_scores_are_taken_of(net: PoseAdapter) -> None:
    audio, style = 0.1 * torch.randn(25 * 640, generator=torch.Generator().manual_seed(3)), torch.randn(1, 4)
    frames = torch.tensor([25])
    with torch.no_grad():
        heard = net.gpt.hear(audio[None], frames, None)
    clip = PoseClip("eve_0", "eve", audio, torch.zeros(25, 3))
    (scored,) = generated_heads(net, [clip], style, NUCLEUS)
    torch.testing.assert_close(heads_from_heard(net, heard, style, frames, ["eve_0"])[0], scored)


def test_no_clips_or_no_time_are_refused() -> None:
    with pytest.raises(ValueError, match="received 0 clips of 8 s; expected one or more"):
        GeneratedPoseDiversity(num_clips=0)
    with pytest.raises(ValueError, match="two frames at least"):
        GeneratedPoseDiversity(max_seconds=0.04)

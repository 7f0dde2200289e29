"""PoseGPT: no future code, look-ahead exactly as configured, style in every layer, the window's edge where it should be."""

import pytest
import torch

from networks.pose_gpt import PoseGPT, PoseGPTSettings, replace_at_random
from networks.speech_front_end import LogMelFrontEnd, PretrainedFrontEnd, SpeechFrontEnd

SMALL = {
    "num_codes": 32,
    "width": 16,
    "layers": 2,
    "num_heads": 2,
    "feed_forward": 32,
    "style_width": 6,
    "dropout": 0.0,
}


def network(front_end: SpeechFrontEnd | None = None, **options) -> PoseGPT:
    torch.manual_seed(0)
    return PoseGPT(PoseGPTSettings(**SMALL | options), num_styles=5, front_end=front_end).eval()


def hears_features() -> SpeechFrontEnd:
    """Of width 7, for cached features of width 4."""
    return PretrainedFrontEnd(None, width=7, feature_width=4)


def inputs(steps: int = 30, batch: int = 2, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(32, (batch, steps), generator=generator)
    speech = torch.randn(batch, steps, 16, generator=generator)
    return codes, speech, torch.randn(batch, 6, generator=generator)


def moved(first: torch.Tensor, second: torch.Tensor) -> list[int]:
    """Steps at which two `[B, S, C]` differ."""
    return ((first - second).abs().amax((0, 2)) > 1e-6).nonzero().flatten().tolist()


@pytest.mark.parametrize("context", [4, 100])
def test_a_code_changes_later_logits_only_and_within_the_reach_of_the_window(context):
    net = network(context=context)
    codes, speech, style = inputs()
    changed = codes.clone()
    changed[:, 10] = (changed[:, 10] + 1) % 32
    last = min(29, 11 + 2 * (context - 1))
    assert moved(net(codes, speech, style), net(changed, speech, style)) == list(range(11, last + 1))


def test_speech_of_a_step_changes_no_earlier_logits():
    net = network()
    codes, speech, style = inputs()
    changed = speech.clone()
    changed[:, 10] += torch.randn(16)
    assert moved(net(codes, speech, style), net(codes, changed, style)) == list(range(10, 30))


@pytest.mark.parametrize("frames_per_code", [1, 2])
@pytest.mark.parametrize("look_ahead", [0, 1, 5])
def test_speech_is_heard_exactly_as_far_ahead_as_configured(look_ahead, frames_per_code):
    net = network(hears_features(), look_ahead=look_ahead, frames_per_code=frames_per_code)
    mel, features, length = torch.randn(1, 40, 320), torch.randn(1, 40, 7), torch.tensor([40])
    heard = net.speech_context(mel, length, features)
    assert heard.shape == (1, 40 // frames_per_code, 16)
    step = 24 // frames_per_code
    for changes in ("mel", "features"):
        x, y = mel.clone(), features.clone()
        (x if changes == "mel" else y)[:, 24] += torch.randn(x.shape[-1] if changes == "mel" else 7)
        assert moved(heard, net.speech_context(x, length, y)) == list(range(step - look_ahead, step + 1))


def test_audio_reaches_logits_only_so_far_ahead():
    net = network(look_ahead=3)
    audio, length = 0.1 * torch.randn(1, 640 * 30), torch.tensor([30])
    changed = audio.clone()
    changed[:, 640 * 20 + 100 : 640 * 21 - 200] *= -0.5
    # A mel window reaches 12.5 ms beyond its 10 ms, so samples that far from a frame's edges belong to it alone.
    heard = moved(net.hear(audio, length), net.hear(changed, length))
    assert heard[-1] <= 20 and heard[0] >= 17 - 1 and set(range(17, 21)) <= set(heard)


@pytest.mark.parametrize("front_end", [hears_features(), LogMelFrontEnd(width=7)])
def test_a_front_end_is_heard_beside_the_mel_by_its_own_context_further_ahead(front_end):
    net = network(front_end, look_ahead=3)
    audio, length = 0.1 * torch.randn(1, 640 * 30), torch.tensor([30])
    features = torch.randn(1, 30, 4)
    louder, other = audio.clone(), features.clone()
    louder[:, 640 * 20 : 640 * 21] *= -3
    other[:, 20] = torch.randn(4)
    heard = net.hear(audio, length, features)
    by_sound, by_features = (
        moved(heard, net.hear(louder, length, features)),
        moved(heard, net.hear(audio, length, other)),
    )
    assert set(range(17, 21)) <= set(by_sound) <= set(range(17 - front_end.context, 21 + front_end.context))
    assert by_features == (list(range(17, 21)) if front_end.takes_cached_features else [])


def test_padding_behind_the_end_changes_nothing():
    net = network(hears_features(), frames_per_code=2)
    mel, features = torch.randn(2, 31, 320), torch.randn(2, 31, 7)
    length = torch.tensor([31, 17])
    noisy_mel, noisy_features = mel.clone(), features.clone()
    noisy_mel[1, 17:], noisy_features[1, 17:] = torch.nan, torch.nan
    together = net.speech_context(noisy_mel, length, noisy_features)
    alone = net.speech_context(mel[1:, :17], length[1:], features[1:, :17])
    assert alone.shape[1] == 9
    torch.testing.assert_close(together[1, :9], alone[0], atol=1e-5, rtol=1e-5)
    codes, speech, style = inputs()
    torch.testing.assert_close(net(codes, speech, style)[:, :12], net(codes[:, :12], speech[:, :12], style))


def test_a_long_sequence_gives_the_same_end_as_its_last_window():
    net = network(context=5)
    codes, speech, style = inputs(60)
    reach = 2 * 4 + 1
    whole = net(codes, speech, style)
    part = net(codes[:, 20:], speech[:, 20:], style)
    # The first code of the part sees the start symbol, where the whole sees a code.
    torch.testing.assert_close(part[:, reach:], whole[:, 20 + reach :], atol=1e-5, rtol=1e-5)


def test_the_style_reaches_every_layer():
    net = network(layers=3)
    codes, speech, style = inputs()
    plain = net(codes, speech, style)
    for block in net.blocks:
        kept = block.style.weight.detach().clone()
        with torch.no_grad():
            block.style.weight.zero_()
        assert (net(codes, speech, style) - plain).abs().max() > 1e-5
        with torch.no_grad():
            block.style.weight.copy_(kept)
    net(codes, speech, net.styles(torch.tensor([1, 3]))).square().mean().backward()
    assert all(block.style.weight.grad.abs().sum() > 0 for block in net.blocks)
    rows = net.styles.weight.grad.abs().sum(-1) > 0
    assert rows.tolist() == [False, True, False, True, False]


def test_it_learns_codes_that_follow_from_speech_style_and_the_past():
    net = network(dropout=0.1).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    for step in range(150):
        _, speech, _ = inputs(24, 16, seed=step)
        which = torch.arange(16) % 2
        rises = (speech[..., 0] > 0).long() * (1 + which[:, None])  # 1 or 2 steps up, by style
        codes = rises.cumsum(1) % 32
        logits = net(codes, speech, net.styles(which))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), codes.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1.0  # knowing nothing costs 3.5, knowing the past but not speech about 0.7 more than knowing both


def test_replaced_codes_are_as_many_as_asked_and_seeded():
    codes = torch.randint(1000, (50, 200))
    replaced = replace_at_random(codes, 0.1, 1000, torch.Generator().manual_seed(1))
    assert 0.08 < (replaced != codes).float().mean() < 0.12
    assert torch.equal(replaced, replace_at_random(codes, 0.1, 1000, torch.Generator().manual_seed(1)))
    assert torch.equal(replace_at_random(codes, 0.0, 1000), codes)


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match="heads"):
        PoseGPTSettings(width=30, num_heads=4)
    with pytest.raises(ValueError, match="look_ahead"):
        PoseGPTSettings(look_ahead=-1)
    codes, speech, style = inputs()
    with pytest.raises(ValueError, match="one code for each step"):
        network()(codes[:, :-1], speech, style)
    with pytest.raises(ValueError, match="has no encoder and takes cached features"):
        network(hears_features()).hear(torch.zeros(1, 6400), torch.tensor([10]))
    with pytest.raises(ValueError, match=r"\[B, T, 4\]"):
        network(hears_features()).hear(torch.zeros(1, 6400), torch.tensor([10]), torch.zeros(1, 10, 7))

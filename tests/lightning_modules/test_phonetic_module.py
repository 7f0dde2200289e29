"""Phonetic pretraining: what is optimised and counted."""

from functools import partial

import numpy as np
import pytest
import torch

from datamodules.synthesised_speech import LabelledWindow, PhonemeBatch, collate_windows
from lightning_modules.phonetic_pretraining import PhoneticPretraining
from networks.phonetic_encoder import PhoneticEncoder
from speech.phonemes import UNLABELLED


def make_module() -> PhoneticPretraining:
    torch.manual_seed(0)
    net = PhoneticEncoder(16, 1, 2, 32, 5, 0.0, 4, voice_augmentation=False)
    module = PhoneticPretraining(net, partial(torch.optim.AdamW, lr=3e-3))
    module.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    return module


def tones(frames: int, seed: int, condition: str = "clean") -> LabelledWindow:
    """Three sounds of different pitch in random order, half a motion frame at least each: their classes are 0, 3 and 5."""
    generator = np.random.default_rng(seed)
    places = generator.integers(3, size=frames).repeat(2)
    time = np.arange(320) / 16_000
    audio = np.concatenate([0.2 * np.sin(2 * np.pi * (300, 900, 2500)[place] * time) for place in places])
    return LabelledWindow(str(seed), "f1", condition, audio.astype(np.float32), np.array([0, 3, 5])[places])


def batch_of(*windows: LabelledWindow) -> PhonemeBatch:
    return collate_windows(windows)


def test_three_tones_are_told_apart_after_a_few_steps() -> None:
    module, batch = make_module(), batch_of(*(tones(30, seed) for seed in range(4)))
    optimizer = torch.optim.AdamW(module.net.parameters(), lr=3e-3)
    for _ in range(40):
        loss = module.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval().validation_step(batch_of(tones(30, 9), tones(20, 10, "noisy")), 0)
    found = {name: float(mean.compute()) for name, mean in module.means.items() if "accuracy" in name}
    assert all(value > 0.9 for value in found.values()) and len(found) == 4


def test_padding_and_missing_labels_count_nowhere() -> None:
    module = make_module().eval()
    one, two = tones(20, 0), tones(8, 1)
    together = module.training_step(batch_of(one, two), 0)
    apart = (module.training_step(batch_of(one), 0) + module.training_step(batch_of(two), 0)) / 2
    torch.testing.assert_close(together, apart)
    hidden = LabelledWindow("x", "f1", "clean", one.audio, np.full_like(one.labels, UNLABELLED))
    assert module.training_step(batch_of(hidden), 0).item() == 0


def test_validation_is_the_mean_over_all_20_ms_whatever_the_batches() -> None:
    windows = [tones(20, 0), tones(8, 1, "noisy"), tones(13, 2)]
    values = []
    for batches in ([batch_of(*windows)], [batch_of(window) for window in windows]):
        module = make_module().eval()
        for batch in batches:
            module.validation_step(batch, 0)
        values.append({name: float(mean.compute()) for name, mean in module.means.items()})
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    logits = make_module().eval().net(*(getattr(batch_of(windows[1]), name) for name in ("audio", "num_frames")))
    right = (logits.argmax(-1)[0].numpy() == windows[1].labels).mean()
    assert values[0]["frame_accuracy_noisy"] == pytest.approx(right)

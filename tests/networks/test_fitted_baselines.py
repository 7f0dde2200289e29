"""Closed-form baselines: ridge against a slow reference, the lookup on sounds with known faces."""

import numpy as np
import pytest
import torch
from expression_baseline_cases import give_statistics, make_baseline, reference_of
from made_up_batches import make_batch

from networks.fitted_baselines import RidgeFace, smoothed
from networks.viseme_lookup import VisemeLookup, frame_phonemes
from speech.audio import SAMPLE_RATE, SAMPLES_PER_FRAME

PITCHES = {"low": 200.0, "middle": 900.0, "high": 3000.0}
FACES = {"low": 0.1, "middle": 0.5, "high": 0.9}


def spoken(sequence: list[str], frames_each: int = 10, seed: int = 0):
    """A batch of one clip that sounds a tone and shows a face for every name; its reference rests at 0.5."""
    total = len(sequence) * frames_each
    batch = make_batch([total], seed)
    time = torch.arange(frames_each * SAMPLES_PER_FRAME) / SAMPLE_RATE
    batch.audio = torch.cat([0.3 * torch.sin(2 * torch.pi * PITCHES[n] * time) for n in sequence])[None]
    batch.audio = batch.audio + 0.001 * torch.randn(batch.audio.shape, generator=torch.Generator().manual_seed(seed))
    batch.expression = (
        torch.tensor([FACES[n] for n in sequence]).repeat_interleave(frames_each)[None, :, None].repeat(1, 1, 52)
    )
    batch.reference_expression = torch.full((1, 20, 52), 0.5)
    batch.keys = [f"clip{seed}"]
    seconds = frames_each / 25
    batch.metas = [{"extra": {"phonemes": [[n, i * seconds, (i + 1) * seconds] for i, n in enumerate(sequence)]}}]
    return batch


def training(with_phonemes: bool = True) -> list:
    draw = np.random.default_rng(0)
    batches = [spoken(list(draw.choice(list(PITCHES), 6)), seed=seed) for seed in range(6)]
    for batch in batches:
        if not with_phonemes:
            batch.metas = [{"extra": {}}]
    return batches


@pytest.mark.parametrize("with_phonemes", [True, False])
def test_the_lookup_finds_the_face_of_every_sound(with_phonemes: bool) -> None:
    net = VisemeLookup(num_sounds=8, smoothing=1)
    give_statistics(net)
    net.fit(training(with_phonemes), None)
    assert int(net.used.sum()) == (3 if with_phonemes else 8)
    clip = spoken(["high", "low", "middle"], seed=9)
    expression, _ = net.generate(clip.audio, clip.num_frames, reference_of(clip), clip.reference_num_frames)
    middles = expression[0, [5, 15, 25]].mean(-1)
    torch.testing.assert_close(middles, torch.tensor([0.9, 0.1, 0.5]), atol=0.06, rtol=0)


def test_the_lookup_depends_neither_on_the_order_nor_on_the_batching_of_clips_and_needs_some() -> None:
    nets = []
    for batches in (training(), training()[::-1]):
        net = VisemeLookup(num_sounds=8)
        give_statistics(net)
        net.fit(batches, None)
        nets.append(net)
    torch.testing.assert_close(nets[0].faces, nets[1].faces)
    torch.testing.assert_close(nets[0].sounds.norm(dim=1), nets[1].sounds.norm(dim=1), atol=1e-2, rtol=1e-3)
    with pytest.raises(ValueError, match="no training clips"):
        nets[0].fit([], None)
    small = VisemeLookup(num_sounds=2)
    give_statistics(small)
    with pytest.raises(ValueError, match="speak 3 phonemes"):
        small.fit(training(), None)
    for wrong in ({"num_sounds": 1}, {"smoothing": 4}):
        with pytest.raises(ValueError, match="odd number"):
            VisemeLookup(**wrong)


def test_a_frame_speaks_the_phoneme_at_its_middle() -> None:
    spoken_by = frame_phonemes([["a", 0.0, 0.05], ["b", 0.05, 0.10], ["c", 0.15, 0.2]], 6)
    assert spoken_by == ["a", "b", "", "", "c", ""]  # middles at 0.02, 0.06, 0.10, 0.14, 0.18, 0.22
    assert frame_phonemes([], 2) == ["", ""]


def test_smoothing_is_a_triangle_over_valid_frames() -> None:
    values, lengths = torch.randn(2, 9, 3), torch.tensor([9, 4])
    found = smoothed(values, lengths, 5)
    for clip, frames in enumerate(lengths.tolist()):
        for t in range(frames):
            weights = {s: 3 - abs(s - t) for s in range(max(0, t - 2), min(frames, t + 3))}
            wanted = sum(w * values[clip, s] for s, w in weights.items()) / sum(weights.values())
            torch.testing.assert_close(found[clip, t], wanted)


def test_ridge_is_the_normal_equations_of_displacements() -> None:
    net, batch = RidgeFace(context=0), make_batch([40, 33])
    give_statistics(net)
    net.fit([batch], None)
    part = next(net.displaced([batch]))
    inputs = net.regression.inputs(batch.audio, batch.num_frames)[batch.mask].double()
    target = part.displacement[batch.mask].double()
    centred, offset = inputs[:, :-1] - inputs[:, :-1].mean(0), target.mean(0)
    covariance = centred.T @ centred / len(inputs)
    penalty = 0.01 * covariance.diagonal().mean() * torch.eye(len(covariance))
    slope = torch.linalg.solve(covariance + penalty, centred.T @ (target - offset) / len(inputs))
    wanted = centred @ slope + offset
    torch.testing.assert_close(
        net.regression(batch.audio, batch.num_frames)[batch.mask].double(), wanted, atol=2e-3, rtol=1e-3
    )


def test_what_is_predicted_is_the_face_around_the_rest_of_its_own_reference() -> None:
    net, batch = make_baseline("ridge"), make_batch([6, 9])
    part = next(net.displaced([batch]))
    mean = net.normalise(batch.reference_expression, batch.reference_jaw).mean(1, keepdim=True)
    torch.testing.assert_close(part.displacement, net.normalise(batch.expression, batch.jaw) - mean)

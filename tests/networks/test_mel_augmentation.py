"""Voice augmentation: absent in evaluation, constant over time, different for each clip, a function of the seed."""

import torch

from networks.mel_augmentation import VoiceAugmentation


def test_evaluation_changes_nothing_and_training_changes_every_clip_differently():
    mel = torch.randn(1, 1, 80).expand(4, 6, 80)
    augmentation = VoiceAugmentation()
    assert torch.equal(augmentation.eval()(mel), mel)
    changed = augmentation.train()(mel)
    assert (changed[0] - changed[1]).abs().max() > 0.05
    assert torch.isfinite(changed).all() and (changed - mel).abs().amax() < 10


def test_frames_that_are_equal_stay_equal_so_nothing_moves_in_time():
    torch.manual_seed(0)
    mel = torch.randn(3, 1, 80).expand(3, 10, 80)
    changed = VoiceAugmentation().train()(mel)
    torch.testing.assert_close(changed, changed[:, :1].expand_as(changed))


def test_stretching_moves_a_peak_along_the_mel_axis_by_at_most_15_percent():
    torch.manual_seed(0)
    matrices = VoiceAugmentation()._stretch(50, torch.arange(80.0))
    torch.testing.assert_close(matrices.sum(1), torch.ones(50, 80))
    peaks = matrices[:, 40].argmax(-1)
    assert peaks.min() >= 40 / 1.16 and peaks.max() <= 40 / 0.84 and peaks.unique().numel() > 5


def test_the_same_seed_draws_the_same_voices():
    mel = torch.randn(2, 5, 80)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(VoiceAugmentation().train()(mel))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])

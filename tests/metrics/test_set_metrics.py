"""Metrics of sets of clips, of samples and of styles: pooled diversity, Frechet distance, codes, embeddings, speed."""

import numpy as np
import pytest
import torch
from torch import nn

from metrics.checks import MetricError
from metrics.code_usage import CodeUsage, code_perplexity
from metrics.frechet_distance import FrechetMotionDistance, frechet_distance, gaussian_frechet_distance
from metrics.motion_statistics import NetworkEmbedder, motion_statistics, windows
from metrics.pooled_diversity import PooledDiversity, pooled_diversity
from metrics.real_time_factor import RealTimeFactor, real_time_factor
from metrics.sample_diversity import (
    pose_diversity_samples_deg,
)
from metrics.style_consistency import style_statistics_distance


def pairwise(values: np.ndarray) -> float:
    difference = values[:, None] - values[None]
    return float(np.sqrt((difference**2).sum(-1)).sum() / len(values) / (len(values) - 1))


def test_pooled_diversity_does_not_depend_on_its_blocks():
    values = torch.randn(2500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert pooled_diversity(values).item() == pytest.approx(pairwise(values.numpy()), rel=1e-6)
    assert torch.isnan(pooled_diversity(values[:1]))


def test_frozen_heads_at_different_angles_are_diverse_only_when_pooled():
    heads = torch.tensor([[0.5, 0.0, 0.0], [0.0, -0.5, 0.0]])[:, None].expand(2, 20, 3)
    metric = PooledDiversity()
    metric.update(heads, torch.ones(2, 20, dtype=torch.bool))
    assert metric.compute() > 0.3


def test_a_reference_of_another_length_is_no_trouble_but_other_coefficients_are():
    prediction, reference = torch.randn(1, 30, 4), torch.randn(1, 12, 4)
    mask, reference_mask = torch.ones(1, 30, dtype=torch.bool), torch.ones(1, 12, dtype=torch.bool)
    assert torch.isfinite(style_statistics_distance(prediction, reference, mask, reference_mask)).all()
    with pytest.raises(MetricError, match="same clips and coefficients"):
        style_statistics_distance(prediction, reference[..., :3], mask, reference_mask)


class MeanOfFrames(nn.Module):
    def __init__(self, channels: int = 4, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, width)

    def forward(self, values, mask):
        return (self.layer(values) * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)


def test_the_fingerprint_of_a_network_follows_its_weights():
    torch.manual_seed(0)
    embedder = NetworkEmbedder(MeanOfFrames(), 2)
    before = embedder.fingerprint
    assert NetworkEmbedder(embedder.network, 2).fingerprint == before
    with torch.no_grad():
        embedder.network.layer.bias[0] += 1e-6
    assert embedder.fingerprint != before
    assert embedder(torch.randn(3, 5, 4), torch.ones(3, 5, dtype=torch.bool)).shape == (3, 2)
    with pytest.raises(MetricError, match="expected \\[3, 5\\]"):
        NetworkEmbedder(embedder.network, 5)(torch.randn(3, 5, 4), torch.ones(3, 5, dtype=torch.bool))


@pytest.mark.parametrize(("frames", "where"), [(70, 69), (40, slice(None)), (70, 0)])
def test_frechet_distance_names_a_clip_that_is_broken_outside_its_windows(frames: int, where):
    whole, broken = torch.randn(2, 100, 3), torch.randn(1, frames, 3)
    metric = FrechetMotionDistance(channels=3)
    metric.update(whole, whole, torch.ones(2, 100, dtype=torch.bool), keys=["a", "b"])
    assert metric.compute() < 1e-9
    for side in (0, 1):
        spoilt = [broken.clone(), broken.clone()]
        spoilt[side][0, where] = torch.nan
        other = FrechetMotionDistance(channels=3)
        other.update(*spoilt, torch.ones(1, frames, dtype=torch.bool), keys=["c"])
        other.merge_state(metric)
        assert torch.isnan(other.compute()) and other.bad_clips == ["c"]


def test_a_frechet_distance_says_its_embedder_windows_and_sample_count():
    metric = FrechetMotionDistance(channels=4, length=5, hop=2)
    metric.update(*torch.randn(2, 3, 11, 4), torch.ones(3, 11, dtype=torch.bool))
    assert metric.facts == {"fingerprint": "motion_statistics/1/5+2", "num_samples": 3 * 4}


def test_frechet_distance_of_gaussians_with_a_known_answer():
    eye = torch.eye(3, dtype=torch.float64)
    zero, shift = torch.zeros(3, dtype=torch.float64), torch.tensor([3.0, 4.0, 0.0], dtype=torch.float64)
    assert gaussian_frechet_distance(zero, eye, shift, eye).item() == pytest.approx(25)
    assert gaussian_frechet_distance(zero, 4 * eye, zero, 9 * eye).item() == pytest.approx(3 * (3 - 2) ** 2)
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    assert frechet_distance(features, features).item() == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, features[torch.randperm(40)] + 1).item() == pytest.approx(6, rel=1e-5)


def test_fewer_samples_than_features_need_no_special_case():
    few = torch.randn(5, 20, generator=torch.Generator().manual_seed(2))
    assert frechet_distance(few, few + 2).item() == pytest.approx(80, rel=1e-5)
    assert torch.isnan(frechet_distance(few[:1], few))
    with pytest.raises(MetricError, match="expected \\[N, D\\]"):
        frechet_distance(few, few[:, :3])


def test_windows_hold_valid_frames_only():
    values = torch.arange(2 * 10).view(2, 10, 1).float()
    mask = torch.arange(10) < torch.tensor([10, 5])[:, None]
    cut, clip = windows(values, mask, 4, 3)
    assert cut[..., 0].tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9], [10, 11, 12, 13]]
    assert clip.tolist() == [0, 0, 0, 1]
    assert len(windows(values, mask, 11, 1)[0]) == 0


def test_one_sample_has_no_diversity_to_speak_of():
    mask = torch.ones(1, 5, dtype=torch.bool)
    assert torch.isnan(pose_diversity_samples_deg(torch.zeros(1, 1, 5, 3), mask)).all()
    assert pose_diversity_samples_deg(torch.zeros(1, 3, 5, 3), mask).item() == 0
    with pytest.raises(MetricError, match="4 dimensions"):
        pose_diversity_samples_deg(torch.zeros(1, 5, 3), mask)


def test_perplexity_runs_from_one_code_to_all():
    assert code_perplexity(torch.tensor([7.0, 0, 0, 0])).item() == 1
    assert code_perplexity(torch.ones(16)).item() == pytest.approx(16)
    with pytest.raises(MetricError, match="expected 0 to 7"):
        CodeUsage(8).update(torch.tensor([[8]]), torch.tensor([[True]]))


def test_real_time_factor_is_all_work_over_all_speech():
    metric = RealTimeFactor()
    metric.update(torch.tensor([1.0, 2.0]), torch.tensor([10.0, 4.0]), keys=["a", "b"])
    other = RealTimeFactor()
    other.update(torch.tensor([4.0]), torch.tensor([6.0]))
    metric.merge_state(other)
    assert metric.compute().item() == pytest.approx(7 / 20)
    metric.update(torch.tensor([float("nan")]), torch.tensor([1.0]), keys=["c"])
    assert torch.isnan(metric.compute()) and metric.bad_clips == ["c"]
    with pytest.raises(MetricError, match="speech > 0"):
        real_time_factor(torch.tensor([1.0]), torch.tensor([0.0]))


def test_motion_statistics_ignore_padding():
    values = torch.randn(1, 12, 3)
    mask = torch.arange(12)[None] < 8
    values[:, 8:] = torch.nan
    expected = motion_statistics(values[:, :8], mask[:, :8])
    torch.testing.assert_close(motion_statistics(values, mask), expected)

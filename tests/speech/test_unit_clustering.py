"""K-means over a stream: finds clusters, repeats itself, needs memory for its sample only, leaves no unit empty."""

import numpy as np
import pytest

from speech.semantic_units import UnitsError
from speech.unit_clustering import _uniform_sample, fit_semantic_units

CENTRES = np.random.default_rng(5).normal(size=(10, 6)) * 20


def clips(number: int = 30, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [
        CENTRES[generator.integers(10, size=40)] + generator.normal(size=(40, 6)).astype(np.float32)
        for _ in range(number)
    ]


def inertia(units, arrays) -> float:
    points = np.concatenate(arrays) / units.scale
    return float(((points - units.centroids[units.assign(points * units.scale, units.encoder)]) ** 2).sum(1).mean())


@pytest.mark.parametrize("passes", [1, 3])
def test_well_parted_clusters_are_found(passes):
    units = fit_semantic_units(clips(), "e", num_units=10, passes=passes, sample_frames=400)
    distance = np.linalg.norm(units.centroids[:, None] * units.scale - CENTRES, axis=-1)
    assert sorted(distance.argmin(1)) == list(range(10)) and distance.min(1).max() < 1


def test_the_same_seed_gives_the_same_units_and_another_does_not():
    first, again, other = (fit_semantic_units(clips(), "e", 12, 2, seed, 300) for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_further_passes_fit_all_frames_better_than_a_small_sample():
    arrays = [np.random.default_rng(seed).normal(size=(100, 4)) for seed in range(60)]
    once, more = (fit_semantic_units(arrays, "e", 40, passes, 0, 120) for passes in (1, 4))
    assert inertia(more, arrays) < 0.9 * inertia(once, arrays)


def test_no_unit_stays_empty_where_frames_are_copies():
    generator = np.random.default_rng(0)
    # Half of all frames are the same: most starting draws would fall onto it.
    arrays = [np.concatenate([np.zeros((50, 3)), generator.normal(size=(50, 3))]) for _ in range(10)]
    units = fit_semantic_units(arrays, "e", 30, 3, 0, 500)
    counts = np.bincount(units.assign(np.concatenate(arrays), "e"), minlength=30)
    assert (counts > 0).all()


def test_a_feature_that_never_moves_is_harmless():
    arrays = [np.concatenate([array, np.full((40, 1), 3.0)], axis=1) for array in clips(5)]
    units = fit_semantic_units(arrays, "e", 10, 2, 0, 200)
    assert np.isfinite(units.centroids).all() and units.scale[-1] == 1


def test_the_sample_is_uniform_over_the_stream():
    counts = np.zeros(200)
    for seed in range(300):
        arrays = np.split(np.arange(200, dtype=np.float32)[:, None], [30, 31, 120])
        sample = _uniform_sample(arrays, 20, np.random.default_rng(seed))
        assert len(np.unique(sample)) == 20
        counts[sample[:, 0].astype(int)] += 1
    # Each frame is expected 30 times, with a deviation of about 5.2.
    assert counts.min() > 8 and counts.max() < 55 and abs(counts[:100].sum() - 3000) < 200


def test_a_stream_is_enough_for_one_pass_only():
    assert len(fit_semantic_units(iter(clips()), "e", 10, passes=1, sample_frames=100)) == 10
    with pytest.raises(UnitsError, match="iterator"):
        fit_semantic_units(iter(clips()), "e", 10, passes=2)


def test_bad_features_are_refused():
    with pytest.raises(UnitsError, match="too few"):
        fit_semantic_units(clips(1), "e", 64)
    with pytest.raises(UnitsError, match="empty"):
        fit_semantic_units([], "e", 10)
    with pytest.raises(UnitsError, match=r"features 1 .*\[T, 6\]"):
        fit_semantic_units([*clips(1), np.zeros((4, 5))], "e", 10)
    with pytest.raises(UnitsError, match="finite"):
        fit_semantic_units([np.full((30, 4), np.inf)], "e", 10)
    with pytest.raises(UnitsError, match="passes"):
        fit_semantic_units(clips(), "e", 10, passes=0)

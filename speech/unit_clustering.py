"""Fits semantic units by k-means in a few passes over a corpus that need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from speech.semantic_units import SemanticUnits, UnitsError, nearest_centroids

_LLOYD_ITERATIONS = 10
_MINI_BATCH_FRAMES = 8192


def fit_semantic_units(
    features: Iterable[np.ndarray],
    encoder: str,
    num_units: int = 512,
    passes: int = 2,
    seed: int = 0,
    sample_frames: int = 32_768,
) -> SemanticUnits:
    """K-means over all frames of `features`, arrays `[T, F]` of `encoder` (its fingerprint), with memory for
    `sample_frames` of them.

    The first pass draws a uniform sample of the frames, on which k-means starts (k-means++, Arthur and Vassilvitskii,
    2007) and runs to near convergence. Every further pass refines by mini-batches of all frames (Sculley, 2010), so
    `features` must then be something that can be iterated again; a unit that no frame of a pass was nearest to is put
    onto a far frame of the sample. The result is a function of the arrays, their order and the seed. Raises UnitsError
    for fewer frames than units, widths that differ, and values that are not finite.
    """
    if num_units < 2 or passes < 1 or sample_frames < num_units:
        raise UnitsError(
            f"got {num_units} units, {passes} passes and a sample of {sample_frames} frames; "
            "expected at least 2, 1, and as many frames as units"
        )
    if passes > 1 and isinstance(features, Iterator):
        raise UnitsError(f"{passes} passes need features that can be iterated again, got an iterator; give a list")
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed])))
    sample = _uniform_sample(features, sample_frames, generator)
    if len(sample) < num_units:
        raise UnitsError(f"{len(sample)} frames of speech are too few for {num_units} units; give more speech or fewer")
    deviation = sample.std(0, dtype=np.float64).astype(np.float32)
    # A feature that does not move tells nothing; dividing by its deviation would only blow up rounding.
    scale = np.where(deviation > 1e-5 * max(float(deviation.max()), 1e-30), deviation, 1.0).astype(np.float32)
    sample = sample / scale
    centroids = _start(sample, num_units, generator)
    counts = np.zeros(num_units)
    for _ in range(_LLOYD_ITERATIONS):
        sums, counts, distances = _sums_by_unit(sample, centroids)
        centroids = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centroids).astype(np.float32)
        _revive(centroids, counts, sample, distances, generator)
    for _ in range(passes - 1):
        seen = np.zeros(num_units)
        for batch in _mini_batches(features):
            sums, new, _ = _sums_by_unit(batch / scale, centroids)
            counts, seen = counts + new, seen + new
            step = (sums - new[:, None] * centroids) / np.maximum(counts, 1)[:, None]
            centroids = (centroids + step).astype(np.float32)
        _revive(centroids, seen, sample, nearest_centroids(sample, centroids)[1], generator)
        counts = np.where(seen > 0, counts, 1)
    return SemanticUnits(centroids, scale, encoder)


def _checked(features: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    width = None
    for number, array in enumerate(features):
        array = np.asarray(array, np.float32)
        width = array.shape[-1] if width is None else width
        if array.ndim != 2 or array.shape[1] != width:
            raise UnitsError(f"features {number} have shape {array.shape}; expected [T, {width}]")
        if not np.isfinite(array).all():
            raise UnitsError(f"features {number} hold values that are not finite; make them again")
        yield array


def _uniform_sample(features: Iterable[np.ndarray], size: int, generator: np.random.Generator) -> np.ndarray:
    """A uniform sample without replacement of all frames `[<= size, F]` in one pass (reservoir sampling; Vitter, 1985,
    algorithm R).
    """
    sample: np.ndarray | None = None
    count = 0
    for array in _checked(features):
        if sample is None:
            sample = np.empty((size, array.shape[1]), np.float32)
        direct = max(0, min(size - count, len(array)))
        sample[count : count + direct] = array[:direct]
        rest = array[direct:]
        # Frame number i replaces a random one of the sample with probability size / (i + 1).
        places = generator.integers(0, np.arange(count + direct, count + len(array)) + 1)
        chosen = places < size
        sample[places[chosen]] = rest[chosen]
        count += len(array)
    if sample is None:
        raise UnitsError("there are no features to fit units on; is the corpus empty?")
    return sample[:count] if count < size else sample


def _start(sample: np.ndarray, num_units: int, generator: np.random.Generator) -> np.ndarray:
    """Starting centroids by k-means++: each a frame drawn with probability proportional to its squared distance from
    those before.
    """
    centroids = np.empty((num_units, sample.shape[1]), np.float32)
    squares = np.square(sample).sum(1)
    nearest = np.full(len(sample), np.inf)
    chosen = int(generator.integers(len(sample)))
    for unit in range(num_units):
        centroids[unit] = sample[chosen]
        distance = squares - 2 * (sample @ centroids[unit]) + squares[chosen]
        nearest = np.minimum(nearest, np.maximum(distance, 0))
        nearest[chosen] = 0
        chosen = _draw(nearest, 1, generator)[0]
    return centroids


def _draw(weights: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Indices [number] drawn in proportion to the weights, or uniformly where all are zero."""
    total = weights.sum(dtype=np.float64)
    if total <= 0:
        return generator.integers(0, len(weights), number)
    positions = np.searchsorted(np.cumsum(weights, dtype=np.float64), generator.random(number) * total, side="right")
    return np.minimum(positions, len(weights) - 1)


def _sums_by_unit(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum `[K, F]` and number [K] of the points nearest to each centroid, and each point's squared distance."""
    numbers, distances = nearest_centroids(points, centroids)
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers, minlength=len(centroids))
    sums = np.zeros(centroids.shape, np.float64)
    present = np.flatnonzero(counts)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])[present]
    sums[present] = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64)
    return sums, counts.astype(np.float64), distances


def _revive(
    centroids: np.ndarray,
    counts: np.ndarray,
    sample: np.ndarray,
    distances: np.ndarray,
    generator: np.random.Generator,
) -> None:
    """Put units without any frame onto frames of the sample drawn like those of k-means++; in place."""
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        centroids[empty] = sample[_draw(distances, len(empty), generator)]


def _mini_batches(features: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    waiting: list[np.ndarray] = []
    for array in _checked(features):
        waiting.append(array)
        if sum(map(len, waiting)) >= _MINI_BATCH_FRAMES:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)

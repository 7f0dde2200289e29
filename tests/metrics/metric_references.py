"""Slow references of the metrics in NumPy, sharing no code with them, and the clips that some of them need."""

from collections.abc import Callable
from itertools import product

import numpy as np
import scipy.linalg
from metric_tester import Clip, random_clips
from torchmetrics import Metric

from metrics import frechet_distance


def pooled(clips: list[Clip], per_frame: Callable) -> float:
    return float(np.mean(np.concatenate([per_frame(*clip) for clip in clips])))


def by_clip(clips: list[Clip], per_clip: Callable) -> float:
    return float(np.mean([np.mean(per_clip(*clip)) for clip in clips]))


def ratio(clips: list[Clip], function: Callable) -> float:
    return sum(function(p) for p, _ in clips) / sum(function(t) for _, t in clips)


def distances(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.sqrt(((prediction.astype(float) - target.astype(float)) ** 2).sum(-1))


def worst(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    return distances(p, t).max(1)


def demeaned(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    return worst(p - p.mean(1, keepdims=True), t - t.mean(1, keepdims=True))


def dynamics(clip: np.ndarray, power: int = 2) -> float:
    return float((np.sqrt((clip.astype(float) ** 2).sum(-1)) ** power).std(0).mean())


def artalk_dynamics(p: np.ndarray, t: np.ndarray) -> float:
    ours, theirs = ((1000 * v.astype(float)).sum(-1).std(0, ddof=1) for v in (p, t))
    return float(100 * np.abs(ours - theirs).mean())


def speed(curve: np.ndarray) -> np.ndarray:
    return np.linalg.norm(curve[1:].astype(float) - curve[:-1].astype(float), axis=-1)


def speed_error(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.abs(speed(p) - speed(t))


def jerk(curve: np.ndarray) -> float:
    x = curve.astype(float)
    return float(np.linalg.norm(x[3:] - 3 * x[2:-1] + 3 * x[1:-2] - x[:-3], axis=-1).mean())


def spread(values: np.ndarray) -> float:
    """Mean distance of two different rows."""
    difference = values[:, None].astype(float) - values[None]
    return float(np.sqrt((difference**2).sum(-1)).sum() / len(values) / (len(values) - 1))


def deviation(values: np.ndarray) -> float:
    return float(values.astype(float).std(0).mean())


def warped(prediction: np.ndarray, target: np.ndarray) -> float:
    """The textbook recursion, cell by cell."""
    cost = np.array([[np.sqrt(((p - t) ** 2).sum(-1).mean()) for t in target] for p in prediction])
    table = np.full((len(cost) + 1, len(cost) + 1), np.inf)
    table[0, 0] = 0
    for i, j in product(range(len(cost)), repeat=2):
        table[i + 1, j + 1] = cost[i, j] + min(table[i, j + 1], table[i + 1, j], table[i, j])
    return 1000 * table[-1, -1]


def statistics(x: np.ndarray) -> np.ndarray:
    x = x.astype(float)
    return np.concatenate([x.mean(0), x.std(0), np.abs(np.diff(x, axis=0)).mean(0)])


def style_distance(p: np.ndarray, r: np.ndarray) -> float:
    return np.sqrt(((statistics(p) - statistics(r)) ** 2).mean())


def embedding_distance(p: np.ndarray, r: np.ndarray) -> float:
    a, b = statistics(p), statistics(r)
    return float(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def frechet_of_windows(clips: list[Clip]) -> float:
    """By scipy's general matrix root, as the published scripts have it."""
    features = [
        np.array([statistics(clip[side][s : s + 5]) for clip in clips for s in range(0, len(clip[side]) - 4, 2)])
        for side in (0, 1)
    ]
    (m1, s1), (m2, s2) = ((f.mean(0), np.cov(f, rowvar=False)) for f in features)
    return float(((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2 * scipy.linalg.sqrtm(s1 @ s2).real))


def frechet(channels: int) -> Callable[[], Metric]:
    return lambda: frechet_distance.FrechetMotionDistance(channels=channels, length=5, hop=2)


def opening(closures: list[int], frames: int) -> np.ndarray:
    """A mouth that is open but for a dip at each of `closures`."""
    time = np.arange(frames)[:, None]
    return (10 * (1 - np.exp(-(((time - np.array(closures)) / 3.0) ** 2)).sum(1))).astype(np.float32)


def sounds(closures: list[int], frames: int) -> np.ndarray:
    track = np.zeros(frames, bool)
    for frame in closures:
        track[frame - 1 : frame + 1] = True
    return track


def closing(ours: list[list[int]], theirs: list[list[int]], frames: list[int]) -> list[Clip]:
    return [(opening(a, n), opening(b, n), sounds(b, n)) for a, b, n in zip(ours, theirs, frames, strict=True)]


CLOSING = closing(
    [[20, 45, 80], [20, 80], [22, 60], [30]], [[20, 45, 80], [20, 45, 80], [20, 60], [30, 70]], [100, 90, 95, 100]
)
# Nobody says a bilabial at the last clip's second closure.
CLOSING[3] = (*CLOSING[3][:2], sounds([30], 100))
# Seven of two times nine and ten agree.
AGREEING = [
    clip[:2]
    for clip in closing(
        [[21, 45, 70], [10, 31], [15, 50], [42, 71]], [[20, 45, 80], [10, 30], [15, 60], [40, 70]], [90, 91, 92, 93]
    )
]


def loud(clip: np.ndarray) -> np.ndarray:
    """A level between quiet and loud, which rises by more than the threshold now and then."""
    return np.exp(np.sin(np.cumsum(np.abs(clip)) * 0.7) - 3).astype(np.float32)


BEATS = [(h, loud(e)) for h, e in random_clips((3,), (), lengths=(40, 25, 60, 33), scale=0.3, seed=4)]


def onsets(energy: np.ndarray) -> list[int]:
    rise = np.concatenate([[0], np.diff(np.log(np.maximum(energy, 1e-3)))])
    padded = np.concatenate([[0], rise, [0]])
    return [t for t in range(len(rise)) if rise[t] >= 0.5 and rise[t] > padded[t] and rise[t] >= padded[t + 2]]


def beats(head: np.ndarray) -> list[int]:
    step = speed(head) / speed(head).mean()
    return [
        t + 1
        for t in range(1, len(step) - 1)
        if step[t] < step[t - 1] and step[t] < step[t + 1] and max(step[t - 1], step[t + 1]) - step[t] >= 0.01
    ]


def kernels(events: list[int], others: list[int]) -> list[float]:
    return [max((np.exp(-(((a - b) / 25) ** 2) / 0.02) for b in others), default=0.0) for a in events]


def over_pairs(samples: np.ndarray) -> np.ndarray:
    several = range(samples.shape[1])
    return np.mean(
        [np.linalg.norm(samples[:, i] - samples[:, j], axis=-1) for i in several for j in several if j < i], axis=0
    )


def talkshow_variance(samples: np.ndarray) -> np.ndarray:
    return np.linalg.norm(samples.astype(float).var(1, ddof=1), axis=-1).sum(-1)


def best_sample(samples: np.ndarray, t: np.ndarray) -> np.ndarray:
    return min((worst(samples[:, i], t) ** 2 for i in range(samples.shape[1])), key=np.sum)


def perplexity(clips: list[Clip]) -> float:
    share = np.bincount(np.concatenate([c for (c,) in clips]), minlength=8) / sum(len(c) for (c,) in clips)
    return float(np.exp(-sum(p * np.log(p) for p in share if p)))

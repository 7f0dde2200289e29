"""Mean, deviation and range of every motion coefficient, gathered clip by clip in float64."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from faces.motion import FaceMotion

FIELDS = ("expression", "jaw", "head", "translation")


@dataclass(frozen=True, eq=False)
class FieldStatistics:
    """Of one field over `frames` frames; arrays `[D]` float64. `std` is the population deviation (divided by
    n).
    """

    frames: int
    mean: np.ndarray
    std: np.ndarray
    min: np.ndarray
    max: np.ndarray

    def to_dict(self) -> dict:
        values = asdict(self)
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: dict) -> FieldStatistics:
        arrays = {name: np.asarray(values[name], dtype=np.float64) for name in ("mean", "std", "min", "max")}
        return cls(frames=int(values["frames"]), **arrays)


@dataclass(frozen=True, eq=False)
class MotionStatistics:
    """Statistics of the clips of `clips` recordings; `translation` is None where no clip has one."""

    clips: int
    expression: FieldStatistics
    jaw: FieldStatistics
    head: FieldStatistics
    translation: FieldStatistics | None = None

    def to_dict(self) -> dict:
        named = {name: getattr(self, name) for name in FIELDS}
        return {"clips": self.clips} | {name: None if s is None else s.to_dict() for name, s in named.items()}

    @classmethod
    def from_dict(cls, values: dict) -> MotionStatistics:
        known = {name: FieldStatistics.from_dict(values[name]) for name in FIELDS if values[name] is not None}
        return cls(clips=int(values["clips"]), **known)


class StatisticsAccumulator:
    """Merges clips one by one, so memory does not grow with the corpus.

    The merge of two sets of moments is the pairwise update of Chan, Golub and LeVeque (1983), "Algorithms for
    computing the sample variance", eq. 2.1: stable in float64 where a sum of squares would lose digits.
    """

    def __init__(self) -> None:
        self._clips = 0
        self._moments: dict[str, _Moments] = {}

    def add(self, motion: FaceMotion) -> None:
        self._clips += 1
        for name in FIELDS:
            values = getattr(motion, name)
            if values is not None:
                self._moments.setdefault(name, _Moments(values.shape[1])).add(values.astype(np.float64))

    def result(self) -> MotionStatistics | None:
        """None when no clip was added."""
        if not self._clips:
            return None
        named = {name: moments.result() for name, moments in self._moments.items()}
        return MotionStatistics(clips=self._clips, **named)


class _Moments:
    def __init__(self, dimensions: int) -> None:
        self.frames = 0
        self.mean = np.zeros(dimensions)
        self.squares = np.zeros(dimensions)
        self.min = np.full(dimensions, np.inf)
        self.max = np.full(dimensions, -np.inf)

    def add(self, values: np.ndarray) -> None:
        frames = len(values)
        if not frames:
            return
        mean = values.mean(axis=0)
        total = self.frames + frames
        difference = mean - self.mean
        self.squares += ((values - mean) ** 2).sum(axis=0) + difference**2 * (self.frames * frames / total)
        self.mean += difference * (frames / total)
        self.min = np.minimum(self.min, values.min(axis=0))
        self.max = np.maximum(self.max, values.max(axis=0))
        self.frames = total

    def result(self) -> FieldStatistics:
        return FieldStatistics(
            self.frames,
            self.mean.copy(),
            np.sqrt(self.squares / self.frames),
            self.min.copy(),
            self.max.copy(),
        )

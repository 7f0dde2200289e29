"""Speed of a system as seconds of work for a second of speech."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from metrics.checks import MetricError
from metrics.weighted_mean import WeightedMean


def real_time_factor(work_s: Tensor, speech_s: Tensor) -> Tensor:
    """Seconds of work divided by seconds of speech `[B]`: under 1 = faster than the speech. Papers also print its inverse ("12 times real time").

    What counts as work (encoder, rendering, first run) must be said with it. Raises MetricError for negative times or speech of no length.
    """
    if work_s.shape != speech_s.shape or (work_s < 0).any() or (speech_s <= 0).any():
        raise MetricError(
            f"received work {list(work_s.shape)} and speech {list(speech_s.shape)} in seconds; expected the same shape, work >= 0, speech > 0"
        )
    return work_s / speech_s


class RealTimeFactor(WeightedMean):
    """All work divided by all speech: a clip weighs as much as it is long."""

    higher_is_better = False

    def update(self, work_s: Tensor, speech_s: Tensor, keys: Sequence[str] | None = None) -> None:  # type: ignore[override]
        """Seconds of work and of speech of each clip, `[B]`."""
        super().update(real_time_factor(work_s, speech_s), speech_s, keys)

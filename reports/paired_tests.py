"""Two methods on the same clips: is one nearer to what a metric aims at, and would that hold for other people or clips?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from metrics.intervals import Interval, speaker_bootstrap
from reports.significance import clip_contributions, holm, sign_flip_p, smallest_p, speaker_contributions

LEVEL = 0.05


@dataclass(frozen=True)
class PairedTest:
    """A method against the baseline in one metric: `difference` is of the distances to the metric's target, so below zero is better.

    `p_clips` flips the sign of every clip (new clips of these speakers), `p_speakers` of all clips of a speaker together (new speakers);
    `holm_*` are adjusted for all tests of the report; `smallest_speakers` is the smallest `holm_speakers` that so many tests of so many speakers
    can have.
    """

    metric: str
    method: str
    difference: Interval
    clips: int
    p_clips: float
    p_speakers: float
    holm_clips: float = math.nan
    holm_speakers: float = math.nan
    smallest_speakers: float = math.nan

    @property
    def verdict(self) -> str:
        """In words, by adjusted p under 0.05; none is possible over speakers where no difference, however large, could have such a p."""
        direction = "better" if self.difference.mean < 0 else "worse"
        if self.holm_speakers < LEVEL:
            return direction
        if self.holm_clips < LEVEL:
            return f"{direction} on these speakers"
        if self.smallest_speakers >= LEVEL:
            return "no verdict possible"
        return "no difference shown"


def paired_test(
    metric: str, method: str, ours: Sequence[float], theirs: Sequence[float], speakers: Sequence[str]
) -> PairedTest | None:
    """`method` against the baseline by the `badness` of every clip of each; None where no clip has both."""
    pairs = zip(ours, theirs, speakers, strict=True)
    both = [(a - b, who) for a, b, who in pairs if math.isfinite(a) and math.isfinite(b)]
    if not both:
        return None
    differences, of = [d for d, _ in both], [who for _, who in both]
    return PairedTest(
        metric,
        method,
        speaker_bootstrap(differences, of),
        len(both),
        sign_flip_p(clip_contributions(differences, of).tolist()),
        sign_flip_p(speaker_contributions(differences, of).tolist()),
    )


def badness(values: Sequence[float], truths: Sequence[float], best: str) -> list[float]:
    """Distance of each clip's value from what the metric aims at: 0, 1, the truth's own value, or as low or high as can be."""
    if best == "lower":
        return list(values)
    if best == "higher":
        return [-value for value in values]
    targets = truths if best == "truth" else [float(best == "one")] * len(values)
    return [abs(value - target) for value, target in zip(values, targets, strict=True)]


def adjusted(tests: Sequence[PairedTest]) -> list[PairedTest]:
    """The tests with p values after Holm's correction for all of them."""
    clips, speakers = holm([t.p_clips for t in tests]), holm([t.p_speakers for t in tests])
    # Where every test is at its own smallest p, none is adjusted by more than it must be.
    smallest = holm([smallest_p(t.difference.speakers) for t in tests])
    return [
        replace(t, holm_clips=c, holm_speakers=s, smallest_speakers=least)
        for t, c, s, least in zip(tests, clips, speakers, smallest, strict=True)
    ]

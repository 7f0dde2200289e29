import itertools
import math

import numpy as np
import pytest

from metrics.intervals import speaker_bootstrap
from reports.significance import clip_contributions, holm, sign_flip_p, smallest_p, speaker_contributions


def slow_p(values: list[float]) -> float:
    seen = abs(sum(values))
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    return sum(total >= seen - 1e-9 for total in sums) / len(sums)


@pytest.mark.parametrize("seed", range(4))
def test_few_units_agree_with_trying_every_pattern_of_signs(seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.3, 1, 9).tolist()
    assert sign_flip_p(values) == pytest.approx(slow_p(values), abs=1e-12)


def test_units_that_all_agree_have_the_smallest_p_there_is() -> None:
    assert sign_flip_p([0.1] * 8) == pytest.approx(2 / 2**8)
    assert sign_flip_p([0.1]) == 1.0


def test_drawn_patterns_come_near_the_exact_p_and_never_say_zero() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 15).tolist()
    assert sign_flip_p(values) == pytest.approx(slow_p(values), abs=0.01)
    assert 0 < sign_flip_p([1.0] * 60) <= 1e-4


def test_p_is_symmetric_and_does_not_depend_on_the_unit() -> None:
    values = np.random.default_rng(1).normal(0.2, 1, 30)
    assert sign_flip_p(values.tolist()) == sign_flip_p((-values).tolist()) == sign_flip_p((1e-6 * values).tolist())


def test_no_difference_at_all_is_no_evidence() -> None:
    assert sign_flip_p([0.0] * 20) == sign_flip_p([]) == 1.0


def test_under_the_null_p_is_small_as_rarely_as_it_says() -> None:
    drawn = np.random.default_rng(2).normal(size=(400, 10))
    share = np.mean([sign_flip_p(row.tolist()) <= 0.1 for row in drawn])
    assert 0.05 < share < 0.15


def test_contributions_add_up_to_the_mean_over_speakers() -> None:
    values, speakers = [1.0, 2.0, 6.0, -3.0, 0.5], ["a", "a", "b", "a", "c"]
    mean = speaker_bootstrap(values, speakers).mean
    assert clip_contributions(values, speakers).sum() == pytest.approx(mean)
    assert speaker_contributions(values, speakers).tolist() == pytest.approx([0.0, 2.0, 0.5 / 3])
    assert len(speaker_contributions(values, speakers)) == 3


def slow_holm(ps: list[float]) -> list[float]:
    return [max(min(1.0, sum(q >= p for q in ps) * p) for p in ps if p <= mine) for mine in ps]


def test_holm_agrees_with_its_definition_and_keeps_the_order() -> None:
    ps = np.random.default_rng(3).uniform(0, 0.2, 12).tolist()
    adjusted = holm(ps)
    assert adjusted == pytest.approx(slow_holm(ps))
    assert holm(ps[::-1]) == adjusted[::-1]
    assert all(a >= p for a, p in zip(adjusted, ps, strict=True))
    assert holm([0.5]) == [0.5] and holm([]) == [] and not any(map(math.isnan, adjusted))


@pytest.mark.parametrize("units", [1, 2, 8, 14, 15, 40])
def test_the_smallest_p_is_that_of_units_that_all_agree(units: int) -> None:
    assert smallest_p(units) <= sign_flip_p([1.0] * units)
    if units <= 14:
        assert smallest_p(units) == sign_flip_p([1.0] * units)

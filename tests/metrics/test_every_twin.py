"""Every row of the registry goes through the shared tester: a metric without a case in metric_cases.py fails here."""

import pytest
from metric_cases import CASES
from metric_tester import check_metric

from metrics.registry import METRICS


@pytest.mark.parametrize("name", METRICS)
def test_the_twin_passes_the_shared_checks(name: str) -> None:
    assert name in CASES, f"{name} has no case: give clips and a NumPy reference in tests/metrics/metric_cases.py"
    case, twin = CASES[name], METRICS[name].twin
    assert isinstance(case.make(), twin), f"the case of {name} is of another twin than the registry's"
    check_metric(*case)


def test_every_case_is_of_a_row() -> None:
    assert set(CASES) == set(METRICS)

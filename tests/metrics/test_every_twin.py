"""Every row of the registry goes through the shared tester: a metric without a case in metric_cases.py fails here."""

import math

import pytest
from metric_cases import CASES
from metric_tester import check_edges, check_metric

from metrics.registry import METRICS


@pytest.mark.parametrize("name", METRICS)
def test_the_twin_passes_the_shared_checks(name: str) -> None:
    assert name in CASES, f"{name} has no case: give clips and a NumPy reference in tests/metrics/metric_cases.py"
    case, twin = CASES[name], METRICS[name].twin
    assert isinstance(case.make(), twin), f"the case of {name} is of another twin than the registry's"
    check_metric(*case)


# What is measured of how a clip moves: one frame does not, which is neither still nor perfect.
OF_MOTION = (
    "fdd_",
    "dispersion",
    "richness",
    "jerk",
    "speed",
    "deviation_within",
    "pose_range",
    "_within_deg",
    "_ratio",
)
CURVES = [
    name
    for name, info in METRICS.items()
    if info.per_clip and info.inputs[-1] == "mask" and "samples" not in info.inputs[0] and info.inputs[0] != "codes"
]


@pytest.mark.parametrize("name", CURVES)
def test_of_one_frame_and_of_a_still_truth_function_and_twin_say_the_same(name: str) -> None:
    of_one_frame, of_still_truth = check_edges(CASES[name].make, METRICS[name].function, CASES[name].clips)
    if any(part in name for part in OF_MOTION) or name == "lvd_talkshow_m":
        assert math.isnan(of_one_frame)
    if name.endswith("_ratio"):
        assert math.isnan(of_still_truth), "no share of what does not move"


def test_every_case_is_of_a_row() -> None:
    assert set(CASES) == set(METRICS)

import numpy as np
import pytest

from faces.arkit import (
    ARKIT_GROUPS,
    ARKIT_INDEX,
    ARKIT_NAMES,
    MIRROR_PERMUTATION,
    MIRRORED_PAIRS,
    arkit_indices,
    arkit_vector,
    mirrored_name,
)


def test_there_are_52_names_in_apples_order():
    assert len(ARKIT_NAMES) == len(set(ARKIT_NAMES)) == 52
    assert ARKIT_NAMES[0] == "eyeBlinkLeft"
    assert ARKIT_NAMES[7] == "eyeBlinkRight"
    assert ARKIT_NAMES[14:18] == ("jawForward", "jawLeft", "jawRight", "jawOpen")
    assert ARKIT_NAMES[-1] == "tongueOut"
    assert {"browInnerUp", "cheekPuff", "mouthShrugUpper", "noseSneerRight", "mouthUpperUpLeft"} <= set(ARKIT_NAMES)


def test_mirroring_twice_changes_nothing_and_swaps_every_pair():
    assert np.array_equal(MIRROR_PERMUTATION[MIRROR_PERMUTATION], np.arange(52))
    assert len(MIRRORED_PAIRS) == 20
    for left, right in MIRRORED_PAIRS:
        assert right in ARKIT_INDEX
        assert mirrored_name(right) == left
    assert mirrored_name("jawOpen") == "jawOpen"


def test_lower_and_upper_face_share_no_name_and_miss_none():
    lower, upper = set(ARKIT_GROUPS["lower_face"]), set(ARKIT_GROUPS["upper_face"])
    assert not lower & upper
    assert lower | upper == set(ARKIT_NAMES)
    assert all(ARKIT_GROUPS.values())


def test_indices_are_by_name_and_unknown_names_are_explained():
    assert arkit_indices(["jawOpen", "eyeBlinkLeft"]).tolist() == [17, 0]
    with pytest.raises(KeyError, match="jawOpen"):
        arkit_indices(["jawopen"])


def test_a_vector_holds_only_the_named_weights():
    vector = arkit_vector(jawOpen=0.5, tongueOut=1.0)
    assert vector.dtype == np.float32
    assert vector[ARKIT_INDEX["jawOpen"]] == 0.5
    assert vector.sum() == 1.5

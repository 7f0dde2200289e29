"""The floor under an error: the corpus is performed again as it is, and other performances differ in chance alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.irreducible_error import corpus_config, guesses, measure, performances
from corpora.synthetic import CORPUS_VERSION, SyntheticCorpusConfig, synthetic_jobs
from datamodules.preparation import prepare_corpus
from faces.arkit import ARKIT_INDEX, NUM_ARKIT
from faces.motion import FaceMotion

CONFIG = SyntheticCorpusConfig(
    num_speakers=3, clips_per_speaker=2, seed=5, val_speakers=1, test_speakers=1, neutral_share=1.0
)
KEY = "synthetic-5-002-0001"


def flat(value: float) -> FaceMotion:
    return FaceMotion(np.full((4, NUM_ARKIT), value, np.float32), np.zeros((4, 3), np.float32))


def test_other_performances_share_the_lips_and_differ_in_lids_and_brows() -> None:
    first, second, third = performances(CONFIG, KEY, 2)
    moving = {
        name for name, i in ARKIT_INDEX.items() if np.ptp([m.expression[:, i] for m in (first, second, third)], 0).any()
    }
    assert {"eyeBlinkLeft", "eyeBlinkRight"} <= moving
    assert any(name.startswith("brow") for name in moving)
    assert not any(name.startswith(("mouth", "jaw")) for name in moving)


def test_guesses_are_median_and_mean_and_know_only_the_named_part_of_the_truth() -> None:
    truth = flat(0.9)
    found = guesses([flat(0.0), flat(0.1), flat(0.8)], truth)
    assert np.allclose(found["their median"].expression, 0.1)
    assert np.allclose(found["their mean"].expression, 0.3)
    lids = found["their median, true lids"].expression
    assert np.allclose(lids[:, ARKIT_INDEX["eyeBlinkLeft"]], 0.9)
    assert np.allclose(lids[:, ARKIT_INDEX["browInnerUp"]], 0.1)


def test_a_prepared_corpus_is_performed_again_bit_for_bit(tmp_path: Path) -> None:
    made_with = {"version": CORPUS_VERSION, **CONFIG.to_dict()}
    prepare_corpus(
        synthetic_jobs(CONFIG),
        tmp_path / "people",
        corpus="synthetic",
        fingerprint=made_with,
        workers=1,
        progress=False,
    )
    rows = measure(str(tmp_path / "people"), ["synthetic-002"], "neutral", clips=1, times=3)
    assert [row["key"] for row in rows] == [KEY]
    assert rows[0]["their median"]["lip_vertex_error_mm"] == 0
    assert rows[0]["their median"]["upper_face_vertex_error_mm"] > 0


@pytest.mark.parametrize("made_by", [{"corpus": "videos"}, {"corpus": "synthetic", "fingerprint": {"version": "0"}}])
def test_what_cannot_be_performed_again_is_refused(made_by: dict) -> None:
    with pytest.raises(ValueError, match="only a synthetic corpus of version"):
        corpus_config(made_by)

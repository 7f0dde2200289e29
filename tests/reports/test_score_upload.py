import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_up_runs import make_scores

from reports.score_upload import upload_prefix, uploaded

LVE = "lip_vertex_error_mm"


def test_the_interval_goes_along_where_there_is_one() -> None:
    result = make_scores("run", 5.0)
    found = result["scores"]["model"][LVE]
    row, meanings = uploaded(result, "test")
    assert row[f"test/{LVE}"] == found["value"] and row[f"test/{LVE}_over_speakers"] == found["mean"]
    ends = row[f"test/{LVE}_over_speakers_low"], row[f"test/{LVE}_over_speakers_high"]
    assert ends == (found["low"], found["high"]) and set(meanings) == set(row)
    assert "low end of the 95 % interval" in meanings[f"test/{LVE}_over_speakers_low"]["average"]
    few, _ = uploaded(make_scores("run", 5.0, speakers=4), "test")
    assert f"test/{LVE}_over_speakers" in few and not any(name.endswith(("_low", "_high")) for name in few)
    assert not any(map(math.isnan, few.values()))


@pytest.mark.parametrize(("corpus", "prefix"), [("made-up", "test"), ("other", "test/other")])
def test_a_corpus_of_another_name_is_in_the_prefix(corpus: str, prefix: str) -> None:
    run = SimpleNamespace(data={"corpus": "made-up"}, path=Path("run"))
    assert upload_prefix(run, make_scores("run", 5.0, corpus=corpus), "") == prefix

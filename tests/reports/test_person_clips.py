"""An adapted run is scored on its person's other clips, beside the base that it was adapted from."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import compare
import score
from datamodules.adaptation import AdaptationDataModule
from reports import comparison
from reports.entrants import group_by_settings, read_entrant
from reports.errors import ReportError
from reports.person_clips import PersonClips
from reports.score_faces import controls_of
from runtime.run_folder import existing_run
from tests.tiny_runs import train_tiny

LVE = "lip_vertex_error_mm"
FEW = ["--metrics", LVE, "upper_face_vertex_error_mm", "expression_dispersion_ratio"]


def person_of(corpus: Path, seconds: float = 3.0) -> PersonClips:
    return PersonClips(AdaptationDataModule(str(corpus), "theo", seconds, global_batch=1))


@pytest.fixture(scope="module")
def adapted(made_up_corpus: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adaptations of one base to one person, with changes of two ranks, large enough to be seen."""
    root = tmp_path_factory.mktemp("adapted")
    common = [f"base.run={tiny_run}", "data.person=theo", "data.seconds=3.0", "adapter.lr=0.1"]
    return [
        train_tiny(
            made_up_corpus, root / f"rank-{r}", *common, f"adapter.spec.ranks=[{r}]", experiment="molora_adaptation"
        )
        for r in (2, 3)
    ]


@pytest.fixture(scope="module")
def scores(adapted: list[Path]) -> list[dict]:
    assert score.main([*map(str, adapted), *FEW, "--workers", "3"]) == 0
    return [json.loads((run / "scores-test.json").read_text()) for run in adapted]


def test_the_scores_are_those_that_the_run_itself_ended_with(adapted: list[Path], scores: list[dict]) -> None:
    for run, result in zip(adapted, scores, strict=True):
        own = json.loads((run / "adaptation.json").read_text())["scores"]["other_clips"]
        assert len(result["clips"]) == own["clips"] > 1
        names = {"model": "after", "base": "before", "reference_mean_face": "reference_mean_face"}
        for method, name in names.items():
            for metric in (LVE, "upper_face_vertex_error_mm"):
                found = result["scores"][method][metric]
                assert found["mean"] == pytest.approx(own[name][metric], rel=1e-4), (method, metric)
                assert found["speakers"] == 1 and found["low"] is None


def test_beside_it_are_the_base_and_the_usual_controls(scores: list[dict]) -> None:
    first, second = (result["scores"] for result in scores)
    assert set(first) == {"truth", "model", "shuffled_speech", "base", "reference_mean_face", "mean_face", "ridge"}
    assert first["base"][LVE] != first["model"][LVE]
    assert first["base"][LVE]["mean"] == second["base"][LVE]["mean"]
    assert first["truth"][LVE]["mean"] == 0
    # z-scored by the base's training clips: ten seconds of one person have no deviation of their own.
    assert "expression_dispersion_ratio" in first["model"] and scores[0]["data"]["normalised_by"]
    assert scores[0]["summary"]["own_reference"] == 0


def test_threads_do_not_switch_the_change_off_for_each_other(
    adapted: list[Path], scores: list[dict], tmp_path: Path
) -> None:
    assert score.main([str(adapted[0]), *FEW, "--workers", "1", "--out", str(tmp_path / "one.json")]) == 0
    assert json.loads((tmp_path / "one.json").read_text())["clips"] == scores[0]["clips"]


def test_adapted_runs_of_one_person_are_compared_clip_by_clip(
    adapted: list[Path], scores: list[dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert compare.main([*map(str, adapted), "--out", str(page)]) == 0, capsys.readouterr().err
    assert "an interval needs at least 5 speakers, here are 1" in page.read_text()
    found = comparison.compare(group_by_settings([read_entrant(run, "test") for run in adapted]), "test")
    assert [row["key"] for row in found.clips] == [row["key"] for row in scores[0]["clips"]]
    assert found.controls["base"].intervals[LVE].mean == scores[0]["scores"]["base"][LVE]["mean"]
    test = next(test for test in found.tests if test.metric == LVE)
    means = [result["scores"]["model"][LVE]["mean"] for result in scores]
    assert test.clips == len(scores[0]["clips"]) and test.difference.mean == pytest.approx(means[1] - means[0])


def test_adaptations_to_two_people_share_no_clip_and_the_sentence_says_where_their_numbers_are(
    adapted: list[Path], scores: list[dict]
) -> None:
    one, other = (read_entrant(run, "test") for run in adapted)
    clips = [row | {"key": f"other-{row['key']}"} for row in other.scores["clips"]]
    other = replace(other, scores=other.scores | {"clips": clips}, settings=other.settings | {"data.person": "vera"})
    with pytest.raises(ReportError, match=r"adapted to theo and vera: give runs of one person; .*sweep\.py table"):
        comparison.compare(group_by_settings([one, other]), "test")


def test_the_parts_of_a_person_are_served_one_clip_at_a_time_and_share_no_frame(made_up_corpus: Path) -> None:
    data = person_of(made_up_corpus)
    served: dict[str, list[tuple[str, int]]] = {}
    for split in ("train", "val", "test"):
        batches = list(data.evaluation_dataloader(split))
        served[split] = sorted((b.keys[0], int(b.num_frames[0])) for b in batches)
        assert all(len(b.keys) == 1 and b.speakers == ["theo"] for b in batches)
        assert len({b.metas[0]["reference_key"] for b in batches}) == 1
        told = [data.index.entries[i] for i in data.indices(split)]
        assert sorted((entry.key, entry.num_frames) for entry in told) == served[split]
    whole = {key for key, _ in served["test"]}
    assert len(whole) > 1 and not whole & {key for key, _ in served["train"][:1]}
    assert sum(frames for _, frames in served["train"] + served["val"]) <= 75


def test_a_ridge_regression_is_fitted_anew_for_another_tail_of_the_same_recording(made_up_corpus: Path) -> None:
    ridges: dict = {}
    one, two = (
        PersonClips(AdaptationDataModule(str(made_up_corpus), "theo", 3.0, tail_share=share, global_batch=1))
        for share in (0.2, 0.4)
    )
    assert one.fingerprint == two.fingerprint == AdaptationDataModule(str(made_up_corpus), "theo", 3.0).fingerprint
    for data, fitted in ((one, 1), (one, 1), (two, 2)):
        controls_of(data, "test", ridges)
        assert len(ridges) == fitted


def test_a_person_of_whom_everything_was_adapted_to_is_one_sentence(
    made_up_corpus: Path, adapted: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ReportError, match="nothing but what was adapted to"):
        person_of(made_up_corpus, 60.0).indices("test")
    run = tmp_path / "all"
    run.mkdir()
    for file in ("config.yaml", "data.json"):
        (run / file).write_bytes((adapted[0] / file).read_bytes())
    (run / "checkpoints").symlink_to(adapted[0] / "checkpoints")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("  seconds: 3.0", "  seconds: 60.0"))
    assert existing_run(run).config.data.seconds == 60.0
    assert score.main([str(run), *FEW]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "theo has nothing but what was adapted to" in told and "--split val" in told
    assert not list(run.glob("scores-*"))

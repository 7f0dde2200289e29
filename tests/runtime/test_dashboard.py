import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import dashboard
from runtime.dashboard import CURVES, VIDEO, build_workspace, differing_keys, main
from runtime.run_folder import RunError

WIDE = {"net/width": 256, "net/blocks": 4, "choice/net": "released", "run/seed": 1, "run_hash": "a", "data/root": "x"}
SLIM = {"net/width": 128, "net/blocks": 2, "choice/net": "small", "run/seed": 2, "run_hash": "b", "data/root": "y"}


def specification(group_by: list[str]) -> dict[str, Any]:
    """What would be sent to W&B, as plain JSON."""
    pytest.importorskip("wandb_workspaces", reason="the extra 'dashboard' is not installed")
    spec = build_workspace("team", "faces", group_by)._to_model().spec
    return json.loads(spec.model_dump_json(by_alias=True, exclude_none=True))["section"]


def test_runs_are_grouped_by_what_differs_and_not_by_seed_place_or_hash() -> None:
    assert differing_keys([SLIM, SLIM | {"net/width": 64, "run/seed": 3}]) == ["net/width"]
    assert differing_keys([SLIM, SLIM | {"run/seed": 3, "run_hash": "c", "data/root": "z"}]) == []


def test_a_config_groups_option_stands_for_all_the_keys_it_sets() -> None:
    assert differing_keys([SLIM, WIDE]) == ["choice/net"]
    assert differing_keys([SLIM, WIDE, WIDE | {"net/blocks": 5}]) == ["choice/net", "net/blocks"]


def test_a_key_that_only_some_runs_have_differs() -> None:
    assert differing_keys([SLIM, SLIM | {"net/codes": 64}]) == ["net/codes"]


def test_the_layout_has_a_section_for_each_question_and_draws_over_the_global_step() -> None:
    sections = {s["name"]: s["panels"] for s in specification([])["panelBankConfig"]["sections"]}
    assert list(sections) == ["Ablation table", "Lip vertex error", "Codebook", "Rendered videos", "Throughput"]
    for name, panels in CURVES.items():
        drawn = {p["config"]["chartTitle"]: p["config"]["metrics"] for p in sections[name]}
        assert drawn == panels
        assert {p["config"]["xAxis"] for p in sections[name]} == {"trainer/global_step"}
    assert sections["Ablation table"][0]["config"] == {"diffOnly": "split"}
    assert sections["Rendered videos"][0]["config"]["mediaKeys"] == [VIDEO]


def test_runs_are_grouped_by_the_given_keys_each_with_a_bar_chart_of_mean_and_deviation() -> None:
    section = specification(["net/width", "choice/speech"])
    [runs] = section["runSets"]
    assert runs["grouping"] == [
        {"section": "config", "name": "net/width.value"},
        {"section": "config", "name": "choice/speech.value"},
    ]
    bars = section["panelBankConfig"]["sections"][0]["panels"][1:]
    assert [b["config"]["groupBy"] for b in bars] == ["net/width.value", "choice/speech.value"]
    assert {(b["config"]["groupAgg"], b["config"]["groupArea"]) for b in bars} == {("mean", "stddev")}


def test_without_keys_runs_are_grouped_by_their_group() -> None:
    [runs] = specification([])["runSets"]
    assert [key["section"] for key in runs["grouping"]] == ["run"]


def test_every_panel_is_documented_for_building_it_by_hand() -> None:
    text = (Path(__file__).parents[2] / "docs" / "WANDB.md").read_text()
    for section, panels in CURVES.items():
        assert section in text
        for title, metrics in panels.items():
            assert title in text and all(f"`{metric}`" in text for metric in metrics), title


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wandb_workspaces", "wandb_workspaces.expr"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RunError, match=r"pip install '\.\[dashboard\]'"):
        build_workspace("team", "faces")


def test_a_name_that_is_no_project_and_a_folder_that_is_no_run_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["faces"]) == 2
    assert "expected ENTITY/PROJECT" in capsys.readouterr().err
    assert main(["team/faces", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_an_unreachable_service_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: Any) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(dashboard, "save_workspace", unreachable)
    assert main(["team/faces"]) == 1
    assert capsys.readouterr().err.count("\n") == 1

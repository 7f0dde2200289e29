"""What compared methods are called, and which one a baseline names."""

import json
from pathlib import Path

import pytest
from made_up_runs import make_motions, make_run

from reports.comparison import compare
from reports.entrants import group_by_settings, read_entrant
from reports.errors import ReportError

LVE = "lip_vertex_error_mm"


def methods_of(*folders: Path):
    return group_by_settings([read_entrant(folder, "test") for folder in folders])


@pytest.mark.parametrize("name", ["ridge", "truth", "model"])
def test_a_method_called_as_a_control_keeps_its_own_numbers(tmp_path: Path, name: str) -> None:
    methods = methods_of(make_motions(tmp_path / "m" / "ours", 5.0), make_motions(tmp_path / "m" / name, 4.0))
    comparison = compare(methods, "test", [LVE])
    assert [method.name for method in methods] == ["ours", f"m/{name}"]
    assert comparison.intervals[f"m/{name}"][LVE].mean == pytest.approx(4, abs=0.5)
    assert comparison.controls["ridge"].intervals[LVE].mean == pytest.approx(9, abs=0.5)
    assert comparison.controls["truth"].intervals[LVE].mean == 0 and "model" not in comparison.controls
    assert set(comparison.intervals) == {"ours", f"m/{name}"}


def test_a_run_whose_name_the_page_would_write_as_a_control_is_called_by_its_folder(tmp_path: Path) -> None:
    methods = methods_of(make_run(tmp_path / "a", 5.0, name="Ridge"), make_run(tmp_path / "b", 4.0, name="other"))
    assert [method.name for method in methods] == ["a", "other"]


def test_methods_that_differ_in_much_are_called_by_their_experiments_where_these_differ(tmp_path: Path) -> None:
    long = "a_setting_that_is_very_long_indeed_and_longer_than_a_name"
    one, other = make_run(tmp_path / "a", 5.0, name="one"), make_run(tmp_path / "b", 4.0, name="two")
    config = json.loads((other / "config.yaml").read_text())
    (other / "config.yaml").write_text(json.dumps(config | {"net": {"kind": long}}))
    third = make_run(tmp_path / "c", 4.0, name="one", width=32)
    third_config = json.loads((third / "config.yaml").read_text())
    (third / "config.yaml").write_text(json.dumps(third_config | {"net": {"kind": long}}))
    assert [method.name for method in methods_of(one, other)] == ["one width=64", "two"]
    assert [method.name for method in methods_of(other, third)] == ["two", "one"]
    assert [method.name for method in methods_of(one, other, third)] == ["one width=64", "two", "one"]


def test_folders_of_one_name_are_told_apart_by_as_much_of_their_path_as_it_takes(tmp_path: Path) -> None:
    folders = [tmp_path / path / "theirs" for path in ("x/s", "y/s", "z/t")]
    methods = methods_of(*(make_motions(folder, 3.0 + i) for i, folder in enumerate(folders)))
    comparison = compare(methods, "test", [LVE])
    assert [method.name for method in methods] == ["x/s/theirs", "y/s/theirs", "t/theirs"]
    means = [comparison.intervals[method.name][LVE].mean for method in methods]
    assert means == pytest.approx([3, 4, 5], abs=0.5)


def test_the_baseline_may_be_a_folder_with_a_slash_but_not_a_name_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = (make_motions(tmp_path / path / "theirs", 3.0) for path in ("x", "y"))
    methods = methods_of(x, y)
    for baseline in (f"{y}/", str(y), "y/theirs"):
        assert compare(methods, "test", baseline=baseline).baseline == "y/theirs"
    monkeypatch.chdir(tmp_path / "y")
    assert compare(methods, "test", baseline="theirs/").baseline == "y/theirs"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReportError, match="'theirs' may be any of x/theirs, y/theirs; give its folder"):
        compare(methods, "test", baseline="theirs")

import csv
import json
import struct
from pathlib import Path

import pytest

import compare
from reports.errors import ReportError
from reports.export_page import render_exports
from reports.wandb_exports import compare_exports, is_export, read_exports
from runtime.run_folder import RunError
from runtime.wandb_records import read_wandb_run, record_files

LIPS = "val/lip_vertex_error_mm"
BLOCK = 32768


def write_table(path: Path, *rows: dict) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def run_row(name: str, width: int, lips: float | str, seed: int = 1, **more: object) -> dict:
    return {"Name": name, "State": "finished", "net/width": width, "run/seed": seed, "_runtime": 5, LIPS: lips, **more}


def write_records(path: Path, records: list) -> Path:
    """The LevelDB log format by its definition: records are cut at the ends of blocks of 32 KiB."""
    out = bytearray(b":W&B" + bytes(3))
    for record in records:
        payload, first = record.SerializeToString(), True
        while first or payload:
            left = BLOCK - len(out) % BLOCK
            if left < 7:
                out += bytes(left)
                continue
            piece, payload = payload[: left - 7], payload[left - 7 :]
            kind = (1 if not payload else 2) if first else (4 if not payload else 3)
            out += struct.pack("<IHB", 0, len(piece), kind) + piece
            first = False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(out))
    return path


def offline_run(folder: Path, run_id: str, width: int, rows: list[dict]) -> Path:
    from wandb.proto.wandb_internal_pb2 import Record

    def item(target, key: str, value: object) -> None:
        found = target.add()
        found.key, found.value_json = key, json.dumps(value)

    opened = Record()
    opened.run.run_id = opened.run.display_name = run_id
    item(opened.run.config.update, "net/width", width)
    records = [opened]
    for row in rows:
        record = Record()
        for key, value in row.items():
            item(record.history.item, key, value)
        records.append(record)
    return write_records(folder / f"run-{run_id}.wandb", records)


def rows(lips: list[float], first: int = 0) -> list[dict]:
    return [{"trainer/global_step": first + i, LIPS: v, "note": "x" * 700} for i, v in enumerate(lips)]


def test_a_table_of_runs_has_settings_and_last_values(tmp_path: Path) -> None:
    table = write_table(tmp_path / "runs.csv", run_row("a", 64, 2.5, **{"test/lip_dtw_mm": ""}), run_row("b", 32, 3.5))
    a, b = read_exports([table])
    assert (a.name, a.finals, b.finals) == ("a", {LIPS: 2.5}, {LIPS: 3.5})
    assert a.settings == {"net/width": "64", "run/seed": "1"}
    assert compare_exports([a, b]).settings == [("net/width", ["64", "32"])]


def test_runs_that_differ_in_their_seed_are_one_method(tmp_path: Path) -> None:
    table = write_table(
        tmp_path / "runs.csv", run_row("a1", 64, 2.0), run_row("a2", 64, 3.0, seed=2), run_row("b", 32, 3.5)
    )
    found = compare_exports(read_exports([table]))
    assert [len(method.runs) for method in found.methods] == [2, 1] and found.methods[0].finals(LIPS) == [2.0, 3.0]
    seeds = write_table(tmp_path / "seeds.csv", run_row("a1", 64, 2.0), run_row("a2", 64, 3.0, seed=2))
    assert [m.name for m in compare_exports(read_exports([seeds])).methods] == ["a1", "a2"]


def test_a_chart_has_curves_without_their_bands_and_joins_the_table(tmp_path: Path) -> None:
    table = write_table(tmp_path / "runs.csv", run_row("a - b", 64, 2.5), run_row("c", 32, 3.5))
    columns = {f"a - b - {LIPS}": [5, 3], f"a - b - {LIPS}__MIN": [5, 3], f"c - {LIPS}": [6, ""]}
    chart = write_table(
        tmp_path / "chart.csv", *({"Step": 10 * i, **{c: v[i] for c, v in columns.items()}} for i in range(2))
    )
    one, two = read_exports([table, chart])
    assert one.curves == {LIPS: [(0, 5), (10, 3)]} and two.curves == {LIPS: [(0, 6)]}
    assert one.finals == {LIPS: 2.5} and one.settings["net/width"] == "64", (
        "a run's own last value goes before a chart's"
    )


def test_offline_folders_are_read_over_blocks_and_starts(tmp_path: Path) -> None:
    first = [9.0 - 0.01 * i for i in range(120)]
    offline_run(tmp_path / "wandb" / "offline-run-1-a", "a", 64, rows(first))
    offline_run(tmp_path / "wandb" / "offline-run-2-a", "a", 64, rows([1.0, 0.5], first=100))
    (run,) = read_exports([tmp_path / "wandb"])
    assert (tmp_path / "wandb" / "offline-run-1-a" / "run-a.wandb").stat().st_size > 2 * BLOCK
    curve = dict(run.curves[LIPS])
    assert curve[99] == first[99] and curve[100] == 1.0 and curve[101] == 0.5 and curve[119] == first[119]
    assert run.settings == {"net/width": "64"} and list(run.curves) == [LIPS]


def test_a_file_cut_off_in_the_middle_keeps_what_is_whole_and_another_is_refused(tmp_path: Path) -> None:
    path = offline_run(tmp_path / "offline-run-1-a", "a", 64, rows([3.0, 2.0, 1.0]))
    path.write_bytes(path.read_bytes()[:-5])
    (run,) = read_wandb_run(record_files(path.parent))
    assert [row[LIPS] for row in run.rows] == [3.0, 2.0]
    path.write_bytes(b"no records")
    with pytest.raises(RunError, match="is not a file that the wandb package wrote"):
        read_wandb_run([path])


def test_exports_become_a_page_without_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "runs.csv", run_row("<b>a</b>", 64, 2.5), run_row("b", 32, 3.5))
    offline_run(tmp_path / "offline-run-1-c", "c", 16, rows([4.0, 3.0]))
    out = tmp_path / "report.html"
    assert compare.main([str(table), str(tmp_path / "offline-run-1-c"), "--out", str(out)]) == 0
    text = out.read_text()
    assert "3 runs share 1 metrics" in capsys.readouterr().out and text.count("<polyline") == 1
    assert "No clips, no tests" in text and "net/width" in text and "<b>a</b>" not in text and "https://" not in text


def test_what_cannot_be_compared_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "runs.csv", run_row("a", 64, 2.5), {**run_row("b", 32, ""), LIPS: ""})
    alone = write_table(tmp_path / "alone.csv", run_row("a", 64, 2.5))
    other = write_table(tmp_path / "other.csv", {"epoch": 1, "loss": 2})
    (tmp_path / "folder").mkdir()
    for arguments, said in (
        ([table], "the runs share no metric: a has val/lip_vertex_error_mm; b has no metric"),
        ([alone], "the exports hold 1 run; expected two or more"),
        ([other], "has columns epoch, loss; expected the export of W&B's runs page"),
        ([table, tmp_path / "folder"], "is a W&B export and"),
        ([tmp_path / "absent.csv", table], "is a W&B export and"),
    ):
        assert compare.main([*map(str, arguments), "--out", str(tmp_path / "r.html")]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1 and not (tmp_path / "r.html").exists()
    with pytest.raises(ReportError, match="share no val/loss"):
        compare_exports(read_exports([alone, write_table(tmp_path / "b.csv", run_row("b", 32, 3.0))]), ["val/loss"])


def test_runs_of_one_name_are_told_apart_by_their_id(tmp_path: Path) -> None:
    rows_of = [
        run_row("baseline", 64, 2.0, ID="aaa"),
        run_row("baseline", 128, 3.0, ID="bbb"),
        run_row("other", 256, 2.5),
    ]
    table = write_table(tmp_path / "runs.csv", *({"ID": "ccc"} | row for row in rows_of))
    found = read_exports([table])
    assert [(run.name, run.finals[LIPS]) for run in found] == [
        ("baseline (aaa)", 2.0),
        ("baseline (bbb)", 3.0),
        ("other", 2.5),
    ]
    assert len(compare_exports(found).methods) == 3
    chart = write_table(tmp_path / "chart.csv", {"Step": 0, f"other - {LIPS}": 9.0})
    assert [run.curves for run in read_exports([chart, table])] == [{LIPS: [(0, 9.0)]}, {}, {}], (
        "a name of one run says which"
    )
    either = write_table(tmp_path / "either.csv", {"Step": 0, f"baseline - {LIPS}": 9.0})
    with pytest.raises(
        ReportError, match=r"either\.csv says 'baseline' and that is the name of the runs aaa and bbb; rename"
    ):
        read_exports([table, either])
    nameless = write_table(tmp_path / "nameless.csv", run_row("baseline", 64, 2.0), run_row("baseline", 128, 3.0))
    with pytest.raises(ReportError, match="2 runs that are called 'baseline' and no column ID"):
        read_exports([nameless])
    twice = tmp_path / "twice.csv"
    twice.write_text(f"Step,b - {LIPS},b - {LIPS}\n0,1,2\n")
    with pytest.raises(ReportError, match="has two columns 'b - val/lip_vertex_error_mm'"):
        read_exports([twice])


def test_an_offline_run_and_its_row_of_the_table_are_one_run(tmp_path: Path) -> None:
    offline_run(tmp_path / "offline-run-1-abc", "abc", 64, rows([4.0, 3.0]))
    row = run_row("renamed later", 64, 2.5, ID="abc", **{"test/loss": 1.0})
    (run,) = read_exports([tmp_path / "offline-run-1-abc", write_table(tmp_path / "runs.csv", row)])
    assert run.finals == {LIPS: 2.5, "test/loss": 1.0} and len(run.curves[LIPS]) == 2


def test_seeds_without_a_value_are_counted(tmp_path: Path) -> None:
    seeds = run_row("a1", 64, "NaN"), run_row("a2", 64, 2.0, seed=2), run_row("b", 32, 3.5)
    page = render_exports(compare_exports(read_exports([write_table(tmp_path / "runs.csv", *seeds)])), "")
    assert "1 of 2 seeds, 1 without a value" in page and "mean of 2 seeds" not in page
    whole = run_row("a1", 64, 1.0), *seeds[1:]
    assert "without a value" not in render_exports(
        compare_exports(read_exports([write_table(tmp_path / "w.csv", *whole)])), ""
    )


def test_what_columns_were_read_as_and_which_file_is_no_text_are_said(tmp_path: Path) -> None:
    plain = write_table(
        tmp_path / "plain.csv",
        *({"Name": name, "lr": lr, "loss": lr, "arch": "x"} for name, lr in (("a", 0.1), ("b", 0.2))),
    )
    with pytest.raises(
        ReportError, match=r"a has no metric \(read as settings: loss, lr; metrics begin with train/, val/"
    ):
        compare_exports(read_exports([plain]))
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"Name,{LIPS}\nm\xfcller,2\n".encode("latin-1"))
    with pytest.raises(ReportError, match=r"latin\.csv cannot be read as W&B writes its exports, UTF-8"):
        read_exports([latin])


def test_a_run_folder_of_ours_is_no_export_though_wandb_lies_in_it(tmp_path: Path) -> None:
    offline_run(tmp_path / "wandb" / "offline-run-1-a", "a", 64, rows([1.0]))
    assert is_export(tmp_path / "wandb") and is_export(tmp_path / "wandb" / "offline-run-1-a")
    (tmp_path / "config.yaml").write_text("")
    assert not is_export(tmp_path) and not is_export(tmp_path / "absent")

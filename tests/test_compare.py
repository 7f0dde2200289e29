import json
import shutil
from pathlib import Path

import pytest
from made_up_runs import make_run

import compare
import score


def test_runs_become_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32)
    out = tmp_path / "report.html"
    assert compare.main([*map(str, runs), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert (
        "width=32 against expression_pretraining width=64: better in lip_vertex_error_mm" in said
        and f"report: {out}" in said
    )
    assert out.read_text().startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["report.html"]


def test_the_same_runs_give_the_same_page(tmp_path: Path) -> None:
    runs = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32)
    pages = []
    for _ in range(2):
        assert compare.main([*map(str, runs), "--out", str(tmp_path / "r.html")]) == 0
        pages.append((tmp_path / "r.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_sweep_is_its_finished_trials(tmp_path: Path) -> None:
    sweep = tmp_path / "sweeps" / "widths-0000"
    sweep.mkdir(parents=True)
    (sweep / "sweep.yaml").write_text(
        "experiment: expression_pretraining\ngrid: {net.width: [32, 64, 128]}\nmetric: val/loss\n"
    )
    runs = [make_run(tmp_path / f"r{width}", 4.0 + width / 64, width=width) for width in (32, 64)]
    lines = []
    for number, run in enumerate(runs):
        lines.append({"trial": f"{number:03d}", "event": "start", "attempt": 1, "levels": {"net.width": str(number)}})
        lines.append({"trial": f"{number:03d}", "event": "end", "status": "finished", "folder": str(run), "values": {}})
    lines.append({"trial": "002", "event": "start", "attempt": 1, "levels": {"net.width": "128"}})
    (sweep / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert compare.main([str(sweep), "--out", str(tmp_path / "r.html")]) == 0
    text = (tmp_path / "r.html").read_text()
    assert "width=32" in text and "width=64" in text and "width=128" not in text


def test_bad_input_is_one_sentence_and_leaves_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32, corpus="other")
    unscored = make_run(tmp_path / "c", 4.0, width=16)
    (unscored / "scores-test.json").unlink()
    out = tmp_path / "r.html"
    for arguments, said in (
        ([a, b], "no clip is the same; score both on one split of one corpus"),
        ([a], "there is one method"),
        ([a, a], "there is one method"),
        ([a, unscored], "has no scores-test.json (it has no scores); score it first: python score.py"),
        ([a, b, "--split", "val"], "no scores-val.json (it has scores-test.json)"),
        ([a, tmp_path / "nothing"], "is not a folder"),
        ([a, b, "--user-study", tmp_path / "s", "--metrics", "x"], "a user study has no --metrics"),
        ([a, b, "--user-study", tmp_path / "s", "--baseline", a], "a user study has no --baseline"),
        ([a, b, "--questions", "lips"], "give --user-study"),
        ([a, b, "--clips", "5"], "--clips is of a user study; give --user-study STUDY too"),
        ([a, b, "--raters", "2", "--seed", "0"], "--raters and --seed are of a user study"),
        ([a, b, "--max-seconds", "8"], "--max-seconds is of a user study"),
        ([a, b, "--video-mb", "-1"], "0 for none; received -1"),
        ([a, b, "--video-mb", "nan"], "0 for none; received nan"),
        ([a, b, "--user-study", tmp_path / "s", "--video-mb", "5"], "a user study has no --video-mb"),
        (["--answers", tmp_path / "x.json", "--clips", "5"], "a study has its --clips from when it was made"),
        (["--answers", tmp_path / "x.json", "--split", "val"], "leave --split and --user-study out"),
    ):
        where = [] if {"--user-study", "--answers"} & set(arguments) else ["--out", str(out)]
        assert compare.main([*map(str, arguments), *where]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1 and not out.exists()


def test_a_page_that_cannot_be_written_is_told_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32)
    monkeypatch.setattr("reports.entrants.read_entrant", lambda *given: pytest.fail("work was done"))
    for out, said in ((tmp_path, "is a folder; name the page in it"), (tmp_path / "no" / "r.html", "make it first")):
        assert compare.main([*map(str, runs), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1 and not (tmp_path / "no").exists()


def test_exports_have_no_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs.csv").write_text("Name,val/loss\na,1\nb,2\n")
    assert compare.main([str(tmp_path / "runs.csv"), "--baseline", "a", "--out", str(tmp_path / "r.html")]) == 2
    assert "leave --baseline out" in capsys.readouterr().err and not (tmp_path / "r.html").exists()
    arguments = [str(tmp_path / "runs.csv"), "--split", "val", "--video-mb", "3", "--out", str(tmp_path / "r.html")]
    assert compare.main(arguments) == 2 and not (tmp_path / "r.html").exists()
    assert "leave --split and --video-mb out" in capsys.readouterr().err


def test_no_video_may_be_asked_for(tmp_path: Path) -> None:
    runs = make_run(tmp_path / "a", 5.0), make_run(tmp_path / "b", 4.0, width=32)
    assert compare.main([*map(str, runs), "--video-mb", "0", "--out", str(tmp_path / "r.html")]) == 0


def test_what_score_writes_compare_reads(tiny_run: Path, tmp_path: Path) -> None:
    runs = [shutil.copytree(tiny_run, tmp_path / name) for name in ("one", "two")]
    config = (runs[1] / "config.yaml").read_text()
    (runs[1] / "config.yaml").write_text(config.replace("dropout: 0.1", "dropout: 0.2", 1))
    assert (runs[1] / "config.yaml").read_text() != config
    few = ["--metrics", "expression_dispersion_ratio"]
    assert score.main([*map(str, runs), *few]) == 0
    assert len(json.loads((runs[0] / "scores-test.json").read_text())["face_sha256"]) == 12
    out = tmp_path / "report.html"
    assert compare.main([*map(str, runs), "--out", str(out)]) == 0
    text = out.read_text()
    assert "python train.py expression_pretraining" in text or "commit" in text
    assert "an interval needs at least 5 speakers, here are 1" in text and "no verdict possible" in text
    assert "Synthetic speech" in text

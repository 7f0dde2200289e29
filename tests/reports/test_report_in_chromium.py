"""The report in a real browser: no overflow on a phone, nothing on the console, no request, a picture and a print."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Chromium
from made_up_runs import make_run
from PIL import Image

import compare


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    runs = [
        make_run(folder / f"run{i}", 4.0 + i, width=32 * i, name="a_rather_long_name_of_an_experiment")
        for i in range(1, 5)
    ]
    out = folder / "report.html"
    assert compare.main([*map(str, runs), "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_fits_the_screen_and_the_console_stays_empty(
    browser: Chromium, report: Path, width: int, tmp_path: Path
) -> None:
    browser.open(report, width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelectorAll('#metrics tbody tr').length") == 5
    assert browser.console == [] and browser.requests == []
    picture = np.asarray(Image.open(browser.screenshot(tmp_path / "page.png", whole=True)).convert("L"))
    assert picture.shape[1] >= width - 20 and picture.std() > 5


def test_a_page_of_exports_fits_a_phone_too(browser: Chromium, tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    rows = [f"a_rather_long_name_of_a_run-{i},{i},https://a.b/{'c' * 60},{i / 7}" for i in range(5)]
    table.write_text("\n".join(["Name,net/width,data/address,val/lip_vertex_error_mm", *rows]))
    out = tmp_path / "report.html"
    assert compare.main([str(table), "--out", str(out)]) == 0
    browser.open(out, 320)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 320
    assert browser.evaluate("document.querySelectorAll('#metrics tbody td').length") == 5
    assert browser.console == [] and browser.requests == []


def test_what_a_page_says_and_asks_for_is_noticed(browser: Chromium, tmp_path: Path) -> None:
    """The tests above would pass with a blind browser."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<div style='width:900px'>x</div><script>console.error('e'); nothing_there();</script><img src='http://127.0.0.1:9/x.png'>"
    )
    browser.open(bad, 390)
    assert browser.evaluate("document.documentElement.scrollWidth") > 390
    assert len(browser.console) >= 2 and browser.requests == ["http://127.0.0.1:9/x.png"]


def test_charts_are_drawn_and_wide_tables_scroll_in_their_own_box(browser: Chromium, report: Path) -> None:
    browser.open(report, 390)
    boxes = browser.evaluate("[...document.querySelectorAll('figure svg')].map(s => s.getBoundingClientRect().width)")
    assert len(boxes) == 7 and all(250 < width <= 390 for width in boxes)
    assert browser.evaluate("(e => e.scrollWidth > e.clientWidth)(document.querySelector('.scroll'))")


def test_the_print_has_every_command_open_and_no_buttons(browser: Chromium, report: Path, tmp_path: Path) -> None:
    browser.open(report, 1280)
    pdf = browser.pdf(tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and len(pdf) > 10_000
    assert browser.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")

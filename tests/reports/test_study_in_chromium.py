"""The raters' page in a real browser: a sheet is answered from start to end, on a phone's width, and its file is what the analysis reads."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Chromium
from made_up_study import make_key, write_key

from faces.video_encoding import write_video
from reports.study_answers import read_raters
from reports.study_folder import study_page

KEY = make_key(4)
# Says of each video that it has played to its end, then answers and goes on: the last level, or the left video.
ANSWER = """(() => {
  for (const video of document.querySelectorAll("video")) video.dispatchEvent(new Event("ended"));
  const inputs = document.querySelectorAll("input[name=answer]");
  inputs[inputs.length - 1].click();
  document.getElementById("next").click();
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_key(tmp_path_factory.mktemp("study") / "study", KEY)
    media = folder / "page" / "media"
    media.mkdir(parents=True)
    write_video(media / "one.mp4", iter(np.full((5, 64, 64, 3), 200, np.uint8)), 25.0)
    content = (media / "one.mp4").read_bytes()
    for code in KEY["videos"]:
        (media / f"{code}.mp4").write_bytes(content)
    (folder / "page" / "index.html").write_text(study_page(KEY))
    return folder


def begin(browser: Chromium, study: Path, rater: int, width: int = 390) -> None:
    browser.open(study / "page" / "index.html", width)
    browser.evaluate(f"document.getElementById('rater').value = {rater}; document.getElementById('start').click()")


def test_a_sheet_is_answered_and_the_file_is_read_by_the_analysis(
    browser: Chromium, study: Path, tmp_path: Path
) -> None:
    begin(browser, study, 2)
    for place, (question, codes) in enumerate(KEY["sheets"][1]):
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert browser.evaluate("document.querySelectorAll('video').length") == len(codes), place
        assert browser.evaluate("document.querySelectorAll('input[name=answer]').length") == (
            5 if question == "lips" else 2
        )
        browser.evaluate(ANSWER)
    assert browser.evaluate("!document.getElementById('end').hidden")
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.evaluate("document.getElementById('comment').value = 'a < b'; document.getElementById('save').click()")
    saved = tmp_path / "answers-002.json"
    for _ in range(1200):
        if saved.is_file() and saved.stat().st_size:
            break
        time.sleep(0.05)
    answers = json.loads(saved.read_text())
    assert answers == json.loads(browser.evaluate("document.getElementById('answers').value"))
    assert answers["comment"] == "a < b" and answers["ended"] >= answers["started"]
    (rater,) = read_raters([saved], KEY)
    assert len(rater.answers) == len(KEY["sheets"][1])
    # The last of the levels is the lowest, 1; so is that of every still face.
    assert {a.value for a in rater.answers if len(a.shown) == 1} == {1}
    assert {a.value for a in rater.answers if len(a.shown) == 2} == {1}
    assert browser.console == [] and browser.requests == []


def test_no_answer_before_every_video_was_seen_to_its_end(browser: Chromium, study: Path) -> None:
    begin(browser, study, 3)
    while browser.evaluate("document.querySelectorAll('video').length") == 1:
        browser.evaluate(ANSWER)
    disabled = "document.getElementById('choices').disabled"
    count = "document.getElementById('count').textContent"
    before = browser.evaluate(count)
    assert browser.evaluate(disabled)
    browser.evaluate("document.querySelector('video').dispatchEvent(new Event('ended'))")
    browser.evaluate("document.getElementById('form').requestSubmit()")
    assert browser.evaluate(disabled) and browser.evaluate(count) == before
    browser.evaluate(ANSWER)
    assert browser.evaluate(count) != before


def test_a_real_video_plays_to_its_end_and_opens_the_answers(browser: Chromium, study: Path) -> None:
    begin(browser, study, 1)
    browser.call(
        "Runtime.evaluate",
        expression="document.querySelectorAll('video').forEach(v => { v.muted = true; v.play(); })",
        userGesture=True,
    )
    for _ in range(1200):
        if not browser.evaluate("document.getElementById('choices').disabled"):
            break
        time.sleep(0.05)
    assert not browser.evaluate("document.getElementById('choices').disabled")
    assert browser.evaluate("document.getElementById('unplayable').hidden")


def test_a_closed_page_goes_on_where_it_was_and_a_wrong_number_is_refused(browser: Chromium, study: Path) -> None:
    begin(browser, study, 4)
    browser.evaluate(ANSWER)
    browser.evaluate(ANSWER)
    begin(browser, study, 4)
    assert browser.evaluate("document.getElementById('count').textContent").startswith("3 of ")
    begin(browser, study, 5)
    assert browser.evaluate("document.getElementById('trial').hidden")
    assert "1 to 4" in browser.evaluate("document.getElementById('refused').textContent")


def test_the_page_tells_nothing_of_methods(study: Path) -> None:
    text = (study / "page" / "index.html").read_text()
    for name in (*KEY["methods"], "truth", "still", "clip0"):
        assert f'"{name}"' not in text and f"{name}/" not in text

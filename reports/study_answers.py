"""What raters gave back: files read and checked, and who is left out because catch trials say that they did not look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.errors import ReportError
from reports.scoring import TRUTH
from reports.study_folder import FORMAT, KEY
from reports.study_plan import LEAST_CATCHES, QUESTIONS, RATING, STILL

ANSWERS_FORMAT = "study-answers/1"
# A still face deserves at most this.
MOST_FOR_STILL = 2
# What is read of a key and of a file of answers, and what each field must be.
KEY_FIELDS = {
    **dict.fromkeys(("study", "baseline", "corpus"), str), "synthetic": bool, "questions": list, "videos": dict, "sheets": list
}  # fmt: skip
ANSWERS_FIELDS = {"study": str, "rater": int, "answers": list}
ROW_FIELDS = {"question": str, "shown": list, "answer": (int, str)}
KINDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}


@dataclass(frozen=True)
class Answer:
    """`value`: a rating 1 to 5, or the index in `shown` of the chosen method."""

    question: str
    clip: str
    shown: tuple[str, ...]
    value: int

    @property
    def is_catch(self) -> bool:
        return STILL in self.shown

    @property
    def is_caught(self) -> bool:
        """A catch trial answered as nobody would who watched."""
        if len(self.shown) == 1:
            return self.value > MOST_FOR_STILL
        return self.shown[self.value] != TRUTH


@dataclass(frozen=True)
class Rater:
    """The answers of one file; `left_out` says why they do not count, empty if they do."""

    number: int
    answers: list[Answer]
    left_out: str = ""


def read_key(answers: Sequence[Path]) -> tuple[dict[str, Any], Path]:
    """The key of the study that the answers belong to, from the folders above the first of them."""
    folders = [folder for path in answers[:1] for folder in path.resolve().parents]
    path = next((folder / KEY for folder in folders if (folder / KEY).is_file()), None)
    if path is None:
        raise ReportError(
            f"no {KEY} lies above {answers[0] if answers else 'the answers'}; put the answers into the folder of their study, STUDY/answers/"
        )
    key = _json(path)
    if not isinstance(key, dict) or key.get("format") != FORMAT:
        raise ReportError(f"{path} is not the key of a study of format {FORMAT}; make the study again")
    _check_fields(key, KEY_FIELDS, str(path), "make the study again")
    for number, sheet in enumerate(key["sheets"], start=1):
        if not _is_sheet(sheet, key["videos"]):
            raise ReportError(
                f"{path}: the sheet of rater {number} in `sheets` is not a list of [question, codes of `videos`]; make the study again"
            )
    return key, path


def read_raters(paths: Sequence[Path], key: dict[str, Any]) -> list[Rater]:
    """Every file, in order of the raters' numbers. Raises ReportError naming a file that is damaged, of another study or of a rater already there."""
    raters: dict[int, tuple[Rater, Path]] = {}
    for path in paths:
        rater = _read(path, key)
        if rater.number in raters:
            raise ReportError(
                f"{path} and {raters[rater.number][1]} are both of rater {rater.number}; keep the one that counts"
            )
        raters[rater.number] = rater, path
    return [raters[number][0] for number in sorted(raters)]


def _read(path: Path, key: dict[str, Any]) -> Rater:
    content = _json(path)
    if not isinstance(content, dict) or content.get("format") != ANSWERS_FORMAT:
        raise ReportError(
            f"{path} holds no answers of format {ANSWERS_FORMAT}; expected a file that the study's page saved"
        )
    mend = "expected a file that the study's page saved"
    _check_fields(content, ANSWERS_FIELDS, str(path), mend)
    if content["study"] != key["study"]:
        raise ReportError(
            f"{path} belongs to study {content['study']}, the key is of {key['study']}; sort the files by study"
        )
    number, given = content["rater"], content["answers"]
    if number not in range(1, len(key["sheets"]) + 1):
        raise ReportError(f"{path} is of rater {number}; the study has raters 1 to {len(key['sheets'])}")
    sheet = key["sheets"][number - 1]
    if len(given) > len(sheet):
        raise ReportError(
            f"{path}: `answers` has {len(given)} answers, the sheet of rater {number} has {len(sheet)} trials; the file was changed"
        )
    answers = []
    for place, (row, (question, codes)) in enumerate(zip(given, sheet[: len(given)], strict=True), start=1):
        if not isinstance(row, dict):
            raise ReportError(f"{path}: answer {place} is {row!r}, not an object; {mend}")
        _check_fields(row, ROW_FIELDS, f"{path}: answer {place}", mend)
        if row["question"] != question or row["shown"] != codes:
            raise ReportError(f"{path}: answer {place} is not to what rater {number} was shown; the file was changed")
        answers.append(_answer(path, place, row, key["videos"]))
    return Rater(number, answers, _why_left_out(answers, len(sheet)))


def _answer(path: Path, place: int, row: dict[str, Any], videos: dict[str, Any]) -> Answer:
    codes, value = row["shown"], row["answer"]
    is_rating = QUESTIONS[row["question"]].kind == RATING
    if value not in ([1, 2, 3, 4, 5] if is_rating else codes):
        expected = "a number from 1 to 5" if is_rating else f"one of {', '.join(codes)}"
        raise ReportError(f"{path}: answer {place} is {value!r}; expected {expected}")
    shown = tuple(videos[code]["method"] for code in codes)
    return Answer(row["question"], videos[codes[0]]["clip"], shown, value if is_rating else codes.index(value))


def slips_allowed(catches: int) -> int:
    """How many of a rater's catch trials may fail: one of six or more, none of fewer (docs/USER_STUDY.md has the odds)."""
    return 1 if catches >= LEAST_CATCHES else 0


def _why_left_out(answers: Sequence[Answer], expected: int) -> str:
    if len(answers) < expected:
        return f"answered {len(answers)} of {expected}"
    catches = [answer for answer in answers if answer.is_catch]
    caught, slips = sum(answer.is_caught for answer in catches), slips_allowed(len(catches))
    if caught > slips:
        return f"failed {caught} of {len(catches)} catch trials ({slips} may fail)"
    ratings = {answer.value for answer in answers if len(answer.shown) == 1}
    if len(ratings) == 1:
        return f"rated everything {ratings.pop()}"
    return ""


def _check_fields(content: dict[str, Any], fields: dict[str, Any], where: str, mend: str) -> None:
    """One sentence for the first field that lacks or is of another kind; true is no number here."""
    for name, kinds in fields.items():
        expected = kinds if isinstance(kinds, tuple) else (kinds,)
        told = " or ".join(KINDS[kind] for kind in expected)
        if name not in content:
            raise ReportError(f"{where} has no `{name}` ({told}); {mend}")
        if type(content[name]) not in expected:
            raise ReportError(f"{where}: `{name}` is {content[name]!r:.60}, not {told}; {mend}")


def _is_sheet(sheet: Any, videos: dict[str, Any]) -> bool:
    def is_video(code: Any) -> bool:
        video = videos.get(code) if isinstance(code, str) else None
        return isinstance(video, dict) and all(isinstance(video.get(name), str) for name in ("clip", "method"))

    return isinstance(sheet, list) and all(
        isinstance(trial, list)
        and len(trial) == 2
        and trial[0] in list(QUESTIONS)
        and isinstance(trial[1], list)
        and len(trial[1]) == (1 if QUESTIONS[trial[0]].kind == RATING else 2)
        and all(is_video(code) for code in trial[1])
        for trial in sheet
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be read ({error}); expected JSON") from error

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_study import OURS, THEIRS, fill_in, make_key, write_answers, write_key

import compare
from reports.errors import ReportError
from reports.scoring import TRUTH
from reports.study_analysis import StudyResult, analyse, crossed_interval, sign_flips
from reports.study_answers import Answer, read_key, read_raters, slips_allowed
from reports.study_plan import STILL

KEY = make_key()


def results(folder: Path, key: dict = KEY, seed: int = 0, guessers: int = 0, **taste: float) -> StudyResult:
    write_key(folder, key)
    raters = range(1, len(key["sheets"]) + 1)
    paths = [write_answers(folder, fill_in(key, r, seed, attentive=r > guessers, **taste)) for r in raters]
    found, _ = read_key(paths)
    return analyse(found, read_raters(paths, found))


def test_a_known_preference_is_recovered(tmp_path: Path) -> None:
    found = results(tmp_path, preference=0.8, better_by=0.9)
    means = {row.method: row for row in found.ratings}
    assert means[OURS].mean - means[THEIRS].mean == pytest.approx(0.9, abs=0.3)
    assert means[TRUTH].mean > means[OURS].mean > means[THEIRS].mean
    assert all(row.low < row.mean < row.high for row in found.ratings)
    tests = {(test.question, test.other): test for test in found.tests}
    choice, rating = tests["richness", THEIRS], tests["lips", THEIRS]
    assert choice.effect == pytest.approx(0.8, abs=0.12) and choice.low < 0.8 < choice.high
    assert choice.choices == 12 * 8 and choice.binomial_p < 1e-4 and abs(choice.left - 0.5) < 0.1
    assert choice.verdict == rating.verdict == f"{OURS} is preferred"
    assert tests["lips", TRUTH].verdict == f"{TRUTH} is preferred"


def test_a_preference_for_the_other_side_has_the_other_sign(tmp_path: Path) -> None:
    found = results(tmp_path, preference=0.15, better_by=-0.9)
    assert [test.verdict for test in found.tests if test.other == THEIRS] == [f"{THEIRS} is preferred"] * 2


def test_side_is_not_taste(tmp_path: Path) -> None:
    """Raters who always choose the left video prefer nothing, because sides are balanced."""
    write_key(tmp_path, KEY)
    paths = []
    for rater in range(1, 13):
        answers = fill_in(KEY, rater, 0)
        for row in answers["answers"]:
            if len(row["shown"]) == 2 and KEY["videos"][row["shown"][0]]["clip"].startswith("clip"):
                row["answer"] = row["shown"][0]
        paths.append(write_answers(tmp_path, answers))
    choice = next(t for t in analyse(KEY, read_raters(paths, KEY)).tests if t.question == "richness")
    assert choice.effect == 0.5 and choice.left == 1.0 and choice.verdict == "no difference shown"


def test_raters_who_guess_are_significant_as_rarely_as_stated() -> None:
    """Guesses of 12 raters on 8 clips: the larger p over raters and clips is under 0.05 in at most 5 % of 300 studies."""
    generator = np.random.default_rng(0)
    ps = []
    for _ in range(300):
        table = generator.integers(0, 2, (12, 8)).astype(float)
        ps.append(sign_flips(table - 0.5))
    over_raters, over_both = np.array(ps)[:, 0], np.array(ps).max(1)
    assert np.mean(over_both <= 0.05) <= 0.05
    # Answers are few and tie often, which makes sign flips careful; they must not be blind.
    assert 0 < np.mean(over_raters <= 0.05) <= 0.06


def test_taste_that_differs_between_raters_or_clips_is_not_a_preference() -> None:
    """Nobody prefers anything on average, but answers hang together: a test over raters alone is fooled, the larger p is not."""
    generator = np.random.default_rng(1)
    fooled, ours = [], []
    for _ in range(150):
        of_clip = generator.choice([0.1, 0.9], 8)
        table = (generator.random((12, 8)) < of_clip).astype(float)
        p_raters, p_clips = sign_flips(table - 0.5)
        ours.append(max(p_raters, p_clips) <= 0.05)
        fooled.append(p_raters <= 0.05)
    assert np.mean(ours) <= 0.05 < 0.3 < np.mean(fooled)


def test_those_who_guess_are_left_out_and_named(tmp_path: Path) -> None:
    found = results(tmp_path, guessers=4, preference=0.8, better_by=0.9)
    left_out = {rater.number: rater.left_out for rater in found.raters if rater.left_out}
    assert len(left_out) >= 3 and set(left_out) <= {1, 2, 3, 4}
    assert all("catch trials" in reason for reason in left_out.values())
    assert len(found.counted) == 12 - len(left_out)


def test_half_filled_sheets_and_one_rating_for_all_are_left_out(tmp_path: Path) -> None:
    write_key(tmp_path, KEY)
    half, same = fill_in(KEY, 1, 0), fill_in(KEY, 2, 0)
    half["answers"] = half["answers"][:20]
    for row in same["answers"]:
        row["answer"] = row["answer"] if len(row["shown"]) == 2 else 2
    paths = [write_answers(tmp_path, each) for each in (half, same, fill_in(KEY, 3, 0))]
    reasons = [rater.left_out for rater in read_raters(paths, KEY)]
    assert reasons == ["answered 20 of 38", "rated everything 2", ""]
    with pytest.raises(ReportError, match=r"no rater is left whose answers count.*answered 20 of 38"):
        analyse(KEY, read_raters(paths[:2], KEY))


@pytest.mark.parametrize(("raters", "noise"), [(12, (1, 1, 1)), (5, (1, 0.1, 0.3))])
def test_the_crossed_interval_covers_raters_and_clips(raters: int, noise: tuple[float, float, float]) -> None:
    """The mean of a table with rater, clip and answer noise lies inside in about 95 of 100 draws, of five raters who differ, too."""
    generator = np.random.default_rng(2)
    inside = 0
    for draw in range(120):
        of_rater, of_clip, of_answer = (
            generator.normal(0, scale, shape)
            for scale, shape in zip(noise, ((raters, 1), (1, 10), (raters, 10)), strict=True)
        )
        _, low, high = crossed_interval(of_rater + of_clip + of_answer, draw, 2000)
        inside += low <= 0 <= high
    assert inside >= 107


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_fewer_than_five_raters_or_clips_have_no_interval(shape: tuple[int, int]) -> None:
    assert np.isnan(crossed_interval(np.random.default_rng(0).normal(size=shape))[1:]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.update(study="f" * 12), "belongs to study ffff"),
        (lambda a: a.update(rater=99), "is of rater 99"),
        (lambda a: a.update(format="x"), "holds no answers of format"),
        (lambda a: a["answers"][0].update(answer=6), "answer 1 is 6"),
        (lambda a: a["answers"][1].update(shown=["x"]), "answer 2 is not to what rater 3 was shown"),
        (lambda a: a.pop("study"), "has no `study`"),
        (lambda a: a.pop("rater"), "has no `rater`"),
        (lambda a: a.pop("answers"), "has no `answers`"),
        (lambda a: a.update(rater=True), "`rater` is True, not a whole number"),
        (lambda a: a.update(rater=3.0), "`rater` is 3.0, not a whole number"),
        (lambda a: a.update(answers={}), "`answers` is {}, not a list"),
        (lambda a: a["answers"].__setitem__(0, None), "answer 1 is None, not an object"),
        (lambda a: a["answers"][1].pop("answer"), "answer 2 has no `answer`"),
        (lambda a: a["answers"][1].pop("shown"), "answer 2 has no `shown`"),
        (lambda a: a["answers"][1].update(answer=True), "answer 2: `answer` is True"),
        (
            lambda a: a["answers"].append(a["answers"][0]),
            "`answers` has 39 answers, the sheet of rater 3 has 38 trials",
        ),
    ],
)
def test_answers_that_do_not_belong_are_refused(tmp_path: Path, change, said: str, capsys) -> None:
    write_key(tmp_path, KEY)
    answers = fill_in(KEY, 3, 0)
    path = tmp_path / "answers" / "answers-003.json"
    change(answers)
    path.write_text(json.dumps(answers))
    assert compare.main(["--answers", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1 and not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda key: key.pop("sheets"), "has no `sheets`"),
        (lambda key: key.pop("baseline"), "has no `baseline`"),
        (lambda key: key.update(videos=[]), "`videos` is [], not an object"),
        (lambda key: key["sheets"][2].append("lips"), "the sheet of rater 3 in `sheets` is not a list of"),
        (lambda key: key["sheets"][0].append(["taste", []]), "the sheet of rater 1 in `sheets` is not"),
        (lambda key: key["videos"].clear(), "the sheet of rater 1 in `sheets` is not"),
        (lambda key: next(iter(key["videos"].values())).pop("method"), "in `sheets` is not a list of"),
    ],
)
def test_a_damaged_key_is_one_sentence(tmp_path: Path, change, said: str, capsys) -> None:
    key = make_key()
    change(key)
    write_key(tmp_path, key)
    path = write_answers(tmp_path, fill_in(KEY, 3, 0))
    assert compare.main(["--answers", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error and "key.json" in error and len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("ratings", "choices", "percent"), [(3, 0, 6), (0, 3, 12), (6, 0, 4), (0, 6, 11), (3, 3, 7), (6, 3, 1)]
)
def test_who_guesses_passes_as_rarely_as_the_documents_say(ratings: int, choices: int, percent: int) -> None:
    """Over every answer that a guesser can give, whatever the number of questions; a catch trial has as many slips as the rule says."""
    rated = [Answer("lips", "clip", (STILL,), value) for value in range(1, 6)]
    chosen = [Answer("richness", "clip", (TRUTH, STILL), value) for value in range(2)]
    chances = [np.mean([a.is_caught for a in answers]) for answers in ratings * [rated] + choices * [chosen]]
    caught = np.ones(1)
    for chance in chances:
        caught = np.convolve(caught, [1 - chance, chance])
    assert 100 * caught[: 1 + slips_allowed(len(chances))].sum() == pytest.approx(percent, abs=0.51)


def test_the_verb_analyses_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_key(tmp_path, KEY)
    paths = [str(write_answers(tmp_path, fill_in(KEY, r, 0, 0.9, 1.0))) for r in range(1, 11)]
    assert compare.main(["--answers", *paths]) == 0
    result = json.loads((tmp_path / "results.json").read_text())
    assert result["counted"] == 10 and result["tests"][0]["verdict"]
    printed = capsys.readouterr().out
    assert "10 of 10 raters" in printed
    assert any(
        all(word in line for word in ("richness", THEIRS, f"{OURS} is preferred")) for line in printed.splitlines()
    )
    assert compare.main(["--answers", *paths, paths[0]]) == 2 and "both of rater 1" in capsys.readouterr().err
    assert compare.main([]) == 2 and "give runs to compare, or --answers" in capsys.readouterr().err
    (tmp_path / "key.json").unlink()
    assert compare.main(["--answers", *paths]) == 2 and "no key.json lies above" in capsys.readouterr().err
